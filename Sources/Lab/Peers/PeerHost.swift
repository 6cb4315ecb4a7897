import Base
import Client
import Glibc
import Kernel

/// A peer that can be used on this host.
struct UsablePeer: Sendable, Hashable {
    let peer: Peer
    let version: String
    /// Where its engine answers; nil for a command, and for an engine that the lab starts for itself.
    let socket: EngineAddress?
}

/// Looks for peers before anything starts.
enum PeerHost {
    enum Finding {
        case usable(UsablePeer)
        /// Why it cannot be used, for people.
        case obstacle(String)
    }

    private static let usual: [Peer: String] = [
        .docker: "/var/run/docker.sock", .podman: "/run/podman/podman.sock",
    ]

    /// - Parameter socket: where its engine answers; the usual place without one.
    static func look(for peer: Peer, socket: EngineAddress?) -> Finding {
        guard peer.isEngine else { return command(peer) }
        let address = socket ?? EngineAddress(path: usual[peer] ?? "")
        let version: JSON
        do { version = try answer(of: address) } catch {
            // Podman has no daemon: what is usually started when its socket is used can be started as well.
            if peer == .podman, socket == nil { return podman() }
            let reason = (error.cause as? KernelError)?.reason ?? error.message
            return .obstacle(
                "\(peer): its daemon does not answer at \(address.path) (\(reason)); $\(peer.socketVariable ?? "") names another socket"
            )
        }
        let isPodman = (version["Components"].array ?? []).contains { $0["Name"] == "Podman Engine" }
        let other: String? =
            version["Platform"]["Name"] == "Skala"
            ? "Skala itself" : isPodman != (peer == .podman) ? "another engine" : nil
        if let other { return .obstacle("\(peer): \(other) answers at \(address.path)") }
        return .usable(UsablePeer(peer: peer, version: version["Version"].string ?? "unknown", socket: address))
    }

    /// What an engine says of itself, within five seconds: one that hangs must not keep the run from starting.
    private static func answer(of address: EngineAddress) throws(SkalaError) -> JSON {
        do {
            let client = EngineClient(address)
            let connection = try client.begin(.get("/version"))
            var limit = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(
                connection.descriptor.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            return try client.finish(connection).json()
        } catch let error as SkalaError { throw error } catch {
            throw SkalaError(.unavailable, "\(error)")
        }
    }

    private static func podman() -> Finding { installed(.podman, "podman", ["--version"]) }

    private static func command(_ peer: Peer) -> Finding {
        let finding = installed(peer, peer == .lxc ? "lxc-start" : peer.rawValue, ["--version"])
        // What cannot be read here fails when it starts.
        if peer == .crun, case .usable = finding, let layout = try? CgroupLayout.detect(), layout.limitsOnVersion1,
            layout.version2 != nil
        {
            return .obstacle("crun: it refuses a host with cgroup versions 1 and 2 at once")
        }
        return finding
    }

    private static func installed(_ peer: Peer, _ program: String, _ arguments: [String]) -> Finding {
        guard geteuid() == 0 else { return .obstacle("\(peer): the lab must be root to use it") }
        guard let path = HostProgram.find(program) else { return .obstacle("\(peer): \(program) is not installed") }
        do {
            let said = try Subprocess.output([path] + arguments, limit: 1 << 16)
            return .usable(UsablePeer(peer: peer, version: version(in: said), socket: nil))
        } catch { return .obstacle("\(peer): \(path) does not work: \(error.reason)") }
    }

    /// The first word of a program's answer that begins with a digit.
    static func version(in text: String) -> String {
        text.split(whereSeparator: { $0.isWhitespace || $0 == "," }).first { $0.first?.isNumber == true }
            .map(String.init) ?? "unknown"
    }
}
