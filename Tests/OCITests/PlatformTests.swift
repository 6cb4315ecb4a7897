import Base
import OCI
import Testing

struct PlatformTests {
    @Test(
        arguments: [
            ("linux/amd64", "linux/amd64"), ("arm64", "linux/arm64"), ("linux/x86_64", "linux/amd64"),
            ("linux/arm/v7", "linux/arm/v7"), ("aarch64", "linux/arm64"), ("linux/i386", "linux/386"),
        ])
    func namesAreNormalised(text: String, normal: String) throws {
        #expect(try Platform(parsing: text).text == normal)
    }

    @Test func whatIsNoneIsRefused() {
        #expect(throws: SkalaError.self) { try Platform(parsing: "") }
        #expect(throws: SkalaError.self) { try Platform(parsing: "a/b/c/d") }
    }

    @Test func theFittingManifestIsChosen() throws {
        func manifest(_ os: String, _ architecture: String, _ variant: String? = nil) -> JSON {
            [
                "digest": JSON("\(os)-\(architecture)-\(variant ?? "")"),
                "platform": ["os": JSON(os), "architecture": JSON(architecture), "variant": JSON(variant)],
            ]
        }
        let index = [
            manifest("unknown", "unknown"), manifest("windows", "amd64"), manifest("linux", "arm", "v6"),
            manifest("linux", "arm", "v7"), manifest("linux", "amd64"),
        ]
        func chosen(_ text: String) throws -> String? {
            try Platform(parsing: text).choose(from: index)?["digest"].string
        }
        #expect(try chosen("amd64") == "linux-amd64-")
        #expect(try chosen("linux/arm/v7") == "linux-arm-v7")
        #expect(try chosen("linux/arm") == "linux-arm-v6")
        #expect(try chosen("linux/arm/v8") == nil)
        #expect(try chosen("linux/s390x") == nil)
        #expect(try Platform(parsing: "amd64").choose(from: [.null, "x", []]) == nil)
        #expect(Platform(machine: "x86_64").choose(from: index)?["digest"] == "linux-amd64-")
    }

    @Test func digestsAreSHA256() {
        let valid = "sha256:" + String(repeating: "0f", count: 32)
        #expect(Digest.isValid(valid))
        for text in [
            "", "sha256:", valid + "0", String(valid.dropLast()), valid.uppercased(), "sha512:" + valid.dropFirst(7),
            "sha256:" + String(repeating: "../", count: 21) + ".", valid.replacingLast(with: "\u{301}"),
        ] {
            #expect(!Digest.isValid(text), "\(text)")
        }
        #expect(Digest.hexadecimal(valid).utf8.count == 64)
    }
}

extension String {
    fileprivate func replacingLast(with text: String) -> String { String(dropLast()) + text }
}
