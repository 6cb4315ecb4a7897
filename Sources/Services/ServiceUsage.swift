import Base
import Engine
import Networks
public import Planning

/// What has happened to a service since the daemon's start; whoever keeps it longer adds it up.
public struct ServiceCounts: Sendable {
    public internal(set) var started: Int64 = 0
    /// Of those, in the place of one that ended or was broken.
    public internal(set) var restarted: Int64 = 0
    /// Ended with an error, or never started.
    public internal(set) var failed: Int64 = 0
    public internal(set) var scaledUp: Int64 = 0
    public internal(set) var scaledDown: Int64 = 0
}

/// How many tasks a service wants and has, as the API's `ServiceStatus`.
public struct ServiceStatus: Sendable {
    public let running: Int
    public let desired: Int
    /// Of a job's present run.
    public let completed: Int

    public init(_ service: ServiceRecord, _ tasks: [TaskRecord]) {
        let wanted = tasks.filter(\.isWanted)
        let completed = tasks.count { $0.state == .complete && $0.jobIteration == service.jobIteration }
        desired =
            switch service.spec.mode {
            case .replicated(let replicas): replicas
            case .replicatedJob(let concurrent, let total): min(concurrent, total - min(total, completed))
            case .global: wanted.count
            // Clients add those that have completed.
            case .globalJob: wanted.count { $0.state.isActive }
            }
        running = tasks.count { $0.state == .running && $0.isWanted }
        self.completed = service.spec.mode.isJob ? completed : 0
    }
}

/// A service as it is just now.
public struct ServiceUsage: Sendable {
    public let service: ServiceRecord
    public let status: ServiceStatus
    /// Running, healthy and wanted: those that connections are led to.
    public let ready: Int
    public let tasks: [TaskState: Int]
    public let counts: ServiceCounts
    public let policy: AutoscalePolicy?
    /// What the autoscaler saw and decided last.
    public let scaling: ScalingDecision?
    /// Containers that get new connections, and those that only keep what they have; nil when nothing is balanced.
    public let members: (active: Int, leaving: Int)?
    /// Of a service whose requests are balanced.
    public var http: HTTPFigures?
}

extension ServiceReconciler {
    func usage(members: (active: Int, leaving: Int)?) -> ServiceUsage {
        let all = Array(tasks.values)
        return ServiceUsage(
            service: service, status: ServiceStatus(service, all), ready: all.count(where: isServing),
            tasks: all.reduce(into: [:]) { $0[$1.state, default: 0] += 1 }, counts: counts,
            policy: autoscaler?.policy, scaling: lastScaling, members: members)
    }
}

extension Cluster {
    /// Of every service, by name; none when this is no swarm.
    public func usage() async -> [ServiceUsage] {
        let balanced = Dictionary(
            await context.engine.networks.balancedServices().map { ($0.id, $0.members) }
        ) { first, _ in first }
        // One that does not answer is missing, as containers are.
        let http = (try? await httpFigures()) ?? [:]
        var list: [ServiceUsage] = []
        for (id, reconciler) in reconcilers {
            let members = balanced[id].map { members in
                let active = members.count { $0.weight > 0 }
                return (active: active, leaving: members.count - active)
            }
            var usage = await reconciler.usage(members: members)
            usage.http = http[id]
            list.append(usage)
        }
        return list.filter { !$0.service.isRemoved }.sorted { $0.service.name < $1.service.name }
    }
}
