import Base
import CLinux
import Glibc
import Kernel
import WardenProtocol

extension Warden {
    static let maximumHelpers = 64
    /// Processes that are described at a time.
    private static let maximumDescribed = 5000

    /// Runs this program's other face beside a container: it reads, writes and lists files, however long that takes.
    func helper(_ request: JSON, _ reply: Reply, _ send: @escaping (Frame) -> Void) throws {
        guard helpers.count < Warden.maximumHelpers else { throw SkalaError(.exhausted, "too many helpers") }
        let verb = request["verb"].string ?? ""
        let work = try helperWork(verb, request)
        let attachment = try makeAttachment(request, send)
        var ends = try StreamEnds(["stdin": JSON(["unpack", "apply"].contains(verb))], terminal: false)
        let plan = ChildPlan()
        plan.add(CL_STEP_SESSION, "setsid")
        plan.add(CL_STEP_STDIO, "set the standard streams", ends.wiring.stdio.map(Int64.init))
        plan.add(CL_STEP_PARENT_DEATH, "prctl PR_SET_PDEATHSIG", [Int64(SIGKILL)])
        if let root = work.root {
            let bytes = withUnsafeBytes(of: root.raw) { Array($0) }
            plan.add(CL_STEP_INHERIT, "hand on the root folder", [1], data: plan.bytes(bytes))
        }
        plan.add(
            CL_STEP_EXECUTE, "execute the helper", [work.root == nil ? 0 : 1], data: plan.list(["/proc/self/exe"]),
            data2: plan.list(["skala-warden", HelperCommand.name, verb] + work.arguments),
            data3: plan.list([], spare: 1))
        let launch = try Launch(plan: plan, flags: 0, cgroup: nil, gate: nil)
        let process = try adopt(launch, &ends, log: nil, io: ["stdinOnce": true])
        helpers[launch.pid] = process
        connect(attachment, to: process, send)
        process.onReport = { [unowned self, unowned process] report in
            process.onReport = nil
            guard case .failed(let error) = report else {
                process.state = .running
                return reply.answer([:])
            }
            helpers[launch.pid] = nil
            retire(process)
            reply.fail(error)
        }
        try watch(process) { [unowned self, unowned process] in
            helpers[launch.pid] = nil
            for (stream, entry) in streams where entry.process === process { forgetStreamIfEnded(stream) }
        }
    }

    /// What the helper gets: a container's root folder, and words.
    private func helperWork(_ verb: String, _ request: JSON) throws -> (root: OwnedDescriptor?, arguments: [String]) {
        switch verb {
        case "sync": return (nil, [])
        case "changes", "layer", "apply":
            let root = try RootFileSystem(request["rootfs"])
            guard let upper = root.upper else { throw SkalaError(.invalid, "rootfs.upper is missing") }
            return (nil, [upper] + (verb == "changes" ? root.lower : []))
        case "processes":
            return (nil, try container(request).cgroup.processes().prefix(Warden.maximumDescribed).map { String($0) })
        case "stat", "pack", "unpack", "export": break
        default: throw SkalaError(.unsupported, "unknown helper '\(verb)'")
        }
        let id = request["id"].string ?? ""
        guard let holder = holders[id] else { throw SkalaError(.conflict, "container '\(id)' is not held") }
        let root = try OwnedDescriptor.open("/proc/\(holder.launch.pid)/root", CL_O_PATH | CL_O_DIRECTORY)
        if verb == "export" { return (root, []) }
        guard let path = request["path"].string, !path.isEmpty, !path.utf8.contains(0), path.utf8.count < 65536 else {
            throw SkalaError(.invalid, "not a path: '\(request["path"].string ?? "")'")
        }
        guard verb == "unpack" else { return (root, [path]) }
        let (replaces, mustLast) = (request["replaces"].bool == true, request["sync"].bool == true)
        return (root, [path, replaces ? "replace" : "keep", mustLast ? "sync" : "later"])
    }

    /// Nobody waits for it any more.
    func endHelper(_ process: ContainerProcess) {
        guard helpers[process.launch.pid] === process else { return }
        _ = cl_pidfd_send_signal(process.launch.pidfd.raw, SIGKILL)
    }
}
