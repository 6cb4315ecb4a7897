import Base
import Client

/// What `skala top` shows at one moment.
struct TopReading {
    /// Each with its tasks.
    var services: [(service: TopEntry, tasks: [TopEntry])] = []
    /// Of no service.
    var containers: [TopEntry] = []

    var measured: [TopEntry] { services.flatMap(\.tasks).filter { $0.sample != nil } + containers }

    /// In the order in which they are shown.
    func entries(by order: TopOrder, tasks: Bool) -> [TopEntry] {
        let sorted = services.sorted { order.areOrdered($0.service, $1.service) }
        return sorted.flatMap { service, own in [service] + (tasks ? own.sorted(by: order.areOrdered) : []) }
            + containers.sorted(by: order.areOrdered)
    }
}

/// Reads it again and again.
struct TopReader {
    let client: EngineClient
    private var statistics: StatsReader
    private let serviceLabel = "com.docker.swarm.service.id"

    init(client: EngineClient) {
        self.client = client
        statistics = StatsReader(client: client)
    }

    mutating func read() throws -> TopReading {
        let running = try client.json(.get("/containers/json")).array ?? []
        let samples = Dictionary(
            try statistics.read(running.compactMap { $0["Id"].string }, named: false).map { ($0.id, $0) }
        ) { first, _ in first }
        var reading = TopReading()
        for container in running {
            guard container["Labels"][serviceLabel].isNull, let id = container["Id"].string, let sample = samples[id]
            else { continue }
            var entry = TopEntry(.container, name: sample.name)
            entry.state = container["State"].plain
            entry.isolation = container["Isolation"].plain
            entry.take(sample)
            reading.containers.append(entry)
        }
        for service in try services() {
            reading.services.append(try entries(of: service.service, service.tasks, samples))
        }
        return reading
    }

    /// None when the engine is not in swarm mode.
    private func services() throws -> [(service: JSON, tasks: [JSON])] {
        let list: [JSON]
        let tasks: [JSON]
        do {
            list = try client.json(.get("/services", query: [(name: "status", value: "1")])).array ?? []
            tasks = list.isEmpty ? [] : try client.json(.get("/tasks")).array ?? []
        } catch let error as SkalaError where error.code == .unavailable {
            return []
        }
        let own = Dictionary(grouping: tasks) { $0["ServiceID"].plain }
        return list.map { ($0, own[$0["ID"].plain] ?? []) }
    }

    private func entries(
        of service: JSON, _ tasks: [JSON], _ samples: [String: StatsSample]
    ) throws -> (service: TopEntry, tasks: [TopEntry]) {
        let name = service["Spec"]["Name"].plain
        var entry = TopEntry(.service, name: name)
        entry.state =
            "\(service["ServiceStatus"]["RunningTasks"].text)/\(service["ServiceStatus"]["DesiredTasks"].text)"
        let isolation = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Isolation"].string ?? ""
        entry.isolation = isolation.isEmpty || isolation == "default" ? "container" : isolation
        var list: [TopEntry] = []
        // Ended ones are history; those on their way are shown with their state.
        let ended: Set = ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"]
        for task in tasks where !ended.contains(task["Status"]["State"].plain) {
            let slot = task["Slot"].int.map { "\($0)" } ?? String(task["NodeID"].plain.prefix(12))
            var line = TopEntry(.task, name: "\(name).\(slot)", service: name)
            line.state = task["Status"]["State"].plain
            line.isolation = entry.isolation
            let id = task["Status"]["ContainerStatus"]["ContainerID"].plain
            if let sample = samples[id] { line.take(sample) }
            entry.add(line)
            list.append(line)
        }
        try explain(service, &entry)
        return (entry, list)
    }

    /// What only the engine's explanation tells: the autoscaler, and requests.
    private func explain(_ service: JSON, _ entry: inout TopEntry) throws {
        let keys = service["Spec"]["Labels"].object?.keys ?? []
        guard keys.contains(where: { $0.hasPrefix("skala.autoscale.") || $0.hasPrefix("skala.http") }) else { return }
        do {
            let path = "/skala/v1" + ServiceCommands.path(service["ID"].plain, "/explain")
            let explanation = try client.json(.get(path))
            entry.autoscaler = explanation["Autoscaler"].plain
            entry.requestsPerSecond = explanation["HTTP"]["RequestsPerSecond"].double
        } catch let error as SkalaError where error.code == .notFound {
            // It was removed meanwhile.
        }
    }
}
