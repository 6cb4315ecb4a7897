import Base
import CLinux
import Glibc
import Kernel
import OCI

/// The last steps of every process: limits, identity, capabilities, filter, program.
struct ProcessPlanner {
    let process: RuntimeProcess
    let seccomp: SeccompFilter?
    let wiring: ContainerPlanner.Wiring
    /// The container's first process, not one executed later.
    let isFirst: Bool
    let spec: RuntimeSpec
    /// The container's state for hooks, without its pid.
    var state: JSON = [:]

    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    private static let limits = [
        "RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
        "RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
        "RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
    ]

    /// The bounding set of the process, for the seccomp profile.
    static func capabilityMask(_ process: RuntimeProcess?) -> UInt64 {
        process?.capabilities.map { Capability.mask($0.bounding) } ?? .max
    }

    func add(to plan: ChildPlan) {
        if wiring.terminalSocket == nil {
            plan.add(CL_STEP_STDIO, "set the standard streams", wiring.stdio.map(Int64.init))
        }
        for limit in process.limits {
            let resource = ProcessPlanner.limits[limit.name.uppercased()] ?? -1
            plan.add(
                CL_STEP_RLIMIT, "set \(limit.name)",
                [Int64(resource), Int64(bitPattern: limit.soft), Int64(bitPattern: limit.hard)])
        }
        let programs = candidates
        if isFirst, wiring.waitsForStart {
            plan.add(CL_STEP_CHECK_PROGRAM, "find the program '\(process.arguments[0])'", data: plan.list(programs))
        }
        // A listener must get its descriptor while the runtime is still there: then the wait comes after the filter.
        if !listens { waitForStart(plan) }
        scheduling(plan)
        if let capabilities = process.capabilities {
            plan.add(
                CL_STEP_BOUNDING, "drop the bounding set", [Int64(bitPattern: Capability.mask(capabilities.bounding))])
        }
        plan.add(
            CL_STEP_USER, "become user \(process.uid):\(process.gid)",
            [
                Int64(process.uid), Int64(process.gid), process.umask.map(Int64.init) ?? -1,
                Int64(process.groups.count), keepsGroups ? 1 : 0,
            ], data: plan.groups(process.groups))
        privileges(plan)
        if !process.environment.contains(where: { $0.hasPrefix("HOME=") }) {
            plan.add(CL_STEP_HOME, "find the home directory", [Int64(process.uid)])
        }
        if listens { waitForStart(plan) }
        if wiring.diesWithParent { plan.add(CL_STEP_PARENT_DEATH, "prctl PR_SET_PDEATHSIG", [Int64(SIGKILL)]) }
        if !wiring.inherited.isEmpty {
            let bytes = wiring.inherited.flatMap { number in withUnsafeBytes(of: number) { Array($0) } }
            plan.add(
                CL_STEP_INHERIT, "hand on descriptors", [Int64(wiring.inherited.count)], data: plan.bytes(bytes))
        }
        let kept = wiring.keptDescriptors + Int64(wiring.inherited.count)
        plan.add(
            CL_STEP_EXECUTE, "execute '\(process.arguments[0])'", [kept], data: plan.list(programs),
            data2: plan.list(process.arguments), data3: plan.list(process.environment, spare: 1))
    }

    private var listens: Bool { seccomp != nil && spec.seccomp["listenerPath"].string?.isEmpty == false }

    /// crun's annotation: the process keeps the groups of the runtime, as an unprivileged one must.
    private var keepsGroups: Bool {
        spec.annotations.contains { $0.key == "run.oci.keep_original_groups" && $0.value == "1" }
    }

    private func waitForStart(_ plan: ChildPlan) {
        guard isFirst else { return }
        if wiring.waitsForStart, let gate = wiring.gate {
            plan.add(CL_STEP_WAIT, "wait for start", [Int64(gate), Int64(CL_STAGE_READY)])
        }
        ContainerPlanner.add(spec.hooks.startContainer, "created", state, to: plan)
    }

    private func scheduling(_ plan: ChildPlan) {
        if let scheduler = process.scheduler {
            // struct sched_attr of linux/sched/types.h, in its first size.
            var bytes: [UInt8] = []
            func put(_ value: some FixedWidthInteger) {
                withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
            }
            put(UInt32(48))
            put(scheduler.policy)
            put(scheduler.flags)
            put(scheduler.nice)
            put(scheduler.priority)
            put(scheduler.runtime)
            put(scheduler.deadline)
            put(scheduler.period)
            plan.add(CL_STEP_SCHEDULER, "set the scheduler", data: plan.bytes(bytes))
        }
        if let priority = process.ioPriority { plan.add(CL_STEP_IO_PRIORITY, "set the io priority", [Int64(priority)]) }
        if let personality = spec.personality {
            plan.add(CL_STEP_PERSONALITY, "set the personality", [personality])
        }
    }

    /// Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the capabilities; with it, the filter comes
    /// last so that it need not allow what these steps do.
    private func privileges(_ plan: ChildPlan) {
        let name = "change to the directory \(process.directory)"
        if process.noNewPrivileges {
            capabilities(plan)
            plan.add(CL_STEP_DIRECTORY_CHANGE, name, texts: [process.directory])
            plan.add(CL_STEP_NO_NEW_PRIVILEGES, "set no_new_privs")
            if let seccomp { plan.add(seccomp, listenerGate: listens ? wiring.gate : nil) }
        } else {
            plan.add(CL_STEP_DIRECTORY_CHANGE, name, texts: [process.directory])
            if let seccomp { plan.add(seccomp, listenerGate: listens ? wiring.gate : nil) }
            capabilities(plan)
        }
    }

    private func capabilities(_ plan: ChildPlan) {
        guard let capabilities = process.capabilities else { return }
        let sets = [capabilities.effective, capabilities.permitted, capabilities.inheritable, capabilities.ambient]
        plan.add(
            CL_STEP_CAPABILITIES, "set the capabilities",
            sets.map { Int64(bitPattern: Capability.mask($0)) })
    }

    /// The files to try, as execvp does.
    private var candidates: [String] {
        let program = process.arguments[0]
        guard !program.contains("/") else { return [program] }
        let path = process.environment.last { $0.hasPrefix("PATH=") }.map { String($0.dropFirst(5)) }
        return (path ?? ProcessPlanner.defaultPath).split(separator: ":", omittingEmptySubsequences: false).map {
            $0.isEmpty ? "./" + program : $0 + "/" + program
        }
    }
}
