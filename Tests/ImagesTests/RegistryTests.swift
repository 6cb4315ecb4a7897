import Base
import Testing

@testable import Images

struct RegistryTests {
    @Test(
        arguments: [
            (
                #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                [
                    "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                    "scope": "repository:a/b:pull,push",
                ]
            ),
            (
                #"Bearer realm="x", service=plain, error=invalid"#,
                ["realm": "x", "service": "plain", "error": "invalid"]
            ),
            (#"bearer REALM="a=b""#, ["realm": "a=b"]),
            ("Bearer", [:]), ("", [:]), ("Bearer realm", [:]), (#"Bearer realm=""#, ["realm": ""]),
            (#"Bearer realm="unterminated"#, ["realm": "unterminated"]), ("Bearer =", ["": ""]),
        ] as [(String, [String: String])])
    func challengesAreRead(challenge: String, fields: [String: String]) {
        #expect(RegistryClient.fields(challenge) == fields)
    }

    @Test(
        arguments: [
            (#"</v2/x/tags/list?n=2&last=b>; rel="next""#, "/v2/x/tags/list?n=2&last=b"),
            (#"<https://r/v2/x/tags/list?last=b>;rel=next"#, "https://r/v2/x/tags/list?last=b"),
            (#"</first>; rel="prev", </third>; title="a"; rel="next""#, "/third"),
            (#"</x>; rel="prev""#, nil), ("</x>", nil), ("", nil), ("<", nil), ("<x", nil), (">x<; rel=next", nil),
        ] as [(String, String?)])
    func nextPagesAreRead(header: String, target: String?) {
        #expect(RegistryClient.nextPage(header) == target)
    }

    @Test func onlyLoopbackIsAskedWithoutTLS() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]:5000"] {
            #expect(RegistryClient.isLoopback(host), "\(host)")
        }
        for host in [
            "localhost.example.com", "registry", "[::2]:5000", "10.0.0.1", "1127.0.0.1", "127.0.0.1.nip.io",
            "127.example.com",
        ] {
            #expect(!RegistryClient.isLoopback(host), "\(host)")
        }
    }

    @Test func credentialsAreRead() {
        let document: JSON = ["username": "me", "password": "p:w", "serveraddress": "localhost:5000"]
        let credentials = RegistryCredentials(header: Base64.encode(document.bytes))
        #expect(credentials?.username == "me" && credentials?.serverAddress == "localhost:5000")
        #expect(credentials?.basic == "Basic bWU6cDp3")
        for header in ["", "!", Base64.encode(Array("{}".utf8)), Base64.encode(Array("{".utf8)), "bnVsbA=="] {
            #expect(RegistryCredentials(header: header) == nil)
        }
        #expect(RegistryCredentials(header: Base64.encode(Array(#"{"identitytoken":"t"}"#.utf8)))?.identityToken == "t")
        let token = RegistryCredentials(header: Base64.encode(Array(#"{"registrytoken":"r"}"#.utf8)))
        #expect(token?.registryToken == "r" && token?.identityToken == "")
    }

    @Test func triesThatBringSomethingDoNotEndADownload() {
        var tries = DownloadTries()
        for have in 1...20 { #expect(tries.next(have: Int64(have)) == 100_000) }
        // The same again, or less, is nothing: longer and longer pauses, then the end.
        #expect(tries.next(have: 20) == 200_000)
        #expect(tries.next(have: 0) == 400_000)
        #expect(tries.next(have: 21) == 100_000)
        #expect((0..<5).map { _ in tries.next(have: 3) } == [200_000, 400_000, 800_000, 1_600_000, nil])
        #expect(tries.count == 28)
    }

    @Test func aByteATimeIsNotForEver() {
        var tries = DownloadTries()
        var have: Int64 = 0
        repeat { have += 1 } while tries.next(have: have) != nil
        #expect(tries.count == 100)
    }

    @Test func nothingAtAllIsTriedFiveTimes() {
        var tries = DownloadTries()
        repeat {} while tries.next(have: 0) != nil
        #expect(tries.count == 5)
    }

    @Test func progressIsDockers() {
        let digest = "sha256:" + String(repeating: "ab", count: 32)
        #expect(
            ProgressMessage.status("Pushed", of: digest)
                == ["status": "Pushed", "progressDetail": [:], "id": "abababababab"])
        let message = ProgressMessage.transfer("Downloading", of: digest, current: 500, total: 1000)
        #expect(message["progressDetail"] == ["current": 500, "total": 1000])
        #expect(
            message["progress"].string == "[" + String(repeating: "=", count: 25) + ">"
                + String(repeating: " ", count: 24) + "] 500B/1kB")
        #expect(
            ProgressMessage.transfer("Pushing", of: digest, current: 5, total: 0)["progress"].string?.isEmpty == false)
        #expect(
            ProgressMessage.transfer("Pushing", of: digest, current: 5, total: 1)["progress"].string?.contains("====]")
                == true)
    }
}
