import Base
import Glibc
import Kernel
import OCI
import TestSupport
import Testing

@testable import Images

@Suite(.enabled(if: isRoot, "needs root")) struct ContentStoreTests {
    private let folder: TemporaryFolder
    private let content: ContentStore

    init() throws {
        folder = try TemporaryFolder()
        content = try ContentStore(root: folder.path + "/images")
    }

    private var counts: [Int] {
        get throws {
            try ["blobs/sha256", "layers", "incoming"].map { try FileContents.names(in: content.root + "/" + $0).count }
        }
    }

    private func layer(_ text: String) throws -> (layer: ImageRecord.Layer, diffID: String, size: Int64) {
        var archive = TarArchive()
        archive.add(.file, "etc/file", text)
        return try content.addLayer(file: folder.write("layer", archive.finished))
    }

    @Test func digestsAreOfTheContent() throws {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(try SHA256.digest(of: []) == empty)
        #expect(try content.put([]) == empty)
        #expect(
            try SHA256.digest(of: Array("abc".utf8))
                == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(try FileContents.read(content.blobPath(empty)).isEmpty)
    }

    @Test func aLayerIsUnpackedOnce() throws {
        let made = try layer("x")
        #expect(made.size == 1)
        #expect(try folder.text("images/layers/\(Digest.hexadecimal(made.diffID))/etc/file") == "x")
        #expect(try counts == [1, 1, 0])
        #expect(try content.unpack(blob: made.layer.digest, diffID: made.diffID) == 1)
        #expect(try layer("x").diffID == made.diffID)
        #expect(try counts == [1, 1, 0])
    }

    @Test func aWrongDigestLeavesNothing() throws {
        let made = try layer("x")
        let wrong = "sha256:" + String(repeating: "0", count: 64)
        let error = #expect(throws: SkalaError.self) { try content.unpack(blob: made.layer.digest, diffID: wrong) }
        #expect(error?.code == .invalid && error?.message.contains("wrong content") == true)
        #expect(try counts == [1, 1, 0])
        #expect(!content.has(content.layerPath(wrong)))
        #expect(throws: SkalaError.self) { try content.unpack(blob: wrong, diffID: wrong) }
        #expect(try counts == [1, 1, 0])
    }

    @Test func aHostileLayerLeavesNothing() throws {
        var archive = TarArchive()
        archive.add(.file, "good", "x")
        archive.add(.file, "../bad", "x")
        let path = try folder.write("layer", archive.finished)
        let error = #expect(throws: SkalaError.self) { try content.addLayer(file: path) }
        #expect(error?.code == .invalid)
        #expect(try counts[1...] == [0, 0])
    }

    @Test func whatIsNotNamedIsCollected() throws {
        let kept = try layer("kept")
        let gone = try layer("more than kept")
        let document = try content.put(Array("{}".utf8))
        let freed = try content.collect(keepingBlobs: [kept.layer.digest, document], layers: [kept.diffID])
        #expect(freed == gone.layer.size + gone.size)
        #expect(try counts == [2, 1, 0])
        #expect(content.has(content.layerPath(kept.diffID)) && !content.has(content.layerPath(gone.diffID)))
        #expect(try content.collect(keepingBlobs: [], layers: []) > 0)
        #expect(try counts == [0, 0, 0])
    }

    @Test func whatWasUnderWayIsRubbishAtTheStart() throws {
        try folder.write("images/incoming/half/deep/file", Array("x".utf8))
        let again = try ContentStore(root: content.root)
        #expect(try counts == [0, 0, 0])
        let missing = #expect(throws: SkalaError.self) {
            try again.document("sha256:" + String(repeating: "1", count: 64))
        }
        #expect(missing?.code == .notFound)
    }
}
