import Base
import Kernel
import OCI

/// A process the warden runs: a container's first, or an executed one.
final class ContainerProcess {
    enum State { case starting, created, running, ended }

    let launch: Launch
    let streams: ProcessStreams
    let closesInputWithClient: Bool
    var state = State.starting
    var exit: ExitStatus?
    /// Called once with what the start led to.
    var onReport: ((Launch.Report) -> Void)?

    init(launch: Launch, streams: ProcessStreams, closesInputWithClient: Bool) {
        self.launch = launch
        self.streams = streams
        self.closesInputWithClient = closesInputWithClient
    }
}

/// What the warden knows of a container, from `create` to `delete`.
final class Container {
    /// Changes when a VM continues as another one.
    var id: String
    let spec: RuntimeSpec
    let cgroup: ControlGroup
    let seccomp: JSON
    let createdAt: Timestamp
    var first: ContainerProcess
    var execs: [String: ContainerProcess] = [:]
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    var oomKilled = false
    var paused = false
    /// By name: what comes from the containers in it, when it is a VM.
    var logs: [String: RelayedLog] = [:]
    /// Why a start was given up: the process was killed.
    var startFailure: SkalaError?

    init(id: String, spec: RuntimeSpec, cgroup: ControlGroup, first: ContainerProcess) {
        self.id = id
        self.spec = spec
        self.cgroup = cgroup
        self.seccomp = spec.seccomp
        self.first = first
        createdAt = SystemClock.now()
    }

    var status: String {
        switch first.state {
        case .starting, .created: "created"
        case .running: paused ? "paused" : "running"
        case .ended: "stopped"
        }
    }

    /// The state as hooks and listeners get it.
    static func state(_ id: String, _ spec: RuntimeSpec, _ status: String, pid: Int32?) -> JSON {
        var state: JSON = [
            "ociVersion": JSON(RuntimeCommand.specificationVersion), "id": JSON(id), "status": JSON(status),
            "bundle": "", "annotations": .object(JSONObject(spec.annotations.map { ($0.key, JSON($0.value)) })),
        ]
        if let pid { state["pid"] = JSON(pid) }
        return state
    }

    /// The container as `state` and `list` show it.
    var description: JSON {
        var json: JSON = [
            "id": JSON(id), "status": JSON(status), "pid": JSON(first.state == .ended ? 0 : first.launch.pid),
            "createdAt": JSON(createdAt.nanoseconds),
        ]
        if let startedAt { json["startedAt"] = JSON(startedAt.nanoseconds) }
        if let finishedAt { json["finishedAt"] = JSON(finishedAt.nanoseconds) }
        if let exit = first.exit {
            json["exitCode"] = JSON(exit.code)
            if exit.signal > 0 { json["signal"] = JSON(exit.signal) }
        }
        json["oomKilled"] = JSON(oomKilled)
        json["execs"] = .array(
            execs.sorted { $0.key < $1.key }.map { name, process in
                var exec: JSON = [
                    "exec": JSON(name), "pid": JSON(process.launch.pid), "running": JSON(process.exit == nil),
                ]
                if let exit = process.exit { exec["exitCode"] = JSON(exit.code) }
                return exec
            })
        return json
    }
}
