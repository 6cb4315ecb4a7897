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
    public var cpus: String?
    public var mems: String?
    public var memoryLimit: Int64?
    public var memoryReservation: Int64?
    /// Memory and swap together; -1: no limit.
    public var memorySwap: Int64?
    public var memorySwappiness: Int64?
    public var disableOOMKiller: Bool?
    public var pidsLimit: Int64?
    public var blockWeight: Int64?
    public var readBytes: [BlockRate]
    public var writeBytes: [BlockRate]
    public var readOperations: [BlockRate]
    public var writeOperations: [BlockRate]
    public var hugePages: [(size: String, limit: Int64)]
    /// cgroup v2 files and what to write to them.
    public var unified: [(key: String, value: String)]
    public var devices: [DeviceRule]

    public init(_ json: JSON) throws(SkalaError) {
        let cpu = json["cpu"], memory = json["memory"], block = json["blockIO"]
        cpuShares = cpu["shares"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuQuota = cpu["quota"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuPeriod = cpu["period"].int.flatMap { $0 == 0 ? nil : $0 }
        cpuBurst = cpu["burst"].int
        cpus = cpu["cpus"].string.flatMap { $0.isEmpty ? nil : $0 }
        mems = cpu["mems"].string.flatMap { $0.isEmpty ? nil : $0 }
        memoryLimit = memory["limit"].int.flatMap { $0 == 0 ? nil : $0 }
        memoryReservation = memory["reservation"].int.flatMap { $0 == 0 ? nil : $0 }
        memorySwap = memory["swap"].int.flatMap { $0 == 0 ? nil : $0 }
        memorySwappiness = memory["swappiness"].int
        disableOOMKiller = memory["disableOOMKiller"].bool
        pidsLimit = json["pids"]["limit"].int.flatMap { $0 == 0 ? nil : $0 }
        blockWeight = block["weight"].int.flatMap { $0 == 0 ? nil : $0 }
        readBytes = try RuntimeResources.rates(block["throttleReadBpsDevice"])
        writeBytes = try RuntimeResources.rates(block["throttleWriteBpsDevice"])
        readOperations = try RuntimeResources.rates(block["throttleReadIOPSDevice"])
        writeOperations = try RuntimeResources.rates(block["throttleWriteIOPSDevice"])
        hugePages = (json["hugepageLimits"].array ?? []).compactMap { entry in
            guard let size = entry["pageSize"].string, let limit = entry["limit"].int else { return nil }
            return (size, limit)
        }
        unified = json["unified"].stringPairs ?? []
        for (key, _) in unified where key.contains("/") || !key.contains(".") {
            throw SkalaError(.invalid, "linux.resources.unified: not a cgroup file: '\(key)'")
        }
        devices = try RuntimeSpec.list(json["devices"], "linux.resources.devices", DeviceRule.init)
    }

    private static func rates(_ json: JSON) throws(SkalaError) -> [BlockRate] {
        try RuntimeSpec.list(json, "linux.resources.blockIO") { (entry) throws(SkalaError) in
            guard let major = entry["major"].int, let minor = entry["minor"].int, let rate = entry["rate"].int else {
                throw SkalaError(.invalid, "invalid throttle: \(entry.text)")
            }
            return BlockRate(major: major, minor: minor, value: rate)
        }
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
