import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import SkalaCLI

struct CredentialStoreTests {
    @Test func credentialsAreFoundUnderEveryFormOfTheirName() throws {
        let auth = JSON(Base64.encode(Array("me:a:b".utf8)))
        let store = CredentialStore(
            path: "/nowhere",
            document: [
                "auths": [
                    "https://index.docker.io/v1/": ["auth": auth], "https://r.example/v2/": ["auth": auth],
                    "token.example": ["identitytoken": "t"], "broken.example": ["auth": "!"],
                ]
            ])
        let expected: JSON = ["username": "me", "password": "a:b"]
        #expect(try store.credentials(for: "docker.io") == expected)
        #expect(try store.credentials(for: "r.example") == expected)
        #expect(try store.credentials(for: "token.example") == ["identitytoken": "t"])
        #expect(try store.credentials(for: "broken.example") == nil)
        #expect(try store.credentials(for: "other.example") == nil)
        let header = try #require(try store.header(for: "r.example"))
        #expect(!header.contains("+") && !header.contains("/"))
    }

    @Test func whatIsStoredIsFoundAndErased() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/docker/config.json"
        var store = CredentialStore(path: path, document: ["HttpHeaders": ["X": "1"]])
        #expect(try store.store(["username": "me", "password": "p"], for: "r.example") == path)
        var read = CredentialStore(path: path, document: try JSON(parsing: FileContents.read(path)))
        #expect(try read.credentials(for: "r.example") == ["username": "me", "password": "p"])
        #expect(read.document["HttpHeaders"]["X"] == "1")
        // A token that stands for the password takes its place.
        let credentials: JSON = ["username": "me", "password": "secret", "identitytoken": "t"]
        _ = try read.store(credentials, for: "t.example")
        let written = CredentialStore(path: path, document: try JSON(parsing: FileContents.read(path)))
        #expect(try written.credentials(for: "t.example") == ["identitytoken": "t"])
        #expect(written.document["auths"]["t.example"]["auth"].string.flatMap(Base64.decode) == Array("me:".utf8))
        _ = try read.erase("t.example")
        var information = stat()
        #expect(stat(path, &information) == 0 && information.st_mode & 0o777 == 0o600)
        #expect(try read.erase("https://r.example/") == true)
        #expect(try read.erase("r.example") == false)
        #expect(try JSON(parsing: FileContents.read(path))["auths"] == [:])
    }
}
