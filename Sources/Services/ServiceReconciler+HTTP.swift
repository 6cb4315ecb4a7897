import Base
import Engine
import Kernel
import Networks
import Planning

/// Who gets a service's requests, where it asked for HTTP.
///
///     started ──its port accepts a connection──▶ running: member ──told to stop──▶ out ──▶ its requests end ──▶ SIGTERM
extension ServiceReconciler {
    /// The service with those of its tasks that serve; nil when it did not ask for HTTP.
    func httpService(_ spec: ServiceSpec, _ serving: [TaskRecord]) async throws -> HTTPService? {
        guard let policy = try HTTPPolicy(labels: spec.labels),
            var service = try await cluster.httpService(spec, id: service.id)
        else { return nil }
        if self.service.isRemoved { service.listeners = [] }
        let port = UInt16(clamping: try policy.targetPort(spec.endpoint))
        for task in serving {
            guard let address = await context.engine.networks.hostAddress(of: task.containerID) else { continue }
            service.members.append(HTTPService.Member(id: task.containerID, address: address, port: port))
        }
        return service
    }

    /// Brings HAProxy in line. What has not changed costs nothing.
    func balance(requests wanted: HTTPService?) async throws {
        guard wanted != balancedHTTP || isFirstBalance else { return }
        if let wanted {
            try await context.http.set(wanted)
        } else {
            try await context.http.remove(service.id)
        }
        balancedHTTP = wanted
    }

    /// The port at which a task of this service is asked for a connection before it serves; nil when it need not be: it
    /// has a health check, or no HTTP.
    func knockPort() -> UInt16? {
        // What a service has was checked.
        guard let policy = try? HTTPPolicy(labels: service.spec.labels),
            let port = try? policy.targetPort(service.spec.endpoint)
        else { return nil }
        return UInt16(clamping: port)
    }

    /// Waits until a task that was started accepts connections, and makes it one that serves. Ends, too, when it is not
    /// wanted any more, was given up, or has ended.
    func knock(_ id: String) async {
        guard let port = knockPort() else { return }
        var pause: UInt64 = 5_000_000
        while let task = tasks[id], task.state == .starting, task.isWanted, faults[id] == nil {
            // Gone: seen by who looks next.
            guard let container = try? await context.engine.containers.find(task.containerID) else { return }
            let state = await container.snapshot.state
            guard state.isAlive, await container.healthStatus == "none" else { return }
            if let address = await context.engine.networks.hostAddress(of: task.containerID),
                await context.http.answers(address, port)
            {
                return await change(id) {
                    $0.enter(.running, "started")
                    $0.pid = state.pid
                }
            }
            try? await Task.sleep(nanoseconds: pause)  // never cancelled
            pause = min(pause * 2, 100_000_000)
        }
    }

    /// Waits for the requests of a task that is out of the balancer, as long as it may take for them.
    func drain(_ task: TaskRecord) async {
        // What a service has was checked.
        guard balancedHTTP != nil, !task.containerID.isEmpty,
            let policy = (try? HTTPPolicy(labels: service.spec.labels)) ?? nil
        else { return }
        await context.http.waitUntilIdle(task.containerID, of: service.id, limit: policy.drain)
    }

    /// A request is held: the load is looked at now.
    func requestWaits() async { if sampling != nil { await sampleLoad(fresh: true) } }

    /// What is known of the requests; nil without HTTP, and when HAProxy does not answer.
    func httpFigures(fresh: Bool = false) async -> HTTPFigures? {
        guard balancedHTTP != nil else { return nil }
        do {
            return try await context.httpMeter.read(fresh: fresh)[service.id]
        } catch {
            context.log.debug(
                "the requests of a service are not known", ["service": service.name, "error": "\(error)"])
            return nil
        }
    }
}
