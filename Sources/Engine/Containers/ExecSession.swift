public import Base
import Synchronization

/// A further process in a container: made by `POST /containers/{id}/exec`, run by `POST /exec/{id}/start`.
public final class ExecSession: Sendable {
    public let id: String
    public let containerID: String
    /// The body of the create request.
    public let config: JSON

    struct State: Sendable {
        var pid: Int64 = 0
        var isRunning = false
        var hasStarted = false
    }

    let state = Mutex(State())
    let exitCode = Promise<Int64>()

    init(id: String, containerID: String, config: JSON) {
        self.id = id
        self.containerID = containerID
        self.config = config
    }

    /// Waits for its end, but no longer than the given time: a program may close its output and go on.
    public func waitForExit(seconds: Double) async {
        let waited = Promise<Void>()
        let timer = Task {
            // Cancelled when the exit came first.
            try? await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
            waited.fulfil(())
        }
        Task { [exitCode] in
            _ = await exitCode.value
            waited.fulfil(())
        }
        await waited.value
        timer.cancel()
    }

    public var hasTerminal: Bool { config["Tty"].bool ?? false }

    func exited(_ code: Int64) {
        state.withLock { $0.isRunning = false }
        exitCode.fulfil(code)
    }

    /// The container ended, and with it every process in it.
    func containerExited() { if state.withLock({ $0.hasStarted }) { exited(137) } }

    /// The document of `GET /exec/{id}/json`.
    public var json: JSON {
        let state = state.withLock { $0 }
        let command = config["Cmd"].strings ?? []
        let attachesInput = config["AttachStdin"].bool ?? false
        return [
            "ID": JSON(id), "Running": JSON(state.isRunning), "ExitCode": exitCode.current.map { JSON($0) } ?? .null,
            "ProcessConfig": [
                "tty": JSON(hasTerminal), "entrypoint": JSON(command.first ?? ""),
                "arguments": JSON(Array(command.dropFirst())), "privileged": JSON(config["Privileged"].bool ?? false),
                "user": JSON(config["User"].string ?? ""),
            ],
            "OpenStdin": JSON(attachesInput), "OpenStderr": JSON(config["AttachStderr"].bool ?? false),
            "OpenStdout": JSON(config["AttachStdout"].bool ?? false), "CanRemove": false,
            "ContainerID": JSON(containerID), "DetachKeys": "", "Pid": JSON(state.pid),
        ]
    }
}
