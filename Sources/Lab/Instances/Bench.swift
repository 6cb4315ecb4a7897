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
    private var podCount = 0

    init(client: EngineClient, run: String, scratch: String, isStopped: @escaping () -> Bool) {
        self.client = client
        self.run = run
        self.scratch = scratch
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
        spec.image = image.reference
        if isolation == .pod, !spec.annotations.contains(where: { $0.name == "skala.pod" }) {
            spec.annotations.append(("skala.pod", podName()))
        }
        return try ContainerInstance(spec, isolation: isolation, run: run, client: client)
    }

    /// For a pod of which there is none yet.
    func podName() -> String {
        podCount += 1
        return "lab-\(run)-\(podCount)"
    }

    /// Takes away what trials could not.
    static func removeLeftovers(_ client: EngineClient) throws {
        try LabService.removeLeftovers(client)
        let filter = JSON.object(JSONObject([("label", JSON([ContainerInstance.label]))]))
        let list = try client.json(.get("/containers/json", query: [("all", "1"), ("filters", filter.text)]))
        for id in (list.array ?? []).compactMap({ $0["Id"].string }) {
            try client.json(.delete("/containers/\(id)", query: [("force", "1"), ("v", "1")]))
        }
    }
}
