import Base
import Client
import Glibc
import Kernel

/// An instance in the engine, at any of its isolations.
final class ContainerInstance: Movable {
    /// On every container, pod and network of the lab; its value is the run's id.
    static let label = "skala.lab"

    let id: String
    private let client: EngineClient
    private(set) var address = ""
    private var isRemoved = false

    /// Makes it and starts it.
    convenience init(_ spec: InstanceSpec, isolation: LabIsolation, run: String, client: EngineClient) throws {
        try self.init(ContainerInstance.body(spec, isolation: isolation, run: run), client)
    }

    /// The same in a peer's engine.
    ///
    /// - Parameter home: the lab's folder, by which the next run knows it.
    convenience init(peer spec: InstanceSpec, run: String, home: String, client: EngineClient) throws {
        try self.init(ContainerInstance.body(peer: spec, run: run, home: home), client)
    }

    private init(_ body: JSON, _ client: EngineClient) throws {
        self.client = client
        let created = try client.json(.post("/containers/create", body))
        guard let id = created["Id"].string else { throw SkalaError(.invalid, "the engine named no container") }
        self.id = id
        do {
            try start()
        } catch {
            remove()
            throw error
        }
    }

    private init(running id: String, client: EngineClient) throws {
        self.id = id
        self.client = client
        do { try findAddress() } catch {
            remove()
            throw error
        }
    }

    func start() throws {
        try client.json(.post("/containers/\(id)/start"))
        try findAddress()
    }

    private func findAddress() throws {
        let networks = try client.json(.get("/containers/\(id)/json"))["NetworkSettings"]["Networks"]
        address = networks.object?.members.lazy.compactMap { $0.value["IPAddress"].string }.first { !$0.isEmpty } ?? ""
    }

    private static func body(_ spec: InstanceSpec, isolation: LabIsolation, run: String) -> JSON {
        var host = resources(spec)
        if let processors = spec.processorSet { host["CpusetCpus"] = JSON(processors) }
        if isolation != .container { host["Runtime"] = JSON(isolation.rawValue) }
        if let parent = spec.cgroupParent { host["CgroupParent"] = JSON(parent) }
        var annotations: JSON = host["Annotations"].isNull ? [:] : host["Annotations"]
        for annotation in spec.annotations { annotations[annotation.name] = JSON(annotation.value) }
        if annotations.object?.isEmpty == false { host["Annotations"] = annotations }
        // What a machine runs stands in its user data.
        return isolation == .machine ? outside(spec, host, run: run) : body(spec, host, run: run)
    }

    /// In words that other engines know.
    private static func body(peer spec: InstanceSpec, run: String, home: String) -> JSON {
        var host: JSON = ["PidsLimit": JSON(Peer.processLimit)]
        for (name, value) in resources(spec).object?.members ?? [] where name != "Annotations" { host[name] = value }
        if let processors = spec.peerProcessors { host["CpusetCpus"] = JSON(processors) }
        // A set of processors is enough; a quota would be a further limit.
        if spec.allocation == .dedicated { host["NanoCpus"] = 0 }
        var body = body(spec, host, run: run)
        body["Labels"][PeerEngine.homeLabel] = JSON(home)
        // Podman waits so long before it kills, also when it is told to remove one at once.
        body["StopTimeout"] = 0
        return body
    }

    private static func body(_ spec: InstanceSpec, _ host: JSON, run: String) -> JSON {
        var body = outside(spec, host, run: run)
        body["Env"] = JSON(spec.environment)
        if !spec.usesImageCommand {
            body["Entrypoint"] = ["/bin/sh", "-c"]
            body["Cmd"] = [JSON(spec.program ?? "exec sleep 1000000")]
            // What is to be measured should not wait for ten seconds when it is stopped.
            body["StopTimeout"] = 1
        }
        return body
    }

    /// Without what runs in it.
    private static func outside(_ spec: InstanceSpec, _ host: JSON, run: String) -> JSON {
        [
            "Image": JSON(spec.image), "HostConfig": host,
            "Labels": [label: JSON(run), "skala.lab.role": JSON(spec.role)],
        ]
    }

    /// What an allocation is in the API's words.
    private static func resources(_ spec: InstanceSpec) -> JSON {
        let processors = JSON(Int64(spec.processors * 1e9))
        let memory = JSON(spec.memory)
        return switch spec.allocation {
        case .dedicated:
            ["NanoCpus": processors, "Memory": memory, "Annotations": ["skala.allocation": "dedicated"]]
        case .shared: ["CpuShares": 1024, "Memory": memory]
        case .hard: ["NanoCpus": processors, "Memory": memory]
        case .soft: ["CpuShares": 1024, "MemoryReservation": memory]
        }
    }

    func execute(_ script: String, environment: [String], until deadline: Deadline) throws -> Execution {
        let started = SystemClock.monotonicNanoseconds()
        let created = try client.json(
            .post(
                "/containers/\(id)/exec",
                [
                    "AttachStdout": true, "AttachStderr": true, "Cmd": ["/bin/sh", "-c", JSON(script)],
                    "Env": JSON(environment),
                ]))
        guard let exec = created["Id"].string else { throw SkalaError(.invalid, "the engine named no exec") }
        let connection = try client.begin(
            .post("/exec/\(exec)/start", ["Detach": false, "Tty": false]), upgrades: true)
        let stream = try client.finishUpgrade(connection)
        var frames = StreamDemultiplexer()
        var output = BoundedText()
        for piece in frames.take(stream.earlyBytes) { output.append(piece.bytes) }
        let ended = try deadline.read(stream.descriptor.raw) { bytes in
            for piece in frames.take(bytes) { output.append(piece.bytes) }
        }
        let elapsed = SystemClock.monotonicNanoseconds() - started
        guard ended else { return Execution(status: nil, output: output.text, elapsed: elapsed) }
        let status = try client.json(.get("/exec/\(exec)/json"))["ExitCode"].int ?? 0
        return Execution(status: Int32(truncatingIfNeeded: status), output: output.text, elapsed: elapsed)
    }

    /// Makes it smaller while it runs: in a VM the guest gives back to the host what is beyond.
    func shrink(to bytes: Int64) throws {
        try client.json(.post("/containers/\(id)/update", ["Memory": JSON(bytes), "MemorySwap": JSON(bytes)]))
    }

    /// A further instance like it: a copy of its memory as well, where it has one of its own.
    func clone() throws -> ContainerInstance {
        let result = try work(.post("/skala/v1/containers/\(id)/clone", [:]))
        guard let clone = result["Clones"][0]["Id"].string else {
            throw SkalaError(.invalid, "the engine named no clone")
        }
        return try ContainerInstance(running: clone, client: client)
    }

    func restart() throws { try client.json(.post("/containers/\(id)/restart")) }

    func snapshotAndRestore() throws {
        _ = try work(.post("/skala/v1/containers/\(id)/snapshots", ["Name": "lab"]))
        _ = try work(.post("/skala/v1/containers/\(id)/snapshots/lab/restore", [:]))
    }

    /// Does what the engine reports on while it is under way, and answers its result.
    private func work(_ request: HTTPRequest) throws -> JSON {
        var result: JSON = .null
        try client.send(request).messages { if !$0["aux"].isNull { result = $0["aux"] } }
        return result
    }

    func isRunning() throws -> Bool { try client.json(.get("/containers/\(id)/json"))["State"]["Running"] == true }

    func log() -> String {
        // It is for an error's text: without it the error is still told.
        guard
            let bytes = try? client.send(
                .get("/containers/\(id)/logs", query: [("stdout", "1"), ("stderr", "1"), ("tail", "5")])
            ).all()
        else { return "" }
        var frames = StreamDemultiplexer()
        return frames.take(bytes).map { String(decoding: $0.bytes, as: UTF8.self) }.joined()
    }

    func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        // What cannot be removed now is found by its label, at the end of the run.
        _ = try? client.json(.delete("/containers/\(id)", query: [("force", "1"), ("v", "1")]))
    }
}

/// The end of a long text.
struct BoundedText {
    private static let limit = 1 << 20
    private var bytes: [UInt8] = []

    mutating func append(_ more: some Sequence<UInt8>) {
        bytes.append(contentsOf: more)
        if bytes.count > 2 * BoundedText.limit { bytes.removeFirst(bytes.count - BoundedText.limit) }
    }

    var text: String { String(decoding: bytes.suffix(BoundedText.limit), as: UTF8.self) }
}
