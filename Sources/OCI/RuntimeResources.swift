public import Base

/// `linux.resources`: what a container may use. Nil fields are left as they are.
public struct RuntimeResources: Sendable {
    public struct DeviceRule: Sendable, Hashable {
        public var allow: Bool
        /// `a`, `c` or `b`.
        public var type: String
        public var major: Int64?
        public var minor: Int64?
        public var access: String

        public init(allow: Bool, type: String, major: Int64?, minor: Int64?, access: String) {
            self.allow = allow
            self.type = type
            self.major = major
            self.minor = minor
            self.access = access
        }
    }

    public struct BlockRate: Sendable, Hashable {
        public var major: Int64
        public var minor: Int64
        public var value: Int64
    }

    public var cpuShares: Int64?
    public var cpuQuota: Int64?
    public var cpuPeriod: Int64?
    public var cpuBurst: Int64?
    /// Scheduled only when nothing else wants to run (cgroup v2's cpu.idle).
    public var cpuIdle: Int64?
    public var realtimeRuntime: Int64?
    public var realtimePeriod: Int64?
    public var cpus: String?
    public var mems: String?
    public var memoryLimit: Int64?
    public var memoryReservation: Int64?
    /// Memory and swap together; -1: no limit.
    public var memorySwap: Int64?
    public var kernelMemoryTCP: Int64?
    public var memorySwappiness: Int64?
    /// A limit below what is used now is an error, instead of a way to have processes killed.
    public var checkBeforeUpdate: Bool
    public var disableOOMKiller: Bool?
    public var pidsLimit: Int64?
    public var blockWeight: Int64?
    public var leafWeight: Int64?
    /// A weight for a device: `value`.
    public var deviceWeights: [BlockRate]
    public var deviceLeafWeights: [BlockRate]
    public var readBytes: [BlockRate]
    public var writeBytes: [BlockRate]
    public var readOperations: [BlockRate]
    public var writeOperations: [BlockRate]
    public var hugePages: [(size: String, limit: Int64)]
    /// The class of outgoing packets (net_cls).
    public var networkClass: Int64?
    public var networkPriorities: [(name: String, priority: Int64)]
    /// What to write to rdma.max, a device a line.
    public var rdma: [String]
    /// cgroup v2 files and what to write to them.
    public var unified: [(key: String, value: String)]
    public var devices: [DeviceRule]

    public init(_ json: JSON) throws(SkalaError) {
        let cpu = json["cpu"], memory = json["memory"], block = json["blockIO"]
        cpuShares = cpu["shares"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuQuota = cpu["quota"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuPeriod = cpu["period"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuBurst = cpu["burst"].int
        cpuIdle = cpu["idle"].int
        realtimeRuntime = cpu["realtimeRuntime"].int.flatMap { $0 == 0 ? nil : $0 }
        realtimePeriod = cpu["realtimePeriod"].int.flatMap { $0 == 0 ? nil : $0 }
        cpus = cpu["cpus"].string.flatMap { $0.isEmpty ? nil : $0 }
        mems = cpu["mems"].string.flatMap { $0.isEmpty ? nil : $0 }
        memoryLimit = memory["limit"].int.flatMap { $0 == 0 ? nil : $0 }
        memoryReservation = memory["reservation"].int.flatMap { $0 == 0 ? nil : $0 }
        memorySwap = memory["swap"].int.flatMap { $0 == 0 ? nil : $0 }
        // memory.kernel is gone from the kernel (5.16) and, like useHierarchy, ignored by the specification's word.
        kernelMemoryTCP = memory["kernelTCP"].int.flatMap { $0 == 0 ? nil : $0 }
        checkBeforeUpdate = memory["checkBeforeUpdate"].bool ?? false
        memorySwappiness = memory["swappiness"].int
        disableOOMKiller = memory["disableOOMKiller"].bool
        pidsLimit = json["pids"]["limit"].int.flatMap { $0 == 0 ? nil : $0 }
        blockWeight = block["weight"].int.flatMap { $0 == 0 ? nil : $0 }
        leafWeight = block["leafWeight"].int.flatMap { $0 == 0 ? nil : $0 }
        deviceWeights = try RuntimeResources.rates(block["weightDevice"], "weight")
        deviceLeafWeights = try RuntimeResources.rates(block["weightDevice"], "leafWeight")
        readBytes = try RuntimeResources.rates(block["throttleReadBpsDevice"])
        writeBytes = try RuntimeResources.rates(block["throttleWriteBpsDevice"])
        readOperations = try RuntimeResources.rates(block["throttleReadIOPSDevice"])
        writeOperations = try RuntimeResources.rates(block["throttleWriteIOPSDevice"])
        hugePages = (json["hugepageLimits"].array ?? []).compactMap { entry in
            guard let size = entry["pageSize"].string, let limit = entry["limit"].int else { return nil }
            return (size, limit)
        }
        networkClass = json["network"]["classID"].int
        networkPriorities = (json["network"]["priorities"].array ?? []).compactMap { entry in
            guard let name = entry["name"].string, let priority = entry["priority"].int else { return nil }
            return (name, priority)
        }
        rdma = (json["rdma"].object?.members ?? []).map { device, limits in
            let handles = limits["hcaHandles"].int.map { " hca_handle=\($0)" } ?? ""
            return device + handles + (limits["hcaObjects"].int.map { " hca_object=\($0)" } ?? "")
        }
        unified = json["unified"].stringPairs ?? []
        for (key, _) in unified where key.contains("/") || !key.contains(".") {
            throw SkalaError(.invalid, "linux.resources.unified: not a cgroup file: '\(key)'")
        }
        devices = try RuntimeSpec.list(json["devices"], "linux.resources.devices", DeviceRule.init)
    }

    private static func rates(_ json: JSON, _ field: String = "rate") throws(SkalaError) -> [BlockRate] {
        let given = try RuntimeSpec.list(json, "linux.resources.blockIO") { (entry) throws(SkalaError) -> BlockRate? in
            guard let major = entry["major"].int, let minor = entry["minor"].int else {
                throw SkalaError(.invalid, "invalid device: \(entry.text)")
            }
            return entry[field].int.map { BlockRate(major: major, minor: minor, value: $0) }
        }
        return given.compactMap(\.self)
    }
}

extension RuntimeResources.DeviceRule {
    init(_ json: JSON) throws(SkalaError) {
        let type = json["type"].string ?? "a"
        let access = json["access"].string ?? "rwm"
        guard ["a", "c", "b"].contains(type), access.allSatisfy({ "rwm".contains($0) }), let allow = json["allow"].bool
        else { throw SkalaError(.invalid, "invalid device rule: \(json.text)") }
        // -1 and a missing number both mean any.
        let major = json["major"].int.flatMap { $0 < 0 ? nil : $0 }
        let minor = json["minor"].int.flatMap { $0 < 0 ? nil : $0 }
        self.init(allow: allow, type: type, major: major, minor: minor, access: access.isEmpty ? "rwm" : access)
    }
}
