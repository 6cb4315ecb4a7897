import Base
import Client
import Glibc
import Kernel

/// Docker or podman, in use by a run: another end for the same API.
///
/// What the lab puts into it bears the lab's label or name, and goes again.
final class PeerEngine {
    /// The lab's folder, by which several labs on a host tell what is theirs.
    static let homeLabel = "skala.lab.home"

    let peer: Peer
    let client: EngineClient
    private let home: String
    /// Podman's service where the lab has started it.
    private var service: pid_t = 0
    /// Our engine's id of an image, and what it is called there.
    private var images: [String: String] = [:]

    /// - Parameters:
    ///   - socket: where it answers; nil for podman's service, which is started then.
    ///   - scratch: a folder for that service's socket and log.
    init(_ peer: Peer, socket: EngineAddress?, home: String, scratch: String, until deadline: Deadline) throws {
        self.peer = peer
        self.home = home
        client = EngineClient(socket ?? EngineAddress(path: scratch + "/podman.sock"))
        if socket == nil { try start(log: scratch + "/podman.log", until: deadline) }
    }

    /// Podman as a service, which ends with the lab whatever becomes of it.
    private func start(log: String, until deadline: Deadline) throws {
        let program = HostProgram.find("podman") ?? "podman"
        let output = try OwnedDescriptor.open(log, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        let command = ["/usr/bin/setpriv", "--pdeathsig", "TERM", program, "system", "service", "--time", "0"]
        service = try Subprocess.spawn(
            command + [client.address.text], output: output.raw, errors: output.raw, newSession: true)
        let answers = try deadline.wait(every: 20_000_000) {
            if HostCommand.hasEnded(service) { return true }
            // Until it listens, nobody answers.
            return (try? client.send(.get("/_ping")).all()) != nil
        }
        guard answers, !HostCommand.hasEnded(service) else {
            let said = ((try? FileContents.read(log)) ?? []).suffix(500)
            close()
            throw SkalaError(.system, "its service does not start: \(String(decoding: said, as: UTF8.self))")
        }
    }

    /// Takes away what an earlier run of this lab has left in it.
    func removeLeftovers() throws {
        let filter: JSON = ["label": [JSON("\(PeerEngine.homeLabel)=\(home)")]]
        let list = try client.json(.get("/containers/json", query: [("all", "1"), ("filters", filter.text)]))
        for id in (list.array ?? []).compactMap({ $0["Id"].string }) {
            try finish(.delete("/containers/\(id)", query: [("force", "1"), ("v", "1")]))
        }
        for image in try client.json(.get("/images/json")).array ?? [] {
            // Podman puts a registry before it.
            for name in image["RepoTags"].strings ?? []
            where name.hasPrefix(repository + ":") || name.contains("/" + repository + ":") {
                try finish(.delete("/images/\(PercentEncoding.encode(name, keeping: "/:"))"))
            }
        }
        images = [:]
    }

    /// A request whose answer says nothing, which engines do in several ways.
    private func finish(_ request: HTTPRequest) throws { _ = try client.send(request).all() }

    /// Under which images are there: this lab's own, so that nothing of the user's is ever replaced or removed.
    private var repository: String {
        // FNV-1a.
        var hash: UInt32 = 0x811C_9DC5
        for byte in home.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return "skala-lab/peer-" + String(hash, radix: 16)
    }

    /// Gives it an image of our engine, where it does not have it.
    func load(_ image: PreparedImage, from engine: EngineClient, until deadline: Deadline) throws {
        guard images[image.id] == nil else { return }
        guard try !isThere(image.id) else {
            images[image.id] = image.id
            return
        }
        // Without its name, which may mean something else there.
        let archive = try engine.send(.get("/images/\(PercentEncoding.encode(image.id, keeping: ":"))/get"))
        var said = ""
        let load = HTTPRequest(
            "POST", "/images/load", query: [("quiet", "1")],
            body: .stream(contentType: "application/x-tar") {
                try deadline.check()
                return try archive.next()
            })
        try client.send(load).messages { said += $0["stream"].string ?? "" }
        let id = PeerEngine.identifier(in: said) ?? image.id
        let tag = String((id.split(separator: ":").last ?? "").prefix(16))
        let query = [("repo", repository), ("tag", tag)]
        try finish(.post("/images/\(PercentEncoding.encode(id, keeping: ":"))/tag", query: query))
        images[image.id] = "\(repository):\(tag)"
    }

    private func isThere(_ id: String) throws -> Bool {
        do {
            try client.json(.get("/images/\(PercentEncoding.encode(id, keeping: ":"))/json"))
            return true
        } catch let error as SkalaError where error.code == .notFound { return false }
    }

    /// The id in `Loaded image ID: sha256:…`: an engine may count another one than ours.
    static func identifier(in text: String) -> String? {
        guard let start = text.firstRange(of: "sha256:") else { return nil }
        let digits = text[start.upperBound...].prefix { $0.isHexDigit }
        return digits.count == 64 ? "sha256:" + digits : nil
    }

    func instance(_ spec: InstanceSpec, of image: PreparedImage, run: String) throws -> any Instance {
        guard let name = images[image.id] else { throw SkalaError(.notFound, "\(peer) has no image \(spec.image)") }
        var spec = spec
        spec.image = name
        do {
            return try ContainerInstance(peer: spec, run: run, home: home, client: client)
        } catch let error as SkalaError where error.code == .unavailable {
            // What the client says is how to start ours.
            throw SkalaError(.unavailable, "\(peer) does not answer any more at \(client.address.path)", cause: error)
        }
    }

    /// Ends the service that the lab has started.
    func close() {
        guard service != 0 else { return }
        kill(service, SIGTERM)
        let deadline = Deadline(in: 10_000_000_000) { false }
        let pid = service
        // A deadline that nobody stops does not throw.
        if (try? deadline.wait(every: 10_000_000) { HostCommand.hasEnded(pid) }) != true { kill(pid, SIGKILL) }
        // It can only fail when it has been waited for.
        _ = try? Subprocess.wait(service)
        service = 0
    }
}
