public import Base

/// `process.scheduler`: how the kernel schedules the program.
public struct RuntimeScheduler: Sendable, Hashable {
    /// The number of the policy (linux/sched.h).
    public var policy: UInt32
    public var nice: Int32
    public var priority: UInt32
    /// SCHED_FLAG_* (linux/sched.h).
    public var flags: UInt64
    /// Nanoseconds, for SCHED_DEADLINE.
    public var runtime: UInt64
    public var deadline: UInt64
    public var period: UInt64

    private static let policies: [String: UInt32] = [
        "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
        "SCHED_DEADLINE": 6,
    ]
    private static let flagValues: [String: UInt64] = [
        "SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
        "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16, "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
        "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
    ]

    init(_ json: JSON) throws(SkalaError) {
        guard let policy = RuntimeScheduler.policies[json["policy"].string ?? ""] else {
            throw SkalaError(.invalid, "process.scheduler: unknown policy \(json["policy"].text)")
        }
        self.policy = policy
        nice = Int32(clamping: json["nice"].int ?? 0)
        guard (-20...19).contains(nice) else { throw SkalaError(.invalid, "process.scheduler: invalid nice \(nice)") }
        priority = UInt32(clamping: json["priority"].int ?? 0)
        if priority != 0, policy != 1, policy != 2 {
            throw SkalaError(.invalid, "process.scheduler: a priority needs SCHED_FIFO or SCHED_RR")
        }
        flags = 0
        for name in json["flags"].strings ?? [] {
            guard let value = RuntimeScheduler.flagValues[name] else {
                throw SkalaError(.invalid, "process.scheduler: unknown flag '\(name)'")
            }
            flags |= value
        }
        runtime = UInt64(clamping: json["runtime"].int ?? 0)
        deadline = UInt64(clamping: json["deadline"].int ?? 0)
        period = UInt64(clamping: json["period"].int ?? 0)
        if runtime | deadline | period != 0, policy != 6 {
            throw SkalaError(.invalid, "process.scheduler: runtime, deadline and period need SCHED_DEADLINE")
        }
    }
}

/// Processors as a list such as `0-3,7` (cpuset(7)).
public struct ProcessorSet: Sendable, Hashable {
    /// One bit a processor, the first byte holding 0…7; a multiple of eight bytes, as the kernel takes it.
    public private(set) var bytes = [UInt8](repeating: 0, count: 128)

    public init(_ text: String) throws(SkalaError) {
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0,
                first <= last, last < bytes.count * 8
            else { throw SkalaError(.invalid, "not a list of processors: '\(text)'") }
            for processor in first...last { bytes[processor / 8] |= 1 << UInt8(processor % 8) }
        }
    }
}
