import Base

/// A mount of a container, in the order of the specification.
public struct RuntimeMount: Sendable, Hashable {
    public var destination: String
    public var type: String?
    public var source: String?
    public var options: [String]
    /// How the ids of the source appear in the mount, `container` being those of the source's file system.
    public var uidMappings: [RuntimeIDMapping] = []
    public var gidMappings: [RuntimeIDMapping] = []

    public init(destination: String, type: String?, source: String?, options: [String]) {
        self.destination = destination
        self.type = type
        self.source = source
        self.options = options
    }

    init(_ json: JSON) throws(SkalaError) {
        guard let destination = json["destination"].string, !destination.isEmpty else {
            throw SkalaError(.invalid, "a mount without destination")
        }
        // Specification 1.0 allowed relative destinations: they are below the root.
        self.destination = destination.hasPrefix("/") ? destination : "/" + destination
        type = json["type"].string
        source = json["source"].string
        options = json["options"].strings ?? []
        uidMappings = try RuntimeSpec.list(json["uidMappings"], "mounts.uidMappings", RuntimeIDMapping.init)
        gidMappings = try RuntimeSpec.list(json["gidMappings"], "mounts.gidMappings", RuntimeIDMapping.init)
        guard uidMappings.isEmpty == gidMappings.isEmpty else {
            throw SkalaError(.invalid, "mount \(destination): uidMappings and gidMappings go together")
        }
        for text in [self.destination, source ?? ""] + options where text.utf8.contains(0) {
            throw SkalaError(.invalid, "mount \(destination): a zero byte in '\(text)'")
        }
    }
}

/// A device file of a container.
public struct RuntimeDevice: Sendable, Hashable {
    public var path: String
    /// `c`, `u`, `b` or `p`.
    public var type: String
    public var major: Int64
    public var minor: Int64
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32

    public init(path: String, type: String, major: Int64, minor: Int64, mode: UInt32 = 0o666) {
        self.path = path
        self.type = type
        self.major = major
        self.minor = minor
        self.mode = mode
        uid = 0
        gid = 0
    }

    init(_ json: JSON) throws(SkalaError) {
        guard let path = json["path"].string, path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw SkalaError(.invalid, "invalid device: \(json.text)")
        }
        let type = json["type"].string ?? ""
        guard ["c", "u", "b", "p"].contains(type) else {
            throw SkalaError(.invalid, "device \(path): unknown type '\(type)'")
        }
        self.init(
            path: path, type: type, major: json["major"].int ?? 0, minor: json["minor"].int ?? 0,
            mode: UInt32(truncatingIfNeeded: json["fileMode"].int ?? 0o666) & 0o7777)
        uid = UInt32(clamping: json["uid"].int ?? 0)
        gid = UInt32(clamping: json["gid"].int ?? 0)
    }
}
