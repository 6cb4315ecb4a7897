import Base
import Client
import Glibc
import Kernel

/// A service of the engine, reached at a published port of this host.
final class LabService {
    /// What it is made of.
    struct Spec: Sendable {
        var image: String
        var program: String
        /// In the task.
        var port: Int
        var environment: [String]
        var processors: Double
        var memory: Int64
        /// Labels `skala.autoscale.*`, without that prefix.
        var autoscale: [(key: String, value: String)]
    }

    let id: String
    /// Published on this host.
    let port: Int
    private let client: EngineClient
    private var isRemoved = false

    /// Makes it. An engine that runs no services yet begins with it, until the run's end.
    init(_ spec: Spec, isolation: LabIsolation, run: String, client: EngineClient) throws {
        self.client = client
        try LabService.makeSwarm(run, client)
        port = try LabService.freePort()
        let body = LabService.body(spec, isolation: isolation, run: run, port: port)
        let created = try client.json(.post("/services/create", body))
        guard let id = created["ID"].string else { throw SkalaError(.invalid, "the engine named no service") }
        self.id = id
    }

    private static func body(_ spec: Spec, isolation: LabIsolation, run: String, port: Int) -> JSON {
        var container: JSON = [
            "Image": JSON(spec.image), "Command": ["/bin/sh", "-c"], "Args": [JSON(spec.program)],
            "Env": JSON(spec.environment), "StopGracePeriod": 1_000_000_000,
        ]
        if isolation != .container { container["Isolation"] = JSON(isolation.rawValue) }
        var labels: JSON = [ContainerInstance.label: JSON(run), "skala.http.port": JSON("\(spec.port)")]
        for (key, value) in spec.autoscale { labels["skala.autoscale.\(key)"] = JSON(value) }
        return [
            "Name": JSON("lab-\(run)"), "Labels": labels,
            "TaskTemplate": [
                "ContainerSpec": container,
                "Resources": [
                    "Limits": ["NanoCPUs": JSON(Int64(spec.processors * 1e9)), "MemoryBytes": JSON(spec.memory)]
                ],
            ],
            "Mode": [
                "Replicated": [
                    "Replicas": JSON(spec.autoscale.first { $0.key == "min" }.flatMap { Int64($0.value) } ?? 1)
                ]
            ],
            "EndpointSpec": [
                "Ports": [
                    [
                        "Protocol": "tcp", "TargetPort": JSON(spec.port), "PublishedPort": JSON(port),
                        "PublishMode": "ingress",
                    ]
                ]
            ],
        ]
    }

    /// One that nobody listens on now.
    private static func freePort() throws(KernelError) -> Int {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = OwnedDescriptor(try checkErrno(socket(AF_INET, kind, 0), "socket"))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer throws(KernelError) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(KernelError) in
                try checkErrno(bind(socket.raw, pointer, size), "bind")
                try checkErrno(getsockname(socket.raw, pointer, &size), "getsockname")
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// Why its tasks are as they are, and what was decided: docs/services.md.
    func explanation() throws -> JSON { try client.json(.get("/skala/v1/services/\(id)/explain")) }

    /// What was decided of it, with the moments.
    func decisions() throws -> [(time: Timestamp, text: String)] {
        (try explanation()["Decisions"].array ?? []).compactMap { decision in
            guard let time = decision["Time"].string.flatMap({ try? Timestamp(parsing: $0) }),
                let text = decision["Text"].string
            else { return nil }
            return (time, text)
        }
    }

    /// Ends it, and waits until its tasks have gone. Safe to call again.
    func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        // What cannot be removed now is found by its label, at the end of the run.
        try? LabService.remove(id, client)
    }

    private static func remove(_ id: String, _ client: EngineClient) throws {
        do { try client.json(.delete("/services/\(id)")) } catch let error as SkalaError where error.code == .notFound {
        }
        // A stop by the user is for the measuring, not for what comes after it.
        let deadline = Deadline(in: 60_000_000_000) { false }
        let filter = JSON.object(JSONObject([("label", JSON(["com.docker.swarm.service.id=\(id)"]))]))
        _ = try deadline.wait(every: 50_000_000) {
            let query = [("all", "1"), ("filters", filter.text)]
            return try client.json(.get("/containers/json", query: query)).array?.isEmpty ?? true
        }
    }

    // MARK: swarm mode

    private static func isActive(_ client: EngineClient) throws -> Bool {
        try client.json(.get("/info"))["Swarm"]["LocalNodeState"] == "active"
    }

    /// The label says whose it is, so that it can be ended again, if need be by another run.
    private static func makeSwarm(_ run: String, _ client: EngineClient) throws {
        guard try !isActive(client) else { return }
        let labels: JSON = [ContainerInstance.label: JSON(run)]
        try client.json(.post("/swarm/init", ["ListenAddr": "127.0.0.1:2377", "Spec": ["Labels": labels]]))
    }

    /// Takes away the services of the lab, and the swarm mode that it began.
    static func removeLeftovers(_ client: EngineClient) throws {
        guard try isActive(client) else { return }
        let filter = JSON.object(JSONObject([("label", JSON([ContainerInstance.label]))]))
        let list = try client.json(.get("/services", query: [("filters", filter.text)]))
        for id in (list.array ?? []).compactMap({ $0["ID"].string }) { try remove(id, client) }
        guard try !client.json(.get("/swarm"))["Spec"]["Labels"][ContainerInstance.label].isNull,
            // Somebody has put services of his own into it meanwhile: it is his now.
            try client.json(.get("/services")).array?.isEmpty ?? true
        else { return }
        try client.json(.post("/swarm/leave", query: [("force", "1")]))
    }
}
