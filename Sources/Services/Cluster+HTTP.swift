import Base
import Engine
import Kernel
import Networks
import Planning

/// Services whose requests are balanced, not their connections.
extension Cluster {
    /// What HAProxy counts of each service that asked for it, by the service's id: empty when there is none.
    public func httpFigures() async throws -> [String: HTTPFigures] { try await context.httpMeter.read() }

    /// What the balancer is to be told of a service, without its members; nil when it does not ask for HTTP.
    ///
    /// - Throws: `.invalid` for labels that are none, `.notFound` for a certificate that is not there.
    func httpService(_ spec: ServiceSpec, id: String) throws -> HTTPService? {
        guard let policy = try HTTPPolicy(labels: spec.labels) else { return nil }
        var pem = ""
        if let name = policy.certificate {
            pem = String(decoding: try contents(of: try file(.secret, name)), as: UTF8.self)
        }
        return try policy.service(
            id, spec.endpoint, algorithm: try ServiceReconciler.algorithm(of: spec), pem: pem,
            sleeps: try AutoscalePolicy(labels: spec.labels)?.minimum == 0)
    }

    /// Everything about a service's HTTP that can be told to be wrong before it is tried.
    func checkHTTP(_ service: ServiceRecord) async throws {
        guard let own = try httpService(service.spec, id: service.id) else { return }
        if service.spec.mode.isJob { throw SkalaError(.invalid, "a job serves no requests: labels skala.http.*") }
        for target in service.spec.task.networks {
            let network = try await context.engine.networks.find(target.target)
            guard network.isBridged else {
                throw SkalaError(
                    .invalid, "labels skala.http.*: tasks on network '\(network.name)' have no address of their own")
            }
        }
        try context.http.requireProgram()
        for reconciler in reconcilers.values {
            let other = await reconciler.service
            guard other.id != service.id, !other.isRemoved, let theirs = try httpService(other.spec, id: other.id)
            else {
                continue
            }
            try Cluster.checkShared(own, theirs, name: other.name)
        }
    }

    /// Services share a port when both speak TLS there, or neither does, and no request is for both.
    private static func checkShared(_ own: HTTPService, _ other: HTTPService, name: String) throws(SkalaError) {
        for listener in own.listeners {
            guard let same = other.listeners.first(where: { $0.port == listener.port }) else { continue }
            guard listener.certificate.isEmpty == same.certificate.isEmpty else {
                throw SkalaError(
                    .invalid,
                    "port '\(listener.port)' is shared with service '\(name)', and one of them has a certificate there")
            }
            if let route = own.routes.first(where: other.routes.contains) {
                let text = (route.host.isEmpty ? "any host" : route.host) + (route.path.isEmpty ? "" : route.path)
                throw SkalaError(
                    .invalid,
                    "port '\(listener.port)' is already in use by service '\(name)' for \(text): give them different "
                        + "labels skala.http.host or skala.http.path")
            }
        }
    }

    /// Whether a port that two services publish is one they can share.
    func share(_ port: ServicePort, _ one: ServiceSpec, _ other: ServiceSpec) -> Bool {
        // Both were checked before.
        [one, other].allSatisfy { spec in
            guard let service = try? httpService(spec, id: "x") else { return false }
            return service.listeners.contains { Int($0.port) == port.publishedPort }
        }
    }

    /// Takes over the balancer of the daemon before.
    func restoreHTTP() async throws {
        try await context.http.restore()
        for id in await context.http.serviceIDs where reconcilers[id] == nil { try await context.http.remove(id) }
    }

    /// Hands requests that are held to the reconcilers of their services.
    func listenToHeldRequests() {
        guard holdListener == nil else { return }
        holdListener = Task { [weak self, holds = context.holds] in
            for await id in holds { await self?.reconcilers[id]?.requestWaits() }
        }
    }
}
