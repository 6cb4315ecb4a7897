public import Base
public import Client
import Glibc
import Kernel

/// What the lab has made for experiments that no longer need it: images in the engine, and files of images in its folder.
public struct LabLeftovers {
    public struct Item: Sendable, Hashable {
        public enum Kind: String, Sendable {
            /// In the engine; its name is a reference.
            case image
            /// In the lab's folder; its name is a path.
            case files
        }

        public let kind: Kind
        public let name: String
        /// What it takes on the disk.
        public let bytes: Int64
    }

    public let items: [Item]
    private let home: LabHome
    private let client: EngineClient

    /// Looks what there is.
    ///
    /// - Parameter experiments: folders of experiments whose images are needed; those of the runs in `home` are, too.
    /// - Throws: when one of the experiments cannot be read: its images would not be known.
    public init(home: LabHome, experiments: [String], client: EngineClient) throws {
        self.home = home
        self.client = client
        var images: [ImageRecipe] = []
        for folder in experiments { images += try Experiment(folder: folder, quick: false).images }
        for folder in LabLeftovers.resumable(home) where !experiments.contains(folder) {
            // One that has gone, or is broken by now, cannot be gone on with.
            images += (try? Experiment(folder: folder, quick: false).images) ?? []
        }
        try FileContents.makeDirectories(home.path)
        let needed = try LabLeftovers.references(images, scratch: home.path)
        let ids = try LabLeftovers.identifiers(needed, client)
        let system = try MachineDiskMaker.system(scratch: home.path)
        let disks = ids.map { MachineDiskMaker.name($0.key, id: $0.value, system: system) }
        items =
            try LabLeftovers.images(client, without: needed.union(disks))
            + LabLeftovers.files(home.images, without: Set(ids.values.map(PreparedImage.folderName)))
            + LabLeftovers.files(home.machines, without: [system])
    }

    public var bytes: Int64 { items.reduce(0) { $0 + $1.bytes } }

    /// Folders of the experiments of all runs that are kept.
    private static func resumable(_ home: LabHome) -> Set<String> {
        let records = RunFolder.all(in: home.runs).compactMap { try? $0.read().record }  // what is no run needs nothing
        return Set(records.flatMap { $0["options"]["folders"].strings ?? [] })
    }

    private static func references(_ images: [ImageRecipe], scratch: String) throws -> Set<String> {
        Set(
            try images.map { image in
                switch image.source {
                case .reference(let reference): reference
                case .folder(let folder, let recipe):
                    try ImageMaker.reference(image.name, folder, recipe, scratch: scratch)
                }
            })
    }

    /// The ids of those images that the engine has.
    private static func identifiers(_ references: Set<String>, _ client: EngineClient) throws -> [String: String] {
        var ids: [String: String] = [:]
        for reference in references {
            do {
                let image = try client.json(.get("/images/\(PercentEncoding.encode(reference, keeping: "/:@"))/json"))
                ids[reference] = image["Id"].string ?? ""
            } catch let error as SkalaError where error.code == .notFound { continue }
        }
        return ids
    }

    private static func images(_ client: EngineClient, without needed: Set<String>) throws -> [Item] {
        let list = try client.json(.get("/images/json")).array ?? []
        return list.flatMap { image in
            (image["RepoTags"].strings ?? []).filter { $0.hasPrefix(ImageMaker.repository) && !needed.contains($0) }
                .map { Item(kind: .image, name: $0, bytes: image["Size"].int ?? 0) }
        }.sorted { $0.name < $1.name }
    }

    private static func files(_ folder: String, without needed: Set<String>) throws -> [Item] {
        // A lab that has no such folder has no files.
        let names = (try? FileContents.names(in: folder)) ?? []
        return try names.filter { !$0.hasSuffix(PreparedImage.mark) && !needed.contains($0) }.sorted().map {
            let path = "\(folder)/\($0)"
            return Item(kind: .files, name: path, bytes: try DiskUsage.bytes(below: path, allocated: true))
        }
    }

    /// Removes all of it.
    ///
    /// - Parameter each: called with what has been removed, or why not.
    /// - Returns: the bytes that became free.
    /// - Throws: `.conflict` when a run is under way.
    public func remove(_ each: (Item, SkalaError?) -> Void) throws -> Int64 {
        guard !items.isEmpty else { return 0 }
        let locks = try LabRun.lock(home.path, client.address)
        defer { for lock in locks { lock.close() } }
        var freed: Int64 = 0
        for item in items {
            do {
                try remove(item)
                freed += item.bytes
                each(item, nil)
            } catch {
                each(
                    item,
                    (error as? KernelError)?.asSkalaError ?? error as? SkalaError ?? SkalaError(.system, "\(error)"))
            }
        }
        return freed
    }

    private func remove(_ item: Item) throws {
        switch item.kind {
        case .image: try client.json(.delete("/images/\(PercentEncoding.encode(item.name, keeping: "/:@"))"))
        case .files:
            // Without the mark first: what is half removed is no root of anything.
            let mark = item.name + PreparedImage.mark
            guard unlink(mark) == 0 || errno == ENOENT else { throw KernelError("unlink", mark, errno: errno) }
            try FileContents.removeTree(item.name)
        }
    }
}
