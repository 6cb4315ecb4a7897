import Archives
import Base
import CLinux
import Glibc
import Kernel
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Images

@Suite(.enabled(if: isRoot, "needs root"), .timeLimit(.minutes(2))) struct ImageStoreTests {
    private let folder: TemporaryFolder
    private let store: ImageStore

    init() async throws {
        folder = try TemporaryFolder()
        store = try await ImageStore(root: folder.path + "/images")
    }

    private func archive(_ text: String) -> [UInt8] {
        var archive = TarArchive()
        archive.add(.folder, "etc")
        archive.add(.file, "etc/file", text)
        archive.add(.symbolicLink, "link", link: "etc/file")
        return archive.finished
    }

    private func imported(_ name: String, _ text: String, changes: [String] = []) async throws -> Image {
        let path = try folder.write("import.tar", archive(text))
        return try await store.importArchive(
            from: try OwnedDescriptor.open(path, O_RDONLY), reference: try Reference(parsing: name), message: "",
            changes: changes)
    }

    private func load(_ path: String, into other: ImageStore? = nil) async throws -> [Image] {
        try await (other ?? store).load(from: try OwnedDescriptor.open(path, O_RDONLY)) { _ in }.map(\.image)
    }

    private func saved(_ names: [String]) async throws -> String {
        let path = folder.path + "/saved.tar"
        let output = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        try await store.save(names, to: output.raw)
        return path
    }

    private var counts: [Int] {
        get throws {
            try ["blobs/sha256", "layers", "incoming"].map {
                try FileContents.names(in: folder.path + "/images/" + $0).count
            }
        }
    }

    @Test func whatIsImportedIsFound() async throws {
        let image = try await imported("web:1", "hello", changes: ["CMD [\"a\"]", "ENV A=b"])
        #expect(
            image.tags == ["web:1"] && image.configuration.command == ["a"]
                && image.configuration.environment == ["A=b"])
        #expect(image.size == 5 + 8, "a link's size is its target's")
        for name in [
            "web:1", image.id, String(image.id.dropFirst(7)), String(image.id.dropFirst(7).prefix(12)),
            "docker.io/library/web:1",
        ] {
            #expect(try await store.find(name).id == image.id, "\(name)")
        }
        for name in ["web", "web:2", "0", "sha256:00", ""] {
            let error = await #expect(throws: SkalaError.self, "\(name)") { try await store.find(name) }
            #expect(error?.code == .notFound)
        }
        let layers = await store.layerPaths(of: image)
        #expect(try String(decoding: FileContents.read(layers[0] + "/etc/file"), as: UTF8.self) == "hello")
        // A new daemon finds it again.
        let again = try await ImageStore(root: folder.path + "/images")
        #expect(try await again.find("web:1").id == image.id)
    }

    @Test func whatIsSavedIsLoaded() async throws {
        let first = try await imported("web:1", "one")
        try await store.tag("web:1", as: "localhost:5000/other:x")
        let second = try await imported("db", "two")
        let path = try await saved(["web:1", "localhost:5000/other:x", "db:latest"])
        let other = try await ImageStore(root: folder.path + "/other")
        let images = try await load(path, into: other)
        #expect(Set(images.map(\.id)) == [first.id, second.id])
        #expect(Set(try await other.find("web:1").tags) == ["localhost:5000/other:x", "web:1"])
        #expect(try await other.find("db").id == second.id)
        let layers = await other.layerPaths(of: try await other.find("db"))
        #expect(try String(decoding: FileContents.read(layers[0] + "/etc/file"), as: UTF8.self) == "two")
    }

    @Test func anImageWithoutNameIsSavedByItsID() async throws {
        let image = try await imported("web:1", "one")
        let path = try await saved([image.id])
        _ = try await store.remove("web:1", force: false, prune: true)
        #expect(try counts == [0, 0, 0])
        let loaded = try await load(path)
        #expect(loaded.map(\.id) == [image.id] && loaded[0].tags.isEmpty)
        #expect(try counts == [2, 1, 0])
    }

    @Test func aRepositoryIsSavedWithAllItsTags() async throws {
        let first = try await imported("web:1", "one")
        let second = try await imported("web:2", "two")
        for name in ["web:3", "webs:1", "other/web:1"] { try await store.tag("web:2", as: name) }
        let other = try await ImageStore(root: folder.path + "/other")
        let images = try await load(try await saved(["web"]), into: other)
        #expect(Set(images.map(\.id)) == [first.id, second.id])
        #expect(Set(await other.list().flatMap(\.tags)) == ["web:1", "web:2", "web:3"])
    }

    @Test(arguments: ["docker-archive", "oci-archive"])
    func whatSkopeoReadsAndWritesIsTheSame(format: String) async throws {
        guard let skopeo = tool("skopeo") else { return }
        let image = try await imported("web:1", "skopeo")
        let path = try await saved(["web:1"])
        let converted = folder.path + "/converted.tar"
        let from = "docker-archive:" + path
        let to = "\(format):\(converted):docker.io/library/copy:2"
        _ = try await store.threads.run { try run(skopeo, "--insecure-policy", "copy", "-q", from, to) }
        let other = try await ImageStore(root: folder.path + "/other")
        let loaded = try #require(try await load(converted, into: other).first)
        #expect(loaded.tags == ["copy:2"])
        #expect(loaded.diffIDs == image.diffIDs)
    }

    @Test func tagsMoveAndGo() async throws {
        let first = try await imported("web", "one")
        let second = try await imported("web", "two")
        #expect(first.id != second.id)
        #expect(try await store.find("web").id == second.id)
        #expect(try await store.find(first.id).tags.isEmpty)
        try await store.tag("web", as: "web:extra")
        await #expect(throws: SkalaError.self) { try await store.tag("web", as: "x@" + first.id) }
        let conflict = await #expect(throws: SkalaError.self) {
            try await store.remove(second.id, force: false, prune: true)
        }
        #expect(conflict?.code == .conflict && conflict?.message.contains("multiple repositories") == true)
        #expect(try await store.remove("web:extra", force: false, prune: true) == [["Untagged": "web:extra"]])
        let removed = try await store.remove("web", force: false, prune: true)
        #expect(removed == [["Untagged": "web:latest"], ["Deleted": JSON(second.id)]])
        let pruned = try await store.prune(danglingOnly: true) { _ in true }
        #expect(pruned.deleted == [["Deleted": JSON(first.id)]])
        #expect(try counts == [0, 0, 0])
    }

    @Test func anImageInUseStays() async throws {
        let image = try await imported("web", "one")
        await store.retain(image: image.id, holder: "0123456789abcdef")
        let conflict = await #expect(throws: SkalaError.self) {
            try await store.remove("web", force: false, prune: true)
        }
        #expect(conflict?.code == .conflict && conflict?.message.contains("0123456789ab ") == true)
        #expect(try await store.remove("web", force: true, prune: true) == [["Untagged": "web:latest"]])
        #expect(try counts == [2, 1, 0], "its layers stay for the container")
        #expect(try await store.prune(danglingOnly: false) { _ in true }.deleted.isEmpty)
        await store.release(holder: "0123456789abcdef")
        #expect(try await store.prune(danglingOnly: true) { _ in true }.deleted.count == 1)
        #expect(try counts == [0, 0, 0])
    }

    /// Archives that are no image, and what the error says.
    @Test func whatIsNoImageIsRefusedAndLeavesNothing() async throws {
        func archive(_ build: (inout TarArchive) -> Void) -> [UInt8] {
            var archive = TarArchive()
            build(&archive)
            return archive.finished
        }
        let digest = "sha256:" + String(repeating: "a", count: 64)
        let cases: [(archive: [UInt8], word: String)] = [
            (archive { $0.add(.file, "x", "y") }, "neither"),
            (archive { $0.add(.file, "manifest.json", "{") }, "JSON"),
            (archive { $0.add(.file, "manifest.json", #"[{"Config": "c"}]"#) }, "no configuration or layers"),
            (archive { $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": []}]"#) }, "lacks 'c'"),
            (archive { $0.add(.file, "manifest.json", #"[{"Config": "../c", "Layers": []}]"#) }, "lacks '../c'"),
            (archive { $0.add(.file, "manifest.json", #"[{"Config": "/etc/passwd", "Layers": []}]"#) }, "lacks"),
            (
                archive {
                    $0.add(.symbolicLink, "c", link: "/etc/passwd")
                    $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": []}]"#)
                }, "lacks 'c'"
            ),
            (archive { $0.add(.symbolicLink, "manifest.json", link: "/etc/passwd") }, "lacks 'manifest.json'"),
            (archive { $0.add(.pipe, "manifest.json") }, "no file"),
            (
                archive {
                    $0.add(.characterDevice, Array("c".utf8), device: (1, 5))
                    $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": []}]"#)
                }, "no file"
            ),
            (
                archive {
                    $0.add(.file, "c", #"{"rootfs": {"diff_ids": ["\#(digest)"]}}"#)
                    $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": []}]"#)
                }, "does not fit its layers"
            ),
            (
                archive {
                    $0.add(.file, "c", #"{"rootfs": {"diff_ids": ["\#(digest)"]}}"#)
                    $0.add(.file, "l", "no archive")
                    $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": ["l"]}]"#)
                }, ""
            ),
            (
                archive {
                    $0.add(.file, "c", "{}")
                    $0.add(.file, "manifest.json", #"[{"Config": "c", "Layers": [], "RepoTags": ["BAD"]}]"#)
                }, "lowercase"
            ),
            (archive { $0.add(.file, "index.json", "{}") }, "no image for this platform"),
            (archive { $0.add(.file, "index.json", #"{"manifests": [{"digest": "x"}]}"#) }, "valid digest"),
            (archive { $0.add(.file, "index.json", #"{"manifests": [{"digest": "\#(digest)"}]}"#) }, "lacks"),
            (
                archive {
                    $0.add(.file, "blobs/sha256/" + String(repeating: "a", count: 64), "{}")
                    $0.add(.file, "index.json", #"{"manifests": [{"digest": "\#(digest)"}]}"#)
                }, "has the digest"
            ),
        ]
        for (index, one) in cases.enumerated() {
            let path = try folder.write("bad.tar", one.archive)
            let error = await #expect(throws: SkalaError.self, "\(index): \(one.word)") { try await load(path) }
            #expect(
                error?.code == .invalid && error?.message.contains(one.word) == true,
                "\(index): \(error?.message ?? "")")
            #expect(try counts == [0, 0, 0], "\(index): \(one.word)")
        }
    }

    @Test func aCommitHoldsWhatWasWritten() async throws {
        let base = try await imported("base", "one", changes: ["CMD [\"sh\"]"])
        let upper = folder.path + "/upper"
        try folder.write("upper/new", Array("new".utf8))
        try folder.write("upper/dir/file", Array("x".utf8))
        #expect(mknod(upper + "/gone", S_IFCHR, 0) == 0)
        #expect(setxattr(upper + "/dir", "trusted.overlay.opaque", "y", 1, 0) == 0)
        #expect(link(upper + "/new", upper + "/same") == 0)
        // No UTF-8.
        let odd: [CChar] = Array((upper + "/").utf8CString.dropLast()) + [CChar(bitPattern: 0xE9), 0]
        #expect(open(odd, O_CREAT | O_WRONLY, 0o644) > 2)
        let image = try await store.commit(
            on: base, config: base.configuration.raw["config"], reference: try Reference(parsing: "made"),
            author: "me", comment: "why"
        ) { try ContainerFiles.writeLayer(upper, to: $0.raw) }
        #expect(image.configuration.command == ["sh"] && image.diffIDs.count == 2 && image.author == "me")
        let layer = await store.layerPaths(of: image)[0]
        var status = stat()
        #expect(lstat(layer + "/gone", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR && status.st_rdev == 0)
        var value: UInt8 = 0
        #expect(getxattr(layer + "/dir", "trusted.overlay.opaque", &value, 1) == 1 && value == UInt8(ascii: "y"))
        #expect(lstat(layer + "/same", &status) == 0 && status.st_nlink == 2)
        let opened = try OwnedDescriptor.open(layer, O_RDONLY)
        let names = try FileContents.names(in: opened.raw, layer)
        #expect(names.contains([CChar(bitPattern: 0xE9), 0]))
        let history = try await store.history("made")
        #expect(history.array?.count == 2 && history[0]["Comment"] == "why" && history[0]["Tags"] == ["made:latest"])
        let changes = try LayerChanges.changes(upper: upper, lower: await store.layerPaths(of: base))
        #expect(changes.first { $0.path == "/gone" }?.kind == 2 && changes.first { $0.path == "/new" }?.kind == 1)
        #expect(changes.map(\.path) == ["/dir", "/dir/file", "/gone", "/new", "/same", "/\u{FFFD}"])
    }

    @Test func whatALayerHidesIsAddedNotChanged() throws {
        for path in ["low/d/file", "low/e/file", "low/f/file", "up/d/file", "up/e/file", "up/f/file", "high/d/other"] {
            try folder.write(path, [1])
        }
        let root = folder.path
        #expect(mknod(root + "/high/e", S_IFCHR, 0) == 0)
        #expect(setxattr(root + "/high/d", "trusted.overlay.opaque", "y", 1, 0) == 0)
        // A folder and a file below it, both of bytes that are no UTF-8; the folder is the image's.
        let odd: [CChar] = [CChar(bitPattern: 0xE9), 0]
        for layer in ["low", "up"] {
            #expect(mkdir(Array("\(root)/\(layer)/".utf8CString.dropLast()) + odd, 0o755) == 0)
        }
        let below =
            Array("\(root)/up/".utf8CString.dropLast()) + odd.dropLast() + Array("/".utf8CString.dropLast()) + odd
        #expect(close(open(below, O_CREAT | O_WRONLY, 0o644)) == 0)
        let changes = try LayerChanges.changes(upper: root + "/up", lower: [root + "/high", root + "/low"])
        #expect(
            changes.map { "\($0.kind) \($0.path)" } == [
                "0 /d", "1 /d/file", "1 /e", "1 /e/file", "0 /f", "0 /f/file", "0 /\u{FFFD}", "1 /\u{FFFD}/\u{FFFD}",
            ])
    }
}
