import Base
import Client
import Glibc
import Kernel

/// Waits until services are as they should be, and shows how far they are.
struct ServiceConvergence {
    private let names: [String]
    private let client: EngineClient
    private let display = ProgressDisplay(descriptor: 2)
    /// Errors of tasks that were shown.
    private var told: Set<String> = []

    init(_ names: [String], _ client: EngineClient) {
        self.names = names
        self.client = client
    }

    /// - Throws: `.timedOut` naming the services that are not there yet, and the last error of a task of each; `.system` when a
    ///   rollout was paused or taken back.
    mutating func wait(seconds: Double) throws {
        let deadline = SystemClock.monotonicNanoseconds() + Int64(seconds * 1e9)
        // A rollout takes a moment to begin; twice in a row is the end.
        var settled = 0
        while true {
            let late = try look()
            settled = late.isEmpty ? settled + 1 : 0
            if settled >= 2 { return }
            guard SystemClock.monotonicNanoseconds() < deadline else {
                let reasons = try late.map { name in "\(name)\(try lastError(of: name).map { " (\($0))" } ?? "")" }
                throw SkalaError(.timedOut, "not running in time: \(reasons.joined(separator: ", "))")
            }
            Sleep.milliseconds(200)
        }
    }

    /// The services that are not as they should be.
    private mutating func look() throws -> [String] {
        let services = try client.json(.get("/services", query: [("status", "1")])).array ?? []
        var late: [String] = []
        for name in names {
            guard let service = services.first(where: { $0["Spec"]["Name"].string == name }) else {
                throw SkalaError(.notFound, "the service \(name) has been removed")
            }
            let status = service["ServiceStatus"]
            let (running, wanted) = (status["RunningTasks"].int ?? 0, status["DesiredTasks"].int ?? 0)
            let isJob = !service["Spec"]["Mode"]["ReplicatedJob"].isNull || !service["Spec"]["Mode"]["GlobalJob"].isNull
            let update = service["UpdateStatus"]
            let state = update["State"].string ?? ""
            if ["paused", "rollback_paused", "rollback_completed"].contains(state), isNew(update) {
                throw SkalaError(.system, "service \(name): \(update["Message"].string ?? state)")
            }
            let isBusy = ["updating", "rollback_started"].contains(state)
            let isReady = isJob ? (status["CompletedTasks"].int ?? 0) > 0 || wanted == 0 : running >= wanted && !isBusy
            display.show([
                "id": JSON(name),
                "status": JSON(
                    isReady
                        ? isJob ? "completed" : "running (\(running))"
                        : "\(running) of \(wanted) running\(isBusy ? ", updating" : "")"),
            ])
            if !isReady {
                late.append(name)
                if let error = try lastError(of: name), told.insert(name + error).inserted {
                    display.show(["status": JSON("\(name): \(error)")])
                }
            }
        }
        return late
    }

    /// Whether a rollout's end is of this minute, and not an earlier one's.
    private func isNew(_ update: JSON) -> Bool {
        guard let text = update["CompletedAt"].string, let time = try? Timestamp(parsing: text) else { return true }
        return SystemClock.now().nanoseconds - time.nanoseconds < 60_000_000_000
    }

    private func lastError(of name: String) throws -> String? {
        let tasks = try client.json(.get("/tasks", query: try API.filters(["service=\(name)"]))).array ?? []
        let failed = tasks.filter { $0["Status"]["Err"].string?.isEmpty == false }
        return failed.max { $0["Status"]["Timestamp"].plain < $1["Status"]["Timestamp"].plain }?["Status"]["Err"].string
    }
}

/// Pauses of this program.
enum Sleep {
    static func milliseconds(_ count: UInt32) { usleep(count * 1000) }
}
