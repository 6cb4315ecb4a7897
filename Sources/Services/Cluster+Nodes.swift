public import Base
import Engine
import Kernel
import Planning
import Store

extension Cluster {
    /// The API's `Info.Swarm`.
    public var info: JSON {
        guard let record, let node else {
            return ["NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": false, "RemoteManagers": .null]
        }
        var cluster = record.document
        cluster["JoinTokens"] = .null
        return [
            "NodeID": JSON(node.id), "NodeAddr": JSON(node.address), "LocalNodeState": "active",
            "ControlAvailable": true, "Error": "",
            "RemoteManagers": [["NodeID": JSON(node.id), "Addr": JSON(node.address + ":2377")]],
            "Nodes": 1, "Managers": 1, "Cluster": cluster,
        ]
    }

    /// Changes the swarm's own settings.
    ///
    /// - Throws: `.conflict` when they were changed since the client read them.
    public func update(swarm spec: JSON, index: Int64) async throws {
        guard var changed = record else { throw Cluster.notAManager }
        guard index == changed.version.index else { throw Cluster.outOfSequence }
        try changed.take(spec)
        changed.version.advance(context.counter)
        try await context.store.put("cluster", "cluster", changed.document)
        record = changed
        for reconciler in reconcilers.values { reconciler.ring() }
    }

    static let outOfSequence = SkalaError(.conflict, "rpc error: code = Unknown desc = update out of sequence")

    public func nodes() throws -> [NodeRecord] {
        try requireActive()
        return node.map { [$0] } ?? []
    }

    /// By id, its start, the host's name, or `self`.
    public func node(_ reference: String) throws -> NodeRecord {
        let found = try nodes().first {
            $0.id == reference || $0.hostname == reference || reference == "self"
                || !reference.isEmpty && $0.id.hasPrefix(reference)
        }
        guard let found else { throw SkalaError(.notFound, "node \(reference) not found") }
        return found
    }

    /// Changes labels and availability: a node that drains ends its tasks.
    public func update(node reference: String, index: Int64, to spec: JSON) async throws {
        var changed = try node(reference)
        guard index == changed.version.index else { throw Cluster.outOfSequence }
        if let role = spec["Role"].string, role != "manager" {
            throw SkalaError(.invalid, "the only manager of the swarm cannot become a \(role)")
        }
        let text = spec["Availability"].string ?? ""
        guard let availability = NodeRecord.Availability(rawValue: text) else {
            throw SkalaError(.invalid, "invalid Availability: \"\(text)\"")
        }
        guard let labels = spec["Labels"].isNull ? [:] : spec["Labels"].stringDictionary else {
            throw SkalaError(.invalid, "Labels is an object of strings")
        }
        changed.availability = availability
        changed.labels = labels
        changed.version.advance(context.counter)
        try await context.store.put("node", changed.id, changed.document)
        node = changed
        scheduler.set(description(of: changed))
        context.publish("node", "update", changed.id, ["name": changed.hostname])
        for reconciler in reconcilers.values { reconciler.ring() }
    }
}
