public import Base

/// A process of a container: its first, or one executed later.
public struct RuntimeProcess: Sendable {
    public struct Limit: Sendable, Hashable {
        public var name: String
        public var soft: UInt64
        public var hard: UInt64
    }

    public var arguments: [String]
    public var environment: [String]
    public var directory: String
    public var terminal: Bool
    public var rows: Int64
    public var columns: Int64
    public var uid: UInt32
    public var gid: UInt32
    public var groups: [UInt32]
    public var umask: UInt32?
    /// Names such as `CAP_CHOWN`; nil keeps all.
    public var capabilities: Capabilities?
    public var limits: [Limit]
    public var noNewPrivileges: Bool
    public var oomScoreAdjust: Int64?
    public var scheduler: RuntimeScheduler?
    /// As ioprio_set(2) takes it.
    public var ioPriority: Int32?
    /// The processors a process that is executed later runs on before and after it joins the container's groups.
    public var initialAffinity: ProcessorSet?
    public var finalAffinity: ProcessorSet?

    public struct Capabilities: Sendable, Hashable {
        public var bounding: [String]
        public var effective: [String]
        public var permitted: [String]
        public var inheritable: [String]
        public var ambient: [String]
    }

    public init(_ json: JSON) throws(SkalaError) {
        guard let arguments = json["args"].strings, let program = arguments.first, !program.isEmpty else {
            throw SkalaError(.invalid, "process.args must name a program")
        }
        self.arguments = arguments
        environment = json["env"].strings ?? []
        directory = json["cwd"].string ?? "/"
        guard directory.hasPrefix("/") else {
            throw SkalaError(.invalid, "process.cwd is not absolute: '\(directory)'")
        }
        guard !(arguments + environment + [directory]).contains(where: { $0.utf8.contains(0) }) else {
            throw SkalaError(.invalid, "process: a zero byte in an argument, the environment or the directory")
        }
        terminal = json["terminal"].bool ?? false
        rows = json["consoleSize"]["height"].int ?? 0
        columns = json["consoleSize"]["width"].int ?? 0
        uid = try RuntimeProcess.id(json["user"]["uid"], "uid")
        gid = try RuntimeProcess.id(json["user"]["gid"], "gid")
        groups = []
        for group in json["user"]["additionalGids"].array ?? [] {
            groups.append(try RuntimeProcess.id(group, "additionalGids"))
        }
        umask = json["user"]["umask"].int.map { UInt32(truncatingIfNeeded: $0) & 0o777 }
        capabilities = json["capabilities"].isNull ? nil : Capabilities(json["capabilities"])
        limits = try RuntimeSpec.list(json["rlimits"], "process.rlimits", Limit.init)
        noNewPrivileges = json["noNewPrivileges"].bool ?? false
        oomScoreAdjust = json["oomScoreAdj"].int
        scheduler = json["scheduler"].isNull ? nil : try RuntimeScheduler(json["scheduler"])
        ioPriority = json["ioPriority"].isNull ? nil : try RuntimeProcess.ioPriority(json["ioPriority"])
        initialAffinity = try RuntimeProcess.processors(json["execCPUAffinity"]["initial"])
        finalAffinity = try RuntimeProcess.processors(json["execCPUAffinity"]["final"])
        if let label = json["apparmorProfile"].string, !label.isEmpty, label != "unconfined" {
            throw SkalaError(.unsupported, "process.apparmorProfile '\(label)': AppArmor is not supported")
        }
        if let label = json["selinuxLabel"].string, !label.isEmpty {
            throw SkalaError(.unsupported, "process.selinuxLabel '\(label)': SELinux is not supported")
        }
    }

    private static func ioPriority(_ json: JSON) throws(SkalaError) -> Int32 {
        let classes = ["IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3]
        guard let number = classes[json["class"].string ?? ""], let priority = Optional(json["priority"].int ?? 0),
            (0...7).contains(priority)
        else { throw SkalaError(.invalid, "invalid process.ioPriority: \(json.text)") }
        return Int32(number << 13) | Int32(priority)
    }

    private static func processors(_ json: JSON) throws(SkalaError) -> ProcessorSet? {
        guard let text = json.string, !text.isEmpty else { return nil }
        return try ProcessorSet(text)
    }

    private static func id(_ json: JSON, _ field: String) throws(SkalaError) -> UInt32 {
        if json.isNull { return 0 }
        guard let id = json.int.flatMap(UInt32.init(exactly:)), id != .max else {
            throw SkalaError(.invalid, "process.user.\(field): invalid id \(json.text)")
        }
        return id
    }
}

extension RuntimeProcess.Capabilities {
    init(_ json: JSON) {
        self.init(
            bounding: json["bounding"].strings ?? [], effective: json["effective"].strings ?? [],
            permitted: json["permitted"].strings ?? [], inheritable: json["inheritable"].strings ?? [],
            ambient: json["ambient"].strings ?? [])
    }
}

extension RuntimeProcess.Limit {
    init(_ json: JSON) throws(SkalaError) {
        guard let name = json["type"].string, let soft = json["soft"].double, let hard = json["hard"].double else {
            throw SkalaError(.invalid, "invalid process.rlimits entry: \(json.text)")
        }
        // RLIM_INFINITY is 2^64-1, which JSON's signed integers do not hold.
        func value(_ json: JSON, _ double: Double) -> UInt64 {
            if let int = json.int { return int < 0 ? .max : UInt64(int) }
            return double >= 9e18 ? .max : UInt64(max(0, double))
        }
        self.init(name: name, soft: value(json["soft"], soft), hard: value(json["hard"], hard))
    }
}
