public import Base

/// What a task may use at most, and what is kept for it: the API's `Resources`.
public struct TaskResources: Sendable, Hashable {
    /// Amounts; 0 where nothing is said.
    public struct Amounts: Sendable, Hashable {
        /// Billionths of a CPU.
        public var nanoCPUs: Int64
        public var memoryBytes: Int64
        public var pids: Int64

        public init(nanoCPUs: Int64 = 0, memoryBytes: Int64 = 0, pids: Int64 = 0) {
            self.nanoCPUs = nanoCPUs
            self.memoryBytes = memoryBytes
            self.pids = pids
        }

        init(json: JSON, _ field: String) throws(SkalaError) {
            nanoCPUs = try json["NanoCPUs"].count("\(field).NanoCPUs") ?? 0
            memoryBytes = try json["MemoryBytes"].count("\(field).MemoryBytes") ?? 0
            pids = try json["Pids"].count("\(field).Pids") ?? 0
            if nanoCPUs != 0, nanoCPUs < 1_000_000 {
                throw SkalaError(
                    .invalid, "invalid cpu value \(field).NanoCPUs \(nanoCPUs): must be at least 1000000 (0.001)")
            }
            if memoryBytes != 0, memoryBytes < 4 << 20 {
                throw SkalaError(
                    .invalid, "invalid memory value \(memoryBytes) of \(field): must be at least 4MiB")
            }
        }

        var json: JSON {
            var json: JSON = [:]
            if nanoCPUs != 0 { json["NanoCPUs"] = JSON(nanoCPUs) }
            if memoryBytes != 0 { json["MemoryBytes"] = JSON(memoryBytes) }
            if pids != 0 { json["Pids"] = JSON(pids) }
            return json
        }
    }

    public var limits: Amounts
    public var reservations: Amounts

    public init(limits: Amounts = Amounts(), reservations: Amounts = Amounts()) {
        self.limits = limits
        self.reservations = reservations
    }

    init(json: JSON) throws(SkalaError) {
        limits = try Amounts(json: json["Limits"], "Limits")
        reservations = try Amounts(json: json["Reservations"], "Reservations")
        if let generic = json["Reservations"]["GenericResources"].array, !generic.isEmpty {
            throw SkalaError(.unsupported, "generic resources are not supported: nodes have CPUs and memory only")
        }
        let pairs = [
            ("NanoCPUs", reservations.nanoCPUs, limits.nanoCPUs),
            ("MemoryBytes", reservations.memoryBytes, limits.memoryBytes),
        ]
        for (field, reserved, limit) in pairs where limit != 0 && reserved > limit {
            throw SkalaError(.invalid, "the reservation of \(field), \(reserved), is above its limit \(limit)")
        }
    }

    public var json: JSON {
        ["Limits": limits.json, "Reservations": reservations.json]
    }
}
