import Base
import Kernel
import TestSupport
import Testing

@testable import Services

struct SecretVaultTests {
    @Test(arguments: [0, 1, 15, 16, 4096])
    func whatIsSealedIsOpened(_ length: Int) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let sealed = try SecretVault(path: folder.path + "/key").seal(bytes, id: "a")
        #expect(sealed.count == length + 28)
        // Another use, with the key from the file.
        #expect(try SecretVault(path: folder.path + "/key").open(sealed, id: "a") == bytes)
        #expect(try FileContents.read(folder.path + "/key").count == 32)
    }

    @Test func sameBytesAreSealedDifferently() throws {
        let folder = try TemporaryFolder()
        let vault = try SecretVault(path: folder.path + "/key")
        #expect(try vault.seal([1, 2, 3], id: "a") != vault.seal([1, 2, 3], id: "a"))
    }

    @Test func everyChangedByteIsNoticed() throws {
        let folder = try TemporaryFolder()
        let vault = try SecretVault(path: folder.path + "/key")
        let sealed = try vault.seal(Array("swordfish".utf8), id: "a")
        for index in sealed.indices {
            var damaged = sealed
            damaged[index] ^= 1
            #expect(throws: SkalaError.self) { try vault.open(damaged, id: "a") }
        }
        #expect(throws: SkalaError.self) { try vault.open(sealed, id: "b") }
        #expect(throws: SkalaError.self) { try vault.open(Array(sealed.prefix(20)), id: "a") }
        let other = try SecretVault(path: folder.path + "/other")
        #expect(throws: SkalaError.self) { try other.open(sealed, id: "a") }
    }
}
