import Base
import CLinux
import Glibc
import Kernel
import OCI

/// Turns a runtime spec into the steps of the container's first process.
struct ContainerPlanner {
    /// What a process starts with.
    struct Wiring {
        /// Descriptors that become 0, 1 and 2; empty with a terminal.
        var stdio: [Int32] = []
        /// Where to send the terminal's master; nil without a terminal.
        var terminalSocket: Int32?
        var rows: Int64 = 0
        var columns: Int64 = 0
        /// Where "go on" comes from; nil: nothing waits.
        var gate: Int32?
        /// Report "ready" and wait at the gate before the program is executed.
        var waitsForStart = false
        /// Descriptors from 3 on that the program inherits as they are.
        var keptDescriptors: Int64 = 0
        /// Descriptors that become 3, 4, … for the program.
        var inherited: [Int32] = []
        /// The process is to die with the runtime.
        var diesWithParent = true
    }

    let spec: RuntimeSpec
    let bundle: String?
    let rootFileSystem: RootFileSystem?
    let layout: CgroupLayout
    let cgroup: ControlGroup
    let seccomp: SeccompFilter?
    let wiring: Wiring
    var sources = MountSources()
    /// A process whose root is taken in place of one of its own, without the mounts in it, and where to mount it.
    var borrowed: (pid: Int32, mountPoint: String)?
    /// The container's state for hooks, without its pid.
    var state: JSON = [:]

    static let cloneFlags: [RuntimeNamespace.Kind: UInt64] = [
        .pid: 0x2000_0000, .network: 0x4000_0000, .mount: 0x2_0000, .ipc: 0x800_0000, .uts: 0x400_0000,
        .user: 0x1000_0000, .cgroup: 0x200_0000, .time: 0x80,
    ]
    private static let maximumLength = 64

    /// The namespaces the clone itself makes; the cgroup namespace comes after joining the groups, and a time namespace
    /// takes its offsets before anybody is in it.
    var flags: UInt64 {
        spec.namespaces.reduce(0) { flags, namespace in
            guard namespace.path == nil, namespace.kind != .cgroup, namespace.kind != .time else { return flags }
            return flags | (ContainerPlanner.cloneFlags[namespace.kind] ?? 0)
        }
    }

    func validate() throws(SkalaError) {
        guard spec.namespace(.mount) != nil else {
            throw SkalaError(.unsupported, "linux.namespaces must hold a mount namespace")
        }
        if !spec.timeOffsets.isEmpty, spec.namespace(.time).map({ $0.path == nil }) != true {
            throw SkalaError(.invalid, "linux.timeOffsets needs a new time namespace")
        }
        if spec.namespace(.user).map({ $0.path == nil }) == true, spec.uidMappings.isEmpty || spec.gidMappings.isEmpty {
            throw SkalaError(.invalid, "a user namespace needs linux.uidMappings and linux.gidMappings")
        }
        if spec.hostname != nil, spec.namespace(.uts) == nil {
            throw SkalaError(.invalid, "a hostname needs a uts namespace")
        }
        for text in [spec.hostname, spec.domainname].compactMap({ $0 })
        where text.utf8.count > ContainerPlanner.maximumLength {
            throw SkalaError(.invalid, "hostname longer than \(ContainerPlanner.maximumLength) bytes: '\(text)'")
        }
        for (key, _) in spec.sysctl { try checkSysctl(key) }
    }

    /// Only values that belong to a namespace of the container's own: any other would change the host.
    private func checkSysctl(_ key: String) throws(SkalaError) {
        let ipc: Set = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
            "kernel.shmmni", "kernel.shm_rmid_forced",
        ]
        let owner: RuntimeNamespace.Kind? =
            if key.hasPrefix("net.") { .network } else if ipc.contains(key) || key.hasPrefix("fs.mqueue.") {
                .ipc
            } else if key == "kernel.domainname" { .uts } else { nil }
        guard let owner, spec.namespace(owner) != nil, !key.contains("/"), !key.contains("..") else {
            throw SkalaError(.invalid, "sysctl '\(key)' is not in a namespace of the container's own")
        }
    }

    func plan() throws(SkalaError) -> ChildPlan {
        let plan = ChildPlan()
        if wiring.terminalSocket == nil { plan.add(CL_STEP_SESSION, "setsid") }
        joinGroups(plan)
        joinNamespaces(plan)
        settings(plan)
        try root(plan)
        if spec.process?.terminal == true || wiring.terminalSocket != nil { terminal(plan, console: true) }
        hooks(plan)
        if joinsMounts {
            plan.add(CL_STEP_CHROOT, "chroot")
        } else {
            plan.add(CL_STEP_PIVOT, "pivot_root")
        }
        if !joinsMounts, let name = spec.rootfsPropagation, let flags = MountOptions.propagation(name) {
            plan.add(CL_STEP_PROPAGATION, "set the propagation of / to \(name)", [Int64(flags)])
        }
        if let process = spec.process {
            ProcessPlanner(
                process: process, seccomp: seccomp, wiring: wiring, isFirst: true, spec: spec, state: state
            ).add(to: plan)
        } else {
            if wiring.diesWithParent { plan.add(CL_STEP_PARENT_DEATH, "prctl PR_SET_PDEATHSIG", [Int64(SIGKILL)]) }
            plan.add(CL_STEP_HOLD, "hold")
        }
        return plan
    }

    /// The container lives in somebody else's mount namespace.
    private var joinsMounts: Bool { spec.namespace(.mount)?.path != nil }

    /// Whether the runtime has something to do while the process waits at the gate before its start.
    var needsGate: Bool { ContainerPlanner.needsGate(spec) }

    static func needsGate(_ spec: RuntimeSpec) -> Bool {
        spec.namespace(.user).map { $0.path == nil } == true || !spec.hooks.createRuntime.isEmpty
            || spec.seccomp["listenerPath"].string?.isEmpty == false
    }

    private func hooks(_ plan: ChildPlan) {
        if !spec.hooks.createRuntime.isEmpty, let gate = wiring.gate {
            plan.add(CL_STEP_WAIT, "wait for the hooks", [Int64(gate), Int64(CL_STAGE_HOOKS)])
        }
        ContainerPlanner.add(spec.hooks.createContainer, "creating", state, to: plan)
    }

    /// Hooks that run in the container's namespaces.
    static func add(_ hooks: [RuntimeHook], _ status: String, _ state: JSON, to plan: ChildPlan) {
        var state = state
        state["status"] = JSON(status)
        // Only the process itself knows its pid in its namespace.
        let text = state.text.dropLast() + (state.object?.isEmpty == false ? "," : "") + "\"pid\":"
        for hook in hooks {
            HookProcess.addExecution(of: hook, CL_STEP_HOOK, [hook.timeout ?? 0], texts: [String(text), "}"], to: plan)
        }
    }

    private func joinGroups(_ plan: ChildPlan) {
        for path in cgroup.joinFiles() { plan.add(CL_STEP_WRITE, "join \(path)", texts: [path, "0"]) }
        if let namespace = spec.namespace(.cgroup), namespace.path == nil {
            plan.add(CL_STEP_UNSHARE, "unshare the cgroup namespace", [0x200_0000])
        }
    }

    private func joinNamespaces(_ plan: ChildPlan) {
        let user = spec.namespace(.user)
        let joined = spec.namespaces.filter { $0.path != nil && $0.kind != .pid }
        for namespace in joined.sorted(by: { ($0.kind == .user ? 0 : 1) < ($1.kind == .user ? 0 : 1) }) {
            let kind = Int64(ContainerPlanner.cloneFlags[namespace.kind] ?? 0)
            plan.add(CL_STEP_SETNS, "join \(namespace.path ?? "")", [0, kind], texts: [namespace.path])
        }
        if let user {
            if user.path == nil, let gate = wiring.gate {
                plan.add(CL_STEP_WAIT, "wait for the id mappings", [Int64(gate), 0])
            }
        }
        if let time = spec.namespace(.time), time.path == nil { makeTimeNamespace(plan) }
        if user != nil { plan.add(CL_STEP_BECOME_ROOT, "become root of the user namespace") }
        if let network = spec.namespace(.network), network.path == nil {
            plan.add(CL_STEP_LOOPBACK, "bring lo up")
        }
    }

    /// A new time namespace is entered after its offsets were set; before the process becomes another user, which could
    /// not write them.
    private func makeTimeNamespace(_ plan: ChildPlan) {
        let kind = Int64(ContainerPlanner.cloneFlags[.time] ?? 0)
        plan.add(CL_STEP_UNSHARE, "unshare the time namespace", [kind])
        for offset in spec.timeOffsets {
            plan.add(
                CL_STEP_WRITE, "set the time offset \(offset.line)", texts: ["/proc/self/timens_offsets", offset.line])
        }
        plan.add(CL_STEP_SETNS, "enter the time namespace", [0, kind], texts: ["/proc/self/ns/time_for_children"])
    }

    /// What is written through the host's /proc, while it can be reached: the container's might be anything.
    private func settings(_ plan: ChildPlan) {
        if let adjust = spec.process?.oomScoreAdjust {
            plan.add(
                CL_STEP_WRITE, "set oom_score_adj to \(adjust)", [2],
                texts: ["/proc/self/oom_score_adj", String(adjust)])
        }
        if let hostname = spec.hostname { plan.add(CL_STEP_HOSTNAME, "sethostname \(hostname)", texts: [hostname]) }
        if let domainname = spec.domainname {
            plan.add(CL_STEP_DOMAINNAME, "setdomainname \(domainname)", texts: [domainname])
        }
        for (key, value) in spec.sysctl {
            let path = "/proc/sys/" + key.split(separator: ".").joined(separator: "/")
            plan.add(CL_STEP_WRITE, "sysctl \(key)=\(value)", texts: [path, value])
        }
        if spec.process != nil { plan.add(CL_STEP_KEYRING, "make a session keyring", texts: ["_ses.skala"]) }
    }

    private func root(_ plan: ChildPlan) throws(SkalaError) {
        if joinsMounts {
            try plainRoot(plan)
        } else {
            try ownRoot(plan)
        }
        for (index, mount) in spec.mounts.enumerated() { try add(mount, index, to: plan) }
        if spec.process != nil { devices(plan) }
        if let directory = spec.process?.directory, directory != "/" {
            plan.add(CL_STEP_DIRECTORY, "make the working directory \(directory)", texts: [directory])
        }
        for path in spec.readonlyPaths {
            plan.add(CL_STEP_READONLY_PATH, "make \(path) read-only", texts: [path])
        }
        for path in spec.maskedPaths { plan.add(CL_STEP_MASK, "mask \(path)", texts: [path]) }
        if spec.rootReadonly { plan.add(CL_STEP_READONLY_ROOT, "make the root read-only") }
    }

    /// In a mount namespace of somebody else, a directory becomes the root without a mount of its own.
    private func plainRoot(_ plan: ChildPlan) throws(SkalaError) {
        guard rootFileSystem == nil, !spec.rootReadonly else {
            throw SkalaError(.unsupported, "a joined mount namespace allows no root of layers and no read-only root")
        }
        plan.add(CL_STEP_ROOT_PLAIN, "open the root \(try rootPath())", texts: [try rootPath()])
    }

    private func rootPath() throws(SkalaError) -> String {
        guard spec.rootPath.hasPrefix("/") || bundle != nil, !spec.rootPath.isEmpty else {
            throw SkalaError(.invalid, "root.path is not absolute: '\(spec.rootPath)'")
        }
        return spec.rootPath.hasPrefix("/") ? spec.rootPath : (bundle ?? "") + "/" + spec.rootPath
    }

    private func ownRoot(_ plan: ChildPlan) throws(SkalaError) {
        let shared = spec.rootfsPropagation.map { $0.contains("private") } == true ? "rprivate" : "rslave"
        let flags = MountOptions.propagation(shared) ?? 0
        plan.add(CL_STEP_PROPAGATION, "make / \(shared)", [Int64(flags)])
        if let borrowed {
            plan.add(
                CL_STEP_ROOT_OF, "take the root of process \(borrowed.pid)",
                texts: ["/proc/\(borrowed.pid)/ns/mnt", borrowed.mountPoint])
        } else if let overlay = rootFileSystem {
            plan.add(
                CL_STEP_ROOT_OVERLAY, "mount the root file system",
                texts: [overlay.upper, overlay.work, overlay.mountPoint, overlay.mountData],
                data: plan.list(overlay.lower))
        } else {
            let path = try rootPath()
            plan.add(CL_STEP_ROOT_BIND, "bind the root \(path)", texts: [path])
        }
    }

    func terminal(_ plan: ChildPlan, console: Bool) {
        guard let socket = wiring.terminalSocket else { return }
        plan.add(
            CL_STEP_PTY, "open a terminal",
            [Int64(socket), wiring.rows, wiring.columns, console ? 1 : 0, Int64(spec.process?.uid ?? 0)])
    }
}
