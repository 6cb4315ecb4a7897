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
        if wiring.waitsForStart, let gate = wiring.gate { plan.add(CL_STEP_WAIT, "wait for start", [Int64(gate), 1]) }
        if let capabilities = process.capabilities {
            plan.add(
                CL_STEP_BOUNDING, "drop the bounding set", [Int64(bitPattern: Capability.mask(capabilities.bounding))])
        }
        plan.add(
            CL_STEP_USER, "become user \(process.uid):\(process.gid)",
            [
                Int64(process.uid), Int64(process.gid), process.umask.map(Int64.init) ?? -1,
                Int64(process.groups.count),
            ], data: plan.groups(process.groups))
        privileges(plan)
        if !process.environment.contains(where: { $0.hasPrefix("HOME=") }) {
            plan.add(CL_STEP_HOME, "find the home directory", [Int64(process.uid)])
        }
        if wiring.diesWithParent { plan.add(CL_STEP_PARENT_DEATH, "prctl PR_SET_PDEATHSIG", [Int64(SIGKILL)]) }
        plan.add(
            CL_STEP_EXECUTE, "execute '\(process.arguments[0])'", [wiring.keptDescriptors], data: plan.list(programs),
            data2: plan.list(process.arguments), data3: plan.list(process.environment, spare: 1))
    }

    /// Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the capabilities; with it, the filter comes
    /// last so that it need not allow what these steps do.
    private func privileges(_ plan: ChildPlan) {
        let name = "change to the directory \(process.directory)"
        if process.noNewPrivileges {
            capabilities(plan)
            plan.add(CL_STEP_DIRECTORY_CHANGE, name, texts: [process.directory])
            plan.add(CL_STEP_NO_NEW_PRIVILEGES, "set no_new_privs")
            if let seccomp { plan.add(seccomp) }
        } else {
            plan.add(CL_STEP_DIRECTORY_CHANGE, name, texts: [process.directory])
            if let seccomp { plan.add(seccomp) }
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
