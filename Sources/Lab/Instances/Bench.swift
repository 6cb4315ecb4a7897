import Base
import Client
import Kernel

/// What a trial works with: the engine, the images, and the means to make instances of them.
final class Bench {
    let client: EngineClient
    /// The run's id, on everything it makes.
    let run: String
    /// Of what is made for a time: the run's own.
    let scratch: String
    private let isStopped: () -> Bool
    /// Of the experiment under way, by the name it calls them by.
    var images: [String: PreparedImage] = [:]
    /// Of the trial under way.
    var round = 1
    /// Of the run: for what a procedure leaves to chance.
    var seed: UInt64 = 1
    let peers: Peers
    private var nameCount = 0
    private var pods: [String] = []
    /// Made for the first machine.
    private var keys: MachineKeys?

    init(client: EngineClient, run: String, scratch: String, peers: Peers, isStopped: @escaping () -> Bool) {
        self.client = client
        self.run = run
        self.scratch = scratch
        self.peers = peers
        self.isStopped = isStopped
    }

    func deadline(_ nanoseconds: Int64) -> Deadline { Deadline(in: nanoseconds, isStopped: isStopped) }

    /// An instance of one of the experiment's images, started.
    func instance(_ spec: InstanceSpec, isolation: LabIsolation) throws -> any Instance {
        guard let image = images[spec.image] else { throw SkalaError(.notFound, "no image '\(spec.image)'") }
        guard isolation != .process else {
            return try ProcessInstance(spec, root: try image.root(client), scratch: scratch)
        }
        var spec = spec
        if isolation == .machine {
            guard let disk = image.disk else { throw SkalaError(.notFound, "no disk of the image '\(spec.image)'") }
            spec.image = disk.reference
            return try MachineInstance(spec, name: newName(), keys: machineKeys(), run: run, client: client)
        }
        spec.image = image.reference
        if isolation == .pod, !spec.annotations.contains(where: { $0.name == "skala.pod" }) {
            spec.annotations.append(("skala.pod", newName()))
        }
        return try ContainerInstance(spec, isolation: isolation, run: run, client: client)
    }

    /// The same, by Skala or a peer.
    func instance(_ spec: InstanceSpec, by runner: Runner) throws -> any Instance {
        switch runner {
        case .skala(let isolation): return try instance(spec, isolation: isolation)
        case .peer(let peer):
            guard let image = images[spec.image] else { throw SkalaError(.notFound, "no image '\(spec.image)'") }
            return try peers.instance(spec, by: peer, of: image, in: self)
        }
    }

    /// Where what its instances write is kept.
    func dataRoot(_ runner: Runner) throws -> String {
        if case .peer(let peer) = runner { return try peers.dataRoot(peer) }
        return try client.json(.get("/info"))["DockerRootDir"].string ?? "/"
    }

    /// A name that nothing has yet.
    func newName() -> String {
        nameCount += 1
        return "lab-\(run)-\(nameCount)"
    }

    private func machineKeys() throws -> MachineKeys {
        if let keys { return keys }
        let made = try MachineKeys(in: scratch)
        keys = made
        return made
    }

    /// A pod with room for so many containers of one kind.
    func pod(for spec: InstanceSpec, members: Int) throws -> String {
        let name = newName()
        let memory = spec.memory * Int64(members) + 128 << 20
        let processors = min(Double(HostFacts.onlineCPUs), spec.processors * Double(members))
        try client.json(
            .post(
                "/skala/v1/pods/create",
                [
                    "Name": JSON(name), "Memory": JSON(memory), "NanoCpus": JSON(Int64(processors * 1e9)),
                    "Labels": [ContainerInstance.label: JSON(run)],
                ]))
        pods.append(name)
        return name
    }

    /// Takes away the pods made so far, which outlive their containers.
    func removePods() {
        // What cannot be removed now is found by its label, at the end of the run.
        for name in pods { _ = try? client.json(.delete("/skala/v1/pods/\(name)", query: [("force", "1")])) }
        pods = []
    }

    /// Takes away what trials could not.
    static func removeLeftovers(_ client: EngineClient) throws {
        try LabService.removeLeftovers(client)
        let filter = JSON.object(JSONObject([("label", JSON([ContainerInstance.label]))]))
        let list = try client.json(.get("/containers/json", query: [("all", "1"), ("filters", filter.text)]))
        for id in (list.array ?? []).compactMap({ $0["Id"].string }) {
            try client.json(.delete("/containers/\(id)", query: [("force", "1"), ("v", "1")]))
        }
        for pod in try client.json(.get("/skala/v1/pods"))["Pods"].array ?? []
        where !pod["Labels"][ContainerInstance.label].isNull {
            try client.json(.delete("/skala/v1/pods/\(pod["Name"].string ?? "")", query: [("force", "1")]))
        }
        Fence.removeLeftover(client.address)
    }
}
