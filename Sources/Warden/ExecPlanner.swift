import CLinux
import Glibc
import Kernel
import OCI

/// The steps of a process that joins a running container.
struct ExecPlanner {
    let process: RuntimeProcess
    let spec: RuntimeSpec
    let cgroup: ControlGroup
    /// The pidfd of the container's first process.
    let target: Int32
    let seccomp: SeccompFilter?
    let wiring: ContainerPlanner.Wiring
    /// A group below the container's, such as `/foo`.
    var subgroup = ""

    func plan() -> ChildPlan {
        let plan = ChildPlan()
        if wiring.terminalSocket == nil { plan.add(CL_STEP_SESSION, "setsid") }
        if let affinity = process.initialAffinity { add(affinity, to: plan) }
        for path in cgroup.joinFiles(below: subgroup) {
            plan.add(CL_STEP_WRITE, "join \(path)", texts: [path, "0"])
        }
        if let affinity = process.finalAffinity { add(affinity, to: plan) }
        if let adjust = process.oomScoreAdjust ?? spec.process?.oomScoreAdjust {
            plan.add(
                CL_STEP_WRITE, "set oom_score_adj to \(adjust)", [2],
                texts: ["/proc/self/oom_score_adj", String(adjust)])
        }
        let kinds = spec.namespaces.reduce(UInt64(0)) { kinds, namespace in
            namespace.kind == .pid ? kinds : kinds | (ContainerPlanner.cloneFlags[namespace.kind] ?? 0)
        }
        plan.add(CL_STEP_SETNS, "join the container's namespaces", [Int64(target), Int64(kinds)])
        if spec.namespace(.user) != nil { plan.add(CL_STEP_BECOME_ROOT, "become root of the user namespace") }
        plan.add(CL_STEP_CURRENT_ROOT, "open the container's root")
        if let socket = wiring.terminalSocket {
            plan.add(
                CL_STEP_PTY, "open a terminal", [Int64(socket), wiring.rows, wiring.columns, 0, Int64(process.uid)])
        }
        plan.add(CL_STEP_KEYRING, "make a session keyring", texts: ["_ses.skala"])
        ProcessPlanner(process: process, seccomp: seccomp, wiring: wiring, isFirst: false, spec: spec).add(to: plan)
        return plan
    }

    private func add(_ processors: ProcessorSet, to plan: ChildPlan) {
        plan.add(
            CL_STEP_AFFINITY, "set the processors", [Int64(processors.bytes.count)],
            data: plan.bytes(processors.bytes))
    }
}
