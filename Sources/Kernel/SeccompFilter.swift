import CLinux
import CSeccomp
import Glibc

/// A compiled system-call filter: classic BPF for seccomp(2), built by libseccomp.
public final class SeccompFilter: @unchecked Sendable {
    // @unchecked: immutable after init; the memory is freed with the last reference.
    private let program: UnsafeMutableRawBufferPointer
    /// What seccomp(2) takes: `struct sock_fprog`.
    public let descriptor: UnsafeRawPointer
    /// Flags for seccomp(2).
    public let flags: UInt32

    private struct FilterProgram {
        var length: UInt16
        var filter: UnsafeMutableRawPointer?
    }

    /// The program, an instruction each eight bytes.
    public var bytes: [UInt8] { Array(program) }

    /// A filter that was compiled before; `bytes` holds whole instructions.
    public init(bytes: [UInt8], flags: UInt32) {
        program = .allocate(byteCount: bytes.count, alignment: 8)
        program.copyBytes(from: bytes)
        let box = UnsafeMutablePointer<FilterProgram>.allocate(capacity: 1)
        box.initialize(to: FilterProgram(length: UInt16(bytes.count / 8), filter: program.baseAddress))
        descriptor = UnsafeRawPointer(box)
        self.flags = flags
    }

    deinit {
        descriptor.deallocate()
        program.deallocate()
    }

    /// The number of BPF instructions.
    public var count: Int { program.count / 8 }
}

/// Collects rules and compiles them.
public final class SeccompBuilder {
    /// One condition on an argument: `index` 0…5, `comparison` as `SCMP_CMP_*` (1 !=, 2 <, 3 <=, 4 ==, 5 >=, 6 >, 7
    /// masked ==, where `value` is the mask and `second` what must remain).
    public struct Condition: Sendable {
        public var index: UInt32
        public var comparison: UInt32
        public var value: UInt64
        public var second: UInt64

        public init(index: UInt32, comparison: UInt32, value: UInt64, second: UInt64 = 0) {
            self.index = index
            self.comparison = comparison
            self.value = value
            self.second = second
        }
    }

    private let context: scmp_filter_ctx
    private let defaultAction: UInt32

    /// `defaultAction` is a `SECCOMP_RET_*` value with its data.
    public init(defaultAction: UInt32) throws(KernelError) {
        guard let context = seccomp_init(defaultAction) else { throw KernelError("seccomp_init", "", errno: EINVAL) }
        self.context = context
        self.defaultAction = defaultAction
        // A binary tree instead of a list: a filter of 350 calls costs each call some nanoseconds instead of hundreds.
        _ = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
    }

    deinit { seccomp_release(context) }

    /// Adds an architecture by libseccomp's name (`x86_64`, `x86`, `x32`, `aarch64`, …); false when it is unknown.
    public func addArchitecture(_ name: String) throws(KernelError) -> Bool {
        let token = seccomp_arch_resolve_name(name)
        guard token != 0 else { return false }
        let result = seccomp_arch_add(context, token)
        if result < 0, result != -EEXIST { throw KernelError("seccomp_arch_add", name, errno: -result) }
        return true
    }

    /// Adds a rule; a call this libseccomp does not know is skipped, as is an action that is the default's.
    public func add(_ name: String, action: UInt32, conditions: [Condition] = []) throws(KernelError) {
        guard action != defaultAction else { return }
        let number = seccomp_syscall_resolve_name(name)
        guard number != -1 else { return }
        let compares = conditions.map {
            scmp_arg_cmp(
                arg: $0.index, op: scmp_compare(rawValue: $0.comparison), datum_a: $0.value, datum_b: $0.second)
        }
        let result = seccomp_rule_add_array(context, action, number, UInt32(compares.count), compares)
        // EEXIST: a rule that allows more is there already. EDOM: the call does not exist on an added architecture.
        if result < 0, result != -EEXIST, result != -EDOM {
            throw KernelError("seccomp_rule_add", name, errno: -result)
        }
    }

    /// Compiles the rules.
    public func build(flags: UInt32 = 0) throws(KernelError) -> SeccompFilter {
        let file = OwnedDescriptor(try check(cl_memory_file("seccomp"), "memfd_create"))
        let result = seccomp_export_bpf(context, file.raw)
        if result < 0 { throw KernelError("seccomp_export_bpf", "", errno: -result) }
        let length = try checkErrno(lseek(file.raw, 0, SEEK_END), "lseek", "seccomp filter")
        var bytes = [UInt8](repeating: 0, count: Int(length))
        let count = try checkErrno(pread(file.raw, &bytes, bytes.count, 0), "pread", "seccomp filter")
        guard count == bytes.count, count % 8 == 0 else { throw KernelError("pread", "seccomp filter", errno: EIO) }
        return SeccompFilter(bytes: bytes, flags: flags)
    }
}
