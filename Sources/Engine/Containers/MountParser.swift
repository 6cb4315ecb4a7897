import Base

/// The mounts of a create request: `Binds`, `Mounts`, `Tmpfs`, and the image's and client's `Volumes`. Pure.
struct MountParser {
    private(set) var mounts: [ContainerRecord.Mount] = []

    /// - Throws: `.invalid` with Docker's texts.
    init(host: JSON, config: JSON) throws(SkalaError) {
        for bind in host["Binds"].strings ?? [] { try add(MountParser.bind(bind)) }
        for mount in host["Mounts"].array ?? [] { try add(MountParser.mount(mount)) }
        for (path, options) in host["Tmpfs"].stringPairs ?? [] { try add(MountParser.tmpfs(path, options)) }
        for path in config["Volumes"].object?.keys ?? [] {
            let destination = MountParser.clean(path)
            guard !mounts.contains(where: { $0.destination == destination }) else { continue }
            mounts.append(
                ContainerRecord.Mount(
                    type: "volume", name: "", source: "", destination: destination, isReadOnly: false, mode: "",
                    propagation: "", copiesUp: true, isAnonymous: true))
        }
    }

    private mutating func add(_ mount: ContainerRecord.Mount) throws(SkalaError) {
        guard mount.destination.hasPrefix("/") else {
            throw SkalaError(.invalid, "invalid mount path: '\(mount.destination)' mount path must be absolute")
        }
        guard mount.destination != "/" else {
            throw SkalaError(.invalid, "invalid volume specification: destination can't be '/'")
        }
        guard !mounts.contains(where: { $0.destination == mount.destination }) else {
            throw SkalaError(.invalid, "Duplicate mount point: \(mount.destination)")
        }
        mounts.append(mount)
    }

    /// The path without `.`, `..`, double and trailing slashes.
    static func clean(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") {
            if part == "." { continue }
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }

    /// `source:destination[:options]` or `destination`.
    private static func bind(_ text: String) throws(SkalaError) -> ContainerRecord.Mount {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw SkalaError(.invalid, "invalid volume specification: '\(text)'")
        }
        let destination = clean(parts.count == 1 ? parts[0] : parts[1])
        let source = parts.count == 1 ? "" : parts[0]
        let options = parts.count == 3 ? parts[2].split(separator: ",").map(String.init) : []
        let known: Set = [
            "ro", "rw", "z", "Z", "nocopy", "shared", "rshared", "slave", "rslave", "private", "rprivate", "cached",
            "delegated", "consistent",
        ]
        for option in options where !known.contains(option) {
            throw SkalaError(.invalid, "invalid volume specification: '\(text)': invalid mode: \(parts[2])")
        }
        let isBind = source.hasPrefix("/")
        if !isBind, !source.isEmpty { try Volumes.checkName(source) }
        let propagation = options.first { $0.hasSuffix("shared") || $0.hasSuffix("slave") || $0.hasSuffix("private") }
        return ContainerRecord.Mount(
            type: isBind ? "bind" : "volume", name: isBind ? "" : source, source: isBind ? clean(source) : "",
            destination: destination, isReadOnly: options.contains("ro"), mode: parts.count == 3 ? parts[2] : "",
            propagation: isBind ? propagation ?? "rprivate" : "", copiesUp: !isBind && !options.contains("nocopy"),
            isAnonymous: !isBind && source.isEmpty)
    }

    /// An element of `Mounts`.
    private static func mount(_ json: JSON) throws(SkalaError) -> ContainerRecord.Mount {
        try RefusedFields.check("Mount", json)
        let type = json["Type"].string ?? ""
        let source = json["Source"].string ?? ""
        let destination = clean(json["Target"].string ?? "")
        var mount = ContainerRecord.Mount(
            type: type, name: "", source: "", destination: destination, isReadOnly: json["ReadOnly"].bool ?? false,
            mode: "", propagation: "")
        switch type {
        case "bind":
            guard source.hasPrefix("/") else {
                throw SkalaError(
                    .invalid,
                    "invalid mount config for type \"bind\": invalid mount path: '\(source)' mount path must be absolute"
                )
            }
            mount.source = clean(source)
            mount.mode = json["BindOptions"]["CreateMountpoint"].bool == true ? "" : "mount"
            let propagation = json["BindOptions"]["Propagation"].string ?? ""
            mount.propagation = propagation.isEmpty ? "rprivate" : propagation
        case "volume":
            if !source.isEmpty { try Volumes.checkName(source) }
            mount.name = source
            mount.mode = "z"
            mount.copiesUp = json["VolumeOptions"]["NoCopy"].bool != true
            mount.isAnonymous = source.isEmpty
        case "tmpfs":
            if let size = json["TmpfsOptions"]["SizeBytes"].int, size > 0 { mount.options.append("size=\(size)") }
            if let mode = json["TmpfsOptions"]["Mode"].int, mode > 0 {
                mount.options.append("mode=" + String(mode, radix: 8))
            }
        default: throw SkalaError(.invalid, "invalid mount config for type \"\(type)\": mount type unknown")
        }
        return mount
    }

    private static func tmpfs(_ path: String, _ options: String) throws(SkalaError) -> ContainerRecord.Mount {
        ContainerRecord.Mount(
            type: "tmpfs", name: "", source: "", destination: clean(path), isReadOnly: false, mode: options,
            propagation: "", options: options.split(separator: ",").map(String.init))
    }
}
