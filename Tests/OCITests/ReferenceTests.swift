import Base
import OCI
import TestSupport
import Testing

/// The rules are those of github.com/distribution/reference, which the docker CLI and daemon use.
struct ReferenceTests {
    private static let digest = "sha256:" + String(repeating: "ab", count: 32)

    @Test(
        arguments: [
            ("nginx", "docker.io", "library/nginx", "latest", "nginx:latest"),
            ("nginx:1.25", "docker.io", "library/nginx", "1.25", "nginx:1.25"),
            ("user/app", "docker.io", "user/app", "latest", "user/app:latest"),
            ("docker.io/nginx", "docker.io", "library/nginx", "latest", "nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io", "library/nginx", "latest", "nginx:latest"),
            ("docker.io/user/app:x", "docker.io", "user/app", "x", "user/app:x"),
            ("localhost/app", "localhost", "app", "latest", "localhost/app:latest"),
            ("localhost:5000/a/b:t", "localhost:5000", "a/b", "t", "localhost:5000/a/b:t"),
            (
                "registry.example.com/a/b/c", "registry.example.com", "a/b/c", "latest",
                "registry.example.com/a/b/c:latest"
            ),
            ("127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000", "x", "latest", "[::1]:5000/x:latest"),
            ("Registry/x", "Registry", "x", "latest", "Registry/x:latest"),
            ("a_b/c__d/e.f/g--h", "docker.io", "a_b/c__d/e.f/g--h", "latest", "a_b/c__d/e.f/g--h:latest"),
            ("host-name.org/x:_Tag.1-2", "host-name.org", "x", "_Tag.1-2", "host-name.org/x:_Tag.1-2"),
        ])
    func namesAreRead(text: String, domain: String, path: String, tag: String, familiar: String) throws {
        let reference = try Reference(parsing: text)
        #expect(reference.domain == domain)
        #expect(reference.path == path)
        #expect(reference.tag == tag)
        #expect(reference.digest == nil)
        #expect(reference.familiar == familiar)
        #expect(try Reference(parsing: reference.repository + ":" + tag) == reference)
        #expect(try Reference(parsing: familiar) == reference)
    }

    @Test func digestsAreRead() throws {
        let reference = try Reference(parsing: "nginx@" + ReferenceTests.digest)
        #expect(reference.tag == nil && reference.digest == ReferenceTests.digest)
        #expect(reference.familiar == "nginx@" + ReferenceTests.digest)
        let both = try Reference(parsing: "localhost:1/nginx:x@" + ReferenceTests.digest)
        #expect(both.tag == "x" && both.digest == ReferenceTests.digest && both.domain == "localhost:1")
    }

    @Test(
        arguments: [
            "", ":", "/", "a/", "/a", "a//b", "-a", "a-", ".a", "a.", "_a", "a_", "a..b", "a._b", "a___b", "a_-b", "a:",
            "a:.x", "a:-x", "a:x/y", "a: x", " a", "a ", "a\n", "a\r\n", "a:é", "é", "a@", "a@sha256:12", "a@md5:12",
            "a@b@c", "a:x:y", "foo..bar/x", "-foo.bar/x", "foo-.bar/x", "foo.bar:/x", "foo.bar:x1/y", "foo_b.ar/x",
            "[::1/x",
            "[zz]:1/x", ".com/x", "a\u{0}", "a/\u{301}b", "http://a/b", "a?b", "a\u{7f}",
        ])
    func whatIsNoneIsRefused(text: String) {
        let error = #expect(throws: SkalaError.self) { try Reference(parsing: text) }
        #expect(error?.code == .invalid && error?.message == "invalid reference format")
    }

    @Test func dockersTextsForCaseAndIds() {
        let upper = #expect(throws: SkalaError.self) { try Reference(parsing: "Nginx") }
        #expect(upper?.message == "invalid reference format: repository name (library/Nginx) must be lowercase")
        let id = String(repeating: "0a", count: 32)
        let number = #expect(throws: SkalaError.self) { try Reference(parsing: id) }
        #expect(number?.message == "invalid repository name (\(id)), cannot specify 64-byte hexadecimal strings")
        let long = #expect(throws: SkalaError.self) { try Reference(parsing: String(repeating: "a", count: 256)) }
        #expect(long?.message == "repository name must not be more than 255 characters")
        #expect(throws: SkalaError.self) { try Reference(parsing: "a:" + String(repeating: "t", count: 129)) }
        #expect(throws: Never.self) { try Reference(parsing: "a:" + String(repeating: "t", count: 128)) }
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func whatIsTakenIsReadTheSameAgain(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let characters = Array("aB0._-/:@[]")
        for _ in 0..<2000 {
            let text = String((0..<random.below(12)).map { _ in random.pick(characters) })
            guard let reference = try? Reference(parsing: text) else { continue }
            #expect((try? Reference(parsing: reference.familiar)) == reference, "\(text)")
        }
    }

    @Test func aNameAloneIsARepository() {
        for text in ["web", "a/web", "localhost:5000/web", "[::1]:5000/web"] {
            #expect(!Reference.hasTagOrDigest(text), "\(text)")
        }
        for text in ["web:1", "localhost:5000/a/web:1", "web@sha256:0", "localhost:5000/web@sha256:0"] {
            #expect(Reference.hasTagOrDigest(text), "\(text)")
        }
    }
}
