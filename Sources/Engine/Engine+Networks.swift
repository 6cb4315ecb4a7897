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
        guard driver == "bridge" else {
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

    /// Whether any container, running or not, refers to the network.
    public func networkIsUsed(_ network: Network) async -> Bool {
        for container in await containers.all() {
            let names = await container.snapshot.networks.keys
            if names.contains(network.name) || names.contains(network.id) { return true }
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
            if record.isolation.isVirtual, record.state.isAlive || !record.networks.keys.isEmpty {
                throw MachineLimits.refused("a further network", "its VM has one network card")
            }
            if record.state.isAlive { try await connectEndpoint(network: network.name, settings: settings) }
            record.networks[network.name] = settings
            try await persist()
            engine.events.publish(
                "network", "connect", network.id, ["container": id, "name": network.name, "type": network.driver])
        }
    }

    public func disconnect(network reference: String, force: Bool) async throws {
        try await lifecycle.withLock {
            let network = try await engine.networks.find(reference)
            guard record.networks[network.name] != nil else {
                throw SkalaError(.forbidden, "container \(id) is not connected to network \(network.name)")
            }
            if record.state.isAlive { try await engine.networks.disconnect(containerID: id, networkID: network.id) }
            record.networks[network.name] = nil
            try await persist()
            engine.events.publish(
                "network", "disconnect", network.id, ["container": id, "name": network.name, "type": network.driver])
        }
    }
}
