public import Base
import Engine
import Kernel
import Planning

/// Something a reconciler did, and why.
struct Decision: Sendable {
    var time: Timestamp
    let text: String
}

extension ServiceReconciler {
    /// As many decisions, and as old ones, are kept for `service explain`.
    private static let maximumDecisions = 200
    private static let longestMemory: Int64 = 3600 * 1_000_000_000

    func note(_ text: String) {
        let now = SystemClock.now()
        context.log.debug(text, ["service": service.name])
        decisions.append(Decision(time: now, text: text))
        let oldest = now.advanced(by: -ServiceReconciler.longestMemory)
        decisions = Array(decisions.filter { $0.time >= oldest }.suffix(ServiceReconciler.maximumDecisions))
    }

    /// Why each task is where it is, why it does not run, and what was decided in the last hour.
    func explanation() -> JSON {
        let sorted = tasks.values.sorted { ($0.slot, $0.created) < ($1.slot, $1.created) }
        return [
            "Service": JSON(service.name), "ID": JSON(service.id), "Mode": service.spec.mode.json,
            "Profile": JSON(service.spec.profile?.rawValue),
            "Autoscaler": JSON(lastScaling.map { "\($0)" }), "UpdateStatus": service.rollout?.json ?? .null,
            "Tasks": JSON(
                sorted.filter { $0.state.isActive || $0.isWanted }.map { task in
                    [
                        "ID": JSON(task.id), "Slot": JSON(task.slot), "Node": JSON(task.nodeID),
                        "State": JSON(task.state.rawValue), "DesiredState": JSON(task.desired.rawValue),
                        "Since": JSON(task.stateTime.text), "Isolation": JSON(task.spec.isolation),
                        "Specification": JSON(task.templateVersion == service.templateVersion ? "current" : "another"),
                        "Why": JSON(why(task)),
                    ]
                }),
            "Notes": JSON(notes.map { ["Slot": JSON($0.slot.description), "Text": JSON($0.text)] }),
            "Decisions": JSON(decisions.map { ["Time": JSON($0.time.text), "Text": JSON($0.text)] }),
        ]
    }

    private func why(_ task: TaskRecord) -> String {
        if task.isStalled, task.isWanted {
            return Container.stallText + "; it gets no connections, and goes on when there is room"
        }
        if !task.error.isEmpty { return task.error }
        if !task.isWanted { return "it was told to stop, and has its grace period" }
        if !task.isHealthy { return "its health checks fail" }
        switch task.state {
        case .new, .allocated, .pending: return "it waits for a node"
        case .assigned, .accepted, .preparing: return "its image and container are prepared"
        case .ready: return "its container is ready"
        case .starting: return "it has started, and its first health check has not succeeded yet"
        case .running:
            let constraints = task.spec.placement.constraints.map(\.text)
            return "the node has room for it"
                + (constraints.isEmpty ? "" : " and fulfils \(constraints.joined(separator: ", "))")
        default: return task.message
        }
    }
}

extension Cluster {
    /// For `GET /skala/v1/services/{id}/explain`.
    public func explanation(of service: String) async throws -> JSON {
        var explanation = await (try reconciler(service)).explanation()
        if let figures = try await httpFigures()[explanation["ID"].string ?? ""] { explanation["HTTP"] = figures.json }
        explanation["Tasks"] = JSON(
            (explanation["Tasks"].array ?? []).map { task in
                var task = task
                if task["State"] == "running" {
                    task["Why"] = JSON((task["Why"].string ?? "") + interference(of: task["ID"].string ?? ""))
                }
                return task
            })
        if let node { explanation["Nodes"][node.id] = ["Hostname": JSON(node.hostname)] }
        return explanation
    }
}
