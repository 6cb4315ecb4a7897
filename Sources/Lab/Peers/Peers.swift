import Base
import Client
import Glibc
import Kernel

/// The peers of a run: put into use before it measures, and left as they were after it.
final class Peers {
    private let usable: [UsablePeer]
    private let folder: String
    private let home: String
    private let scratch: String
    private var engines: [Peer: PeerEngine] = [:]
    private var tools: [Peer: any ContainerTool] = [:]
    /// Why one that was there cannot be used after all.
    private(set) var failures: [Peer: String] = [:]

    /// - Parameters:
    ///   - home: the lab's folder. Below it, `peers`, is what is in use, so that the next run finds what one that was killed has left.
    ///   - scratch: a folder of the run.
    init(_ usable: [UsablePeer], home: String, scratch: String) {
        self.usable = usable
        self.home = home
        self.scratch = scratch
        folder = home + "/peers"
    }

    private func place(_ peer: Peer) -> String { "\(folder)/\(peer.rawValue)" }

    /// Makes ready for use, after taking away what earlier runs have left, also with other peers.
    func open(until deadline: Deadline) throws {
        try removeLeftovers(until: deadline)
        for found in usable {
            do {
                try FileContents.makeDirectories(place(found.peer), mode: 0o700)
                if found.peer.isEngine {
                    let socket = Array((found.socket?.path ?? "").utf8)
                    try FileContents.replace("\(place(found.peer))/socket", with: socket)
                    engines[found.peer] = try engine(found, until: deadline)
                } else {
                    tools[found.peer] = try tool(found.peer)
                }
            } catch { try fail(found.peer, error) }
        }
    }

    private func engine(_ found: UsablePeer, until deadline: Deadline) throws -> PeerEngine {
        try PeerEngine(found.peer, socket: found.socket, home: home, scratch: scratch, until: deadline)
    }

    private func tool(_ peer: Peer) throws -> any ContainerTool {
        let state = place(peer) + "/state"
        try FileContents.makeDirectories(state, mode: 0o700)
        guard peer == .lxc else {
            return OCIRuntime(program: HostProgram.find(peer.rawValue) ?? peer.rawValue, place: state)
        }
        return LXC(place: state, isVersion1: try CgroupLayout.detect().limitsOnVersion1)
    }

    /// Of runs that were killed.
    private func removeLeftovers(until deadline: Deadline) throws {
        for peer in Peer.allCases where access(place(peer), F_OK) == 0 {
            do {
                if peer.isEngine {
                    let path = HostRecord.text(place(peer) + "/socket").trimmed
                    let socket = path.isEmpty ? nil : EngineAddress(path: path)
                    let engine = try engine(UsablePeer(peer: peer, version: "", socket: socket), until: deadline)
                    defer { engine.close() }
                    try engine.removeLeftovers()
                } else {
                    try PeerCommand.removeLeftovers(try tool(peer), place: place(peer))
                }
                try FileContents.removeTree(place(peer))
            } catch let error as SkalaError where error.code == .cancelled { throw error } catch {
                // One that is not there today is asked again by the next run, which finds the same folder.
            }
        }
    }

    private func fail(_ peer: Peer, _ error: any Error) throws {
        if let error = error as? SkalaError, error.code == .cancelled { throw error }
        failures[peer] = (error as? KernelError)?.asSkalaError.message ?? "\(error)"
    }

    /// Gives these peers an image; a peer that does not take it is out.
    func prepare(_ image: PreparedImage, for peers: [Peer], from client: EngineClient, until deadline: Deadline) throws
    {
        for peer in peers where failures[peer] == nil {
            do {
                if let engine = engines[peer] {
                    try engine.load(image, from: client, until: deadline)
                } else {
                    _ = try image.root(client)
                }
            } catch { try fail(peer, error) }
        }
    }

    func instance(
        _ spec: InstanceSpec, by peer: Peer, of image: PreparedImage, in bench: Bench
    ) throws -> any Instance {
        if let failure = failures[peer] { throw SkalaError(.unavailable, "\(peer): \(failure)") }
        if let engine = engines[peer] { return try engine.instance(spec, of: image, run: bench.run) }
        guard let tool = tools[peer] else { throw SkalaError(.notFound, "\(peer) is not in use") }
        let files = ImageFiles(root: try image.root(bench.client), configuration: image.configuration)
        return try PeerCommand(
            tool, spec, of: files, name: bench.newName(), place: place(peer), until: bench.deadline(60_000_000_000))
    }

    /// Where a peer keeps what its containers write.
    func dataRoot(_ peer: Peer) throws -> String {
        try engines[peer]?.client.json(.get("/info"))["DockerRootDir"].string ?? folder
    }

    /// Takes away what the run has put into them.
    func close() {
        for (peer, engine) in engines {
            // What is left then is found by the next run.
            if (try? engine.removeLeftovers()) != nil { try? FileContents.removeTree(place(peer)) }
            engine.close()
        }
        for (peer, tool) in tools {
            if (try? PeerCommand.removeLeftovers(tool, place: place(peer))) != nil {
                // The same.
                try? FileContents.removeTree(place(peer))
            }
        }
        engines = [:]
        tools = [:]
        // It stays where something is left in it.
        rmdir(folder)
    }
}
