import Base

/// A namespace of a container: a new one, or an existing one at `path`.
public struct RuntimeNamespace: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        case pid, network, mount, ipc, uts, user, cgroup, time

        /// Its name below /proc/PID/ns.
        public var fileName: String {
            switch self {
            case .network: "net"
            case .mount: "mnt"
            default: rawValue
            }
        }
    }

    public var kind: Kind
    public var path: String?

    init(_ json: JSON) throws(SkalaError) {
        guard let kind = json["type"].string.flatMap(Kind.init) else {
            throw SkalaError(.invalid, "unknown namespace '\(json["type"].string ?? "")'")
        }
        self.kind = kind
        path = json["path"].string.flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// How far a clock of a time namespace is set off from the host's.
public struct RuntimeTimeOffset: Sendable, Hashable {
    /// `monotonic` or `boottime`.
    public var clock: String
    public var seconds: Int64
    public var nanoseconds: Int64

    init(clock: String, _ json: JSON) throws(SkalaError) {
        guard clock == "monotonic" || clock == "boottime" else {
            throw SkalaError(.invalid, "linux.timeOffsets: no such clock: '\(clock)'")
        }
        self.clock = clock
        seconds = json["secs"].int ?? 0
        nanoseconds = json["nanosecs"].int ?? 0
    }

    /// The line for timens_offsets.
    public var line: String { "\(clock) \(seconds) \(nanoseconds)" }
}

/// A range of ids of a user namespace.
public struct RuntimeIDMapping: Sendable, Hashable {
    public var container: UInt32
    public var host: UInt32
    public var size: UInt32

    init(_ json: JSON) throws(SkalaError) {
        guard let container = json["containerID"].int.flatMap(UInt32.init(exactly:)),
            let host = json["hostID"].int.flatMap(UInt32.init(exactly:)),
            let size = json["size"].int.flatMap(UInt32.init(exactly:)), size > 0
        else { throw SkalaError(.invalid, "invalid id mapping: \(json.text)") }
        self.container = container
        self.host = host
        self.size = size
    }

    public init(container: UInt32, host: UInt32, size: UInt32) {
        self.container = container
        self.host = host
        self.size = size
    }

    /// The line for uid_map or gid_map.
    public var line: String { "\(container) \(host) \(size)" }
}
