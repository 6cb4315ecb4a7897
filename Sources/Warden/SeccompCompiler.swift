import Base
import Glibc
import Kernel

/// Compiles `linux.seccomp` of a spec, each distinct profile once.
final class SeccompCompiler {
    private static let allow: UInt32 = 0x7FFF_0000
    private static let refuse: UInt32 = 0x0005_0000
    /// Compiled filters kept; a profile is some 20 kB.
    private static let maximumCount = 64

    private var compiled: [String: SeccompFilter] = [:]
    private let cache: SeccompCache?

    /// - Parameter cache: filters that earlier processes compiled; nil: each process compiles its own.
    init(cache: SeccompCache? = nil) { self.cache = cache }

    /// The filter for a process with these capabilities, nil when the spec wants none.
    func filter(for profile: JSON, capabilities: UInt64) throws -> SeccompFilter? {
        guard profile.object != nil else { return nil }
        let isDefault = profile["profile"].string == "default"
        let key = isDefault ? "\(profile.text) \(capabilities)" : profile.text
        if let known = compiled[key] { return known }
        let filter =
            try cache?.load(key) ?? (isDefault ? try defaultFilter(profile, capabilities) : try compile(profile))
        cache?.store(filter, key)
        if compiled.count >= SeccompCompiler.maximumCount { compiled.removeAll() }
        compiled[key] = filter
        return filter
    }

    /// Docker's default profile; `syscalls` of the spec, if there are any, replace its rules for those calls.
    private func defaultFilter(_ profile: JSON, _ capabilities: UInt64) throws -> SeccompFilter {
        let builder = try SeccompBuilder(defaultAction: SeccompCompiler.refuse | UInt32(EPERM))
        #if arch(x86_64)
            for name in ["x86", "x32"] { _ = try builder.addArchitecture(name) }
        #elseif arch(arm64)
            _ = try builder.addArchitecture("arm")
        #endif
        let allow = SeccompCompiler.allow
        let replaced = Set((profile["syscalls"].array ?? []).flatMap { $0["names"].strings ?? [] })
        for name in DefaultSeccompProfile.always.split(whereSeparator: \.isWhitespace).map(String.init)
        where !replaced.contains(name) {
            try builder.add(name, action: allow)
        }
        try addRules(profile, to: builder)
        for (capability, calls) in DefaultSeccompProfile.byCapability
        where capabilities & Capability.mask([capability]) != 0 {
            for name in calls { try builder.add(name, action: allow) }
        }
        for persona: UInt64 in [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF] {
            try builder.add(
                "personality", action: allow, conditions: [.init(index: 0, comparison: 4, value: persona)])
        }
        // AF_VSOCK would reach the host past every network namespace.
        try builder.add("socket", action: allow, conditions: [.init(index: 0, comparison: 1, value: 40)])
        if capabilities & Capability.mask(["CAP_SYS_ADMIN"]) == 0 {
            // clone without any CLONE_NEW*; clone3 hides its flags from filters, so programs must fall back to clone.
            try builder.add(
                "clone", action: allow, conditions: [.init(index: 0, comparison: 7, value: 0x7E02_0000, second: 0)])
            try builder.add("clone3", action: SeccompCompiler.refuse | UInt32(ENOSYS))
        }
        return try builder.build()
    }

    private func compile(_ profile: JSON) throws -> SeccompFilter {
        try checkNotify(profile)
        let builder = try SeccompBuilder(
            defaultAction: try action(profile["defaultAction"].string ?? "", profile["defaultErrnoRet"].int))
        for name in profile["architectures"].strings ?? [] {
            let short = name.hasPrefix("SCMP_ARCH_") ? name.dropFirst("SCMP_ARCH_".count).lowercased() : name
            guard try builder.addArchitecture(short) else {
                throw SkalaError(.invalid, "linux.seccomp: unknown architecture '\(name)'")
            }
        }
        try addRules(profile, to: builder)
        return try builder.build(flags: try flags(profile["flags"].strings ?? []))
    }

    private func addRules(_ profile: JSON, to builder: SeccompBuilder) throws {
        for rule in profile["syscalls"].array ?? [] {
            let action = try action(rule["action"].string ?? "", rule["errnoRet"].int)
            let conditions = try (rule["args"].array ?? []).map(condition)
            for name in rule["names"].strings ?? [] {
                // libseccomp takes one condition an argument in a rule; more on the same one are alternatives.
                if Set(conditions.map(\.index)).count == conditions.count {
                    try builder.add(name, action: action, conditions: conditions)
                } else {
                    for condition in conditions { try builder.add(name, action: action, conditions: [condition]) }
                }
            }
        }
    }

    /// A filter's listener is told of by a write, which therefore nobody may wait for.
    private func checkNotify(_ profile: JSON) throws(SkalaError) {
        let rules = (profile["syscalls"].array ?? []).filter { $0["action"].string == "SCMP_ACT_NOTIFY" }
        let listener = try SeccompListener(profile)
        guard profile["defaultAction"].string != "SCMP_ACT_NOTIFY",
            !rules.contains(where: { $0["names"].strings?.contains("write") == true })
        else { throw SkalaError(.invalid, "linux.seccomp: SCMP_ACT_NOTIFY for every call, or for write") }
        guard rules.isEmpty || listener != nil else {
            throw SkalaError(.invalid, "linux.seccomp: SCMP_ACT_NOTIFY without listenerPath")
        }
    }

    static let flagNames = [
        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]

    private func flags(_ names: [String]) throws -> UInt32 {
        try names.reduce(0) { flags, name in
            switch name {
            case "SECCOMP_FILTER_FLAG_TSYNC": flags
            case "SECCOMP_FILTER_FLAG_LOG": flags | 2
            case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": flags | 4
            case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": flags | 32
            default: throw SkalaError(.unsupported, "linux.seccomp: the flag '\(name)' is not supported")
            }
        }
    }

    private func action(_ name: String, _ number: Int64?) throws -> UInt32 {
        let data = UInt32(truncatingIfNeeded: number ?? Int64(EPERM)) & 0xFFFF
        return switch name {
        case "SCMP_ACT_ALLOW": SeccompCompiler.allow
        case "SCMP_ACT_ERRNO": SeccompCompiler.refuse | data
        case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": 0
        case "SCMP_ACT_KILL_PROCESS": 0x8000_0000
        case "SCMP_ACT_TRAP": 0x0003_0000
        case "SCMP_ACT_LOG": 0x7FFC_0000
        case "SCMP_ACT_NOTIFY": 0x7FC0_0000
        case "SCMP_ACT_TRACE": 0x7FF0_0000 | data
        default: throw SkalaError(.unsupported, "linux.seccomp: the action '\(name)' is not supported")
        }
    }

    private func condition(_ json: JSON) throws -> SeccompBuilder.Condition {
        let comparisons = [
            "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6,
            "SCMP_CMP_MASKED_EQ": 7,
        ]
        guard let index = json["index"].int, (0...5).contains(index),
            let comparison = comparisons[json["op"].string ?? ""]
        else { throw SkalaError(.invalid, "linux.seccomp: invalid argument \(json.text)") }
        func word(_ json: JSON) -> UInt64 {
            json.int.map(UInt64.init(bitPattern:)) ?? json.double.flatMap(UInt64.init(exactly:)) ?? 0
        }
        return .init(
            index: UInt32(index), comparison: UInt32(comparison), value: word(json["value"]),
            second: word(json["valueTwo"]))
    }
}
