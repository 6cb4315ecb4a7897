import OCI

/// Device rules as an eBPF program of the kind BPF_PROG_TYPE_CGROUP_DEVICE: version 2 control groups have no device
/// controller of their own.
///
/// The last rule that applies decides; a device that no rule names is denied. A rule that allows applies when it covers
/// all of the access that is wanted, one that denies when it covers some of it, as in version 1.
struct DeviceFilter {
    /// Instructions of eight bytes each (`struct bpf_insn`).
    private(set) var program: [UInt8] = []

    // Registers: 1 the context (struct bpf_cgroup_dev_ctx), 2 the type, 3 the access, 4 major, 5 minor.
    private static let typeBlock: Int32 = 1
    private static let typeCharacter: Int32 = 2

    init(_ rules: [RuntimeResources.DeviceRule]) {
        load(2, offset: 0)
        emit(0xBC, destination: 3, source: 2)  // w3 = w2
        emit(0x54, destination: 2, immediate: 0xFFFF)  // w2 &= 0xffff
        emit(0x74, destination: 3, immediate: 16)  // w3 >>= 16
        load(4, offset: 4)
        load(5, offset: 8)
        for rule in rules.reversed() where !add(rule) { return }
        decide(false)
    }

    private mutating func load(_ register: UInt8, offset: Int16) {
        emit(0x61, destination: register, source: 1, offset: offset)
    }

    private mutating func decide(_ allow: Bool) {
        emit(0xB4, destination: 0, immediate: allow ? 1 : 0)
        emit(0x95)
    }

    /// - Returns: whether anything is left to decide after it: the kernel refuses programs with code that is never reached.
    private mutating func add(_ rule: RuntimeResources.DeviceRule) -> Bool {
        // Each condition jumps over the rest of the rule when it does not hold.
        var conditions: [(code: UInt8, register: UInt8, value: Int32)] = []
        if rule.type != "a" {
            let type = rule.type == "b" ? DeviceFilter.typeBlock : DeviceFilter.typeCharacter
            conditions.append((0x56, 2, type))
        }
        let access = DeviceFilter.bits(rule.access)
        let checksAccess = access != 7
        if let major = rule.major { conditions.append((0x56, 4, Int32(truncatingIfNeeded: major))) }
        if let minor = rule.minor { conditions.append((0x56, 5, Int32(truncatingIfNeeded: minor))) }
        let tail = 2 + (checksAccess ? 3 : 0)
        for (index, condition) in conditions.enumerated() {
            let left = conditions.count - index - 1 + tail
            emit(condition.code, destination: condition.register, immediate: condition.value, offset: Int16(left))
        }
        if checksAccess {
            emit(0xBC, destination: 1, source: 3)  // w1 = w3; the context is not needed any more
            if rule.allow {
                emit(0x54, destination: 1, immediate: ~access & 7)  // what is wanted beyond the rule
                emit(0x56, destination: 1, immediate: 0, offset: 2)
            } else {
                emit(0x54, destination: 1, immediate: access)
                emit(0x16, destination: 1, immediate: 0, offset: 2)
            }
        }
        decide(rule.allow)
        return checksAccess || !conditions.isEmpty
    }

    private mutating func emit(
        _ code: UInt8, destination: UInt8 = 0, source: UInt8 = 0, immediate: Int32 = 0, offset: Int16 = 0
    ) {
        program += [code, source << 4 | destination]
        withUnsafeBytes(of: offset.littleEndian) { program.append(contentsOf: $0) }
        withUnsafeBytes(of: immediate.littleEndian) { program.append(contentsOf: $0) }
    }

    /// BPF_DEVCG_ACC_*: mknod 1, read 2, write 4.
    private static func bits(_ access: String) -> Int32 {
        access.reduce(0) { $0 | ($1 == "m" ? 1 : $1 == "r" ? 2 : 4) }
    }
}
