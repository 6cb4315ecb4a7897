public import Base
import Kernel
public import Networks
import Store

extension Engine {
    /// Makes a network from the API's create request.
    ///
    /// - Throws: `.conflict` when the name is in use; `.invalid` for a driver or address plan that is not supported.
    public func createNetwork(_ body: JSON) async throws -> Network {
        let name = body["Name"].string ?? ""
        guard !name.isEmpty else { throw SkalaError(.invalid, "invalid network name: it is empty") }
        let driver = body["Driver"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "bridge"
        guard driver == "bridge" || driver == "overlay" else {
            throw SkalaError(.notFound, "could not find plugin \(driver) in v1 plugin registry: plugin not found")
        }
        try RefusedFields.check("NetworkCreate", body)
        let network = try await context.networks.create(NetworkRequest(json: body))
        try await context.store.put("network", network.id, network.json)
        context.events.publish("network", "create", network.id, ["name": name, "type": driver])
        return network
    }

    /// - Throws: `.conflict` while containers are connected; `.forbidden` for the built-in ones.
    public func removeNetwork(_ reference: String) async throws {
        let network = try await context.networks.find(reference)
        guard !["bridge", "host", "none"].contains(network.name) else {
            throw SkalaError(.forbidden, "\(network.name) is a pre-defined network and cannot be removed")
        }
        try await context.networks.remove(network.id)
        try await context.store.remove("network", network.id)
        context.events.publish("network", "destroy", network.id, ["name": network.name, "type": network.driver])
    }

    /// Whether any container or pod, running or not, refers to the network.
    public func networkIsUsed(_ network: Network) async -> Bool {
        for container in await containers.all() {
            let names = await container.snapshot.networks.keys
            if names.contains(network.name) || names.contains(network.id) { return true }
        }
        for pod in await containers.pods.all() {
            let name = await pod.snapshot.network
            if name == network.name || name == network.id { return true }
        }
        return false
    }
}

extension Container {
    /// Connects the container to a further network, at once when it runs.
    ///
    /// - Throws: `.forbidden` with the host's or another container's network; `.conflict` when it is connected already.
    public func connect(network reference: String, settings: JSON) async throws {
        try RefusedFields.check("EndpointSettings", settings)
        try await lifecycle.withLock {
            let network = try await engine.networks.find(reference)
            if record.isolation == .pod { throw Container.networkIsThePods }
            let mode = record.hostConfig["NetworkMode"].string ?? ""
            guard mode != "host", mode != "none", !mode.hasPrefix("container:") else {
                throw SkalaError(
                    .forbidden, "container with network mode \(mode) cannot be connected to other networks")
            }
            guard record.networks[network.name] == nil else {
                throw SkalaError(
                    .forbidden, "endpoint with name \(record.name) already exists in network \(network.name)")
            }
            let settings = settings.isNull ? [:] : settings
            if record.isolation == .machine, record.state.isAlive || !record.networks.keys.isEmpty {
                throw DiskMachineLimits.refused("a further network", "it has one network card")
            }
            try requireAwake()
            let resolver = await resolvConf()
            var endpoint: Endpoint?
            if record.state.isAlive {
                let made = try await connectEndpoint(network: network.name, settings: settings)
                if let machine { try await connectMachine(machine, to: made) }
                endpoint = made
            }
            record.networks[network.name] = settings
            if endpoint != nil { try await updateEtcFiles(removing: nil, adding: endpoint, resolver: resolver) }
            try await persist()
            engine.events.publish(
                "network", "connect", network.id, ["container": id, "name": network.name, "type": network.driver])
        }
    }

    private static let networkIsThePods = MachineLimits.refused(
        "connecting and disconnecting", "the network is the pod's, and was chosen when that was made", .pod)

    public func disconnect(network reference: String, force: Bool) async throws {
        try await lifecycle.withLock {
            let network = try await engine.networks.find(reference)
            if record.isolation == .pod { throw Container.networkIsThePods }
            guard record.networks[network.name] != nil else {
                throw SkalaError(.forbidden, "container \(id) is not connected to network \(network.name)")
            }
            try requireAwake()
            let resolver = await resolvConf()
            let (before, taps) = (await engine.networks.endpoints(of: id), await engine.networks.taps(of: id))
            let gone = before.first { $0.networkID == network.id }
            if record.state.isAlive {
                try await engine.networks.disconnect(containerID: id, networkID: network.id)
                if let machine, let gone { await disconnectMachine(machine, from: gone, before: before, taps: taps) }
            }
            record.networks[network.name] = nil
            if record.state.isAlive { try await updateEtcFiles(removing: gone, adding: nil, resolver: resolver) }
            try await persist()
            engine.events.publish(
                "network", "disconnect", network.id, ["container": id, "name": network.name, "type": network.driver])
        }
    }

    /// - Throws: `.conflict` for a paused VM, which cannot take part in what is done to it.
    func requireAwake() throws(SkalaError) {
        guard record.isolation != .container, record.state.status == .paused else { return }
        throw SkalaError(.conflict, "container \(id) is paused, and with it its VM: unpause the container first")
    }
}
