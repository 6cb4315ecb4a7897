public import Base
import CLinux
import Glibc
import Kernel
import Store

/// A named folder that outlives containers.
public struct Volume: Sendable {
    public let name: String
    public let created: Timestamp
    public let labels: [String: String]
    public let options: [String: String]
    public let isAnonymous: Bool
    /// The folder containers see.
    public let mountpoint: String

    /// The API's `Volume`.
    public var json: JSON {
        [
            "CreatedAt": JSON(Timestamp(seconds: created.seconds).text), "Driver": "local", "Labels": JSON(labels),
            "Mountpoint": JSON(mountpoint), "Name": JSON(name), "Options": options.isEmpty ? .null : JSON(options),
            "Scope": "local",
        ]
    }
}

/// The volumes, and which containers hold them.
public actor Volumes {
    private let root: String
    private let store: Store
    private let events: EventBus
    private let threads: WorkerThreads
    private var volumes: [String: Volume] = [:]
    private var holders: [String: Set<String>] = [:]
    /// Of removed volumes, and could not be removed yet.
    private var leftFolders: Set<String> = []

    init(root: String, store: Store, events: EventBus, threads: WorkerThreads) async throws {
        self.root = root
        self.store = store
        self.events = events
        self.threads = threads
        try FileContents.makeDirectories(root, mode: 0o711)
        for (name, json) in try await store.all("volume") {
            volumes[name] = Volume(
                name: name, created: Timestamp(nanoseconds: json["created"].int ?? 0),
                labels: json["labels"].stringDictionary ?? [:], options: json["options"].stringDictionary ?? [:],
                isAnonymous: json["anonymous"].bool ?? false,
                mountpoint: Volumes.mountpoint(name, json["options"].stringDictionary ?? [:], root: root))
        }
        try await finishInterrupted()
    }

    /// Brings the folders in line with the store after a kill: a removal counts once the store has forgotten the volume,
    /// a creation once the store has it. A folder with something in it is never removed for being unknown.
    private func finishInterrupted() async throws {
        let root = root
        let known = Set(volumes.keys)
        try await threads.run {
            for folder in try FileContents.names(in: root) where folder.hasPrefix(Volumes.removedPrefix) {
                let name = String(folder.dropFirst(Volumes.removedPrefix.count).dropLast(Identifier.shortLength + 1))
                if known.contains(name), rename("\(root)/\(folder)", "\(root)/\(name)") == 0 { continue }
                try FileContents.removeTree("\(root)/\(folder)")
            }
            for name in try FileContents.names(in: root) where !known.contains(name) {
                if rmdir("\(root)/\(name)/_data") == 0 || errno == ENOENT { rmdir("\(root)/\(name)") }
            }
        }
    }

    /// Of folders on their way out; no volume's name begins with a dot.
    private static let removedPrefix = ".removed-"

    /// - Throws: `.invalid` with Docker's text.
    static func checkName(_ name: String) throws(SkalaError) {
        let isValid =
            name.count >= 2 && name.count <= 255
            && name.first.map { $0.isASCII && ($0.isLetter || $0.isNumber) } ?? false
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
        guard isValid else {
            throw SkalaError(
                .invalid,
                "create \(name): \"\(name)\" includes invalid characters for a local volume name, only "
                    + "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )
        }
    }

    /// The local driver's options: a folder of the host in place of an own one (`type=none,o=bind,device=/path`).
    private static func checkOptions(_ options: [String: String], _ name: String) throws(SkalaError) {
        guard !options.isEmpty else { return }
        for key in options.keys.sorted() where !["type", "o", "device"].contains(key) {
            throw SkalaError(.invalid, "create \(name): invalid option: \"\(key)\"")
        }
        let isBind = (options["o"] ?? "").split(separator: ",").contains { $0 == "bind" || $0 == "rbind" }
        guard isBind, ["none", "bind", ""].contains(options["type"] ?? "") else {
            throw SkalaError(
                .invalid,
                "create \(name): volumes of type '\(options["type"] ?? "")' are not supported: only type=none,o=bind is; "
                    + "a tmpfs is made with --tmpfs, other file systems are mounted on the host and bound")
        }
        var status = stat()
        guard let device = options["device"], device.hasPrefix("/"), stat(device, &status) == 0,
            status.st_mode & S_IFMT == S_IFDIR
        else { throw SkalaError(.invalid, "create \(name): device '\(options["device"] ?? "")' is no folder") }
    }

    private static func mountpoint(_ name: String, _ options: [String: String], root: String) -> String {
        options["device"] ?? root + "/" + name + "/_data"
    }

    /// The volume of that name, made when it is missing; an empty name makes an anonymous one.
    public func create(
        name: String, driver: String = "local", options: [String: String] = [:], labels: [String: String] = [:]
    ) async throws -> Volume {
        guard driver.isEmpty || driver == "local" else {
            throw SkalaError(.notFound, "error looking up volume plugin \(driver): plugin \"\(driver)\" not found")
        }
        try Volumes.checkOptions(options, name)
        if let volume = volumes[name] { return volume }
        let isAnonymous = name.isEmpty
        let name = isAnonymous ? Identifier.make() : name
        try Volumes.checkName(name)
        var labels = labels
        if isAnonymous { labels["com.docker.volume.anonymous"] = "" }
        let volume = Volume(
            name: name, created: SystemClock.now(), labels: labels, options: options, isAnonymous: isAnonymous,
            mountpoint: Volumes.mountpoint(name, options, root: root))
        try FileContents.makeDirectories(root + "/" + name + "/_data")
        volumes[name] = volume
        do {
            try await store.put(
                "volume", name,
                [
                    "created": JSON(volume.created.nanoseconds), "labels": JSON(labels), "options": JSON(options),
                    "anonymous": JSON(isAnonymous),
                ])
        } catch {
            volumes[name] = nil
            rmdir("\(root)/\(name)/_data")
            rmdir("\(root)/\(name)")
            throw error
        }
        events.publish("volume", "create", name, ["driver": "local"])
        return volume
    }

    /// - Throws: `.notFound` with Docker's text.
    public func find(_ name: String) throws -> Volume {
        guard let volume = volumes[name] else { throw SkalaError(.notFound, "get \(name): no such volume") }
        return volume
    }

    public func list() -> [Volume] { volumes.values.sorted { $0.name < $1.name } }

    /// - Throws: `.conflict` while a container uses it.
    public func remove(_ name: String, force: Bool) async throws {
        guard let volume = volumes[name] else {
            if force { return }
            throw SkalaError(.notFound, "get \(name): no such volume")
        }
        if let users = holders[name], !users.isEmpty {
            throw SkalaError(
                .conflict, "remove \(name): volume is in use - [\(users.sorted().joined(separator: ", "))]")
        }
        // Moved away at once: a new volume of that name must not lose its files to this removal.
        let path = "\(root)/\(Volumes.removedPrefix)\(name)-\(Identifier.short(Identifier.make()))"
        try checkErrno(rename(root + "/" + name, path), "rename", name)
        volumes[name] = nil
        do {
            try await store.remove("volume", name)
        } catch {
            // It is a volume still, unless there is a new one of its name.
            if volumes[name] == nil, rename(path, root + "/" + name) == 0 { volumes[name] = volume }
            throw error
        }
        if await !removeFolder(path) {
            leftFolders.insert(path)
            BackgroundRetry.start { [weak self] in await self?.removeFolder(path) ?? true }
        }
        events.publish("volume", "destroy", name, ["driver": "local"])
    }

    private func removeFolder(_ path: String) async -> Bool {
        do {
            try await threads.run { try FileContents.removeTree(path) }
        } catch { return false }
        leftFolders.remove(path)
        return true
    }

    /// Tries once more to remove what could not be removed.
    public func sweep() async { for path in leftFolders.sorted() { _ = await removeFolder(path) } }

    /// Whether a container uses the volume.
    public func isUsed(_ name: String) -> Bool { !(holders[name] ?? []).isEmpty }
    public func referenceCount(_ name: String) -> Int { holders[name]?.count ?? 0 }

    func retain(_ name: String, holder: String) { holders[name, default: []].insert(holder) }

    func release(holder: String) {
        for name in holders.keys { holders[name]?.remove(holder) }
        holders = holders.filter { !$0.value.isEmpty }
    }

    /// The bytes below a volume's folder.
    public func size(of volume: Volume) async throws -> Int64 {
        try await threads.run { try DiskUsage.bytes(below: volume.mountpoint) }
    }
}
