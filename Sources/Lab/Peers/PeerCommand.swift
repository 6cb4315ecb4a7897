import Base
import Glibc
import Kernel

/// A container of a peer that is a command, in the host's network: the image's files below an overlay of its own.
final class PeerCommand: Instance {
    let address = "127.0.0.1"
    private let tool: any ContainerTool
    private let name: String
    private let folder: String
    private var isRemoved = false

    /// Makes it and starts it.
    ///
    /// - Parameters:
    ///   - image: the image's files, and what it says of its program.
    ///   - place: the peer's folder, in which the container gets one of its name.
    init(
        _ tool: any ContainerTool, _ spec: InstanceSpec, of image: ImageFiles, name: String, place: String,
        until deadline: Deadline
    ) throws {
        self.tool = tool
        self.name = name
        folder = "\(place)/\(name)"
        do {
            try mount(image.root)
            let log = try OwnedDescriptor.open("\(folder)/log", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            let command = try tool.start(ToolContainer(spec, image, name: name, folder: folder))
            guard let status = try HostCommand.start(command, log: log.raw, until: deadline) else {
                throw SkalaError(.timedOut, "\(command[0]) did not start it in time: \(self.log())")
            }
            guard status == 0 else { throw SkalaError(.system, "\(command[0]) did not start it: \(self.log())") }
        } catch {
            remove()
            throw error
        }
    }

    /// The image's files, which are shared, with what this one writes above them.
    private func mount(_ lower: String) throws {
        for name in ["upper", "work", "root"] { try FileContents.makeDirectories("\(folder)/\(name)") }
        func escaped(_ path: String) -> String {
            path.reduce(into: "") { text, character in
                if ":,\\".contains(character) { text.append("\\") }
                text.append(character)
            }
        }
        let options =
            "lowerdir=\(escaped(lower)),upperdir=\(escaped(folder))/upper,workdir=\(escaped(folder))/work"
        try checkErrno(Glibc.mount("overlay", "\(folder)/root", "overlay", 0, options), "mount", "\(folder)/root")
    }

    func execute(_ script: String, environment: [String], until deadline: Deadline) throws -> Execution {
        try HostCommand.run(tool.execute(name, ["/bin/sh", "-c", script], environment: environment), until: deadline)
    }

    func isRunning() throws -> Bool {
        tool.isRunning(try HostCommand.run(tool.state(name), until: PeerCommand.soon).output)
    }

    func log() -> String {
        // It is for an error's text: without it the error is still told.
        ["log", "upper\(LXC.log)"].map { name in
            let bytes = (try? FileContents.read("\(folder)/\(name)")) ?? []
            return String(decoding: bytes.suffix(2000), as: UTF8.self)
        }.joined()
    }

    func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        PeerCommand.remove(name, tool, folder)
    }

    /// Takes away what an earlier run has left.
    static func removeLeftovers(_ tool: any ContainerTool, place: String) throws {
        for name in try FileContents.names(in: place) where "\(place)/\(name)" != tool.place {
            remove(name, tool, "\(place)/\(name)")
        }
    }

    /// Nobody who stops a run is kept longer.
    private static var soon: Deadline { Deadline(in: 30_000_000_000) { false } }

    private static func remove(_ name: String, _ tool: any ContainerTool, _ folder: String) {
        // One that ended by itself is not there any more.
        _ = try? HostCommand.run(tool.end(name), until: PeerCommand.soon)
        umount2("\(folder)/root", Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW))
        // What cannot be removed now is found in the peer's folder by the next run.
        try? FileContents.removeTree(folder)
    }
}

/// An image's files on this host, and what it says of its program.
struct ImageFiles {
    let root: String
    /// `Config` of the image.
    let configuration: JSON

    /// What a container of it runs.
    func command(_ spec: InstanceSpec) throws(SkalaError) -> [String] {
        guard spec.usesImageCommand else { return ["/bin/sh", "-c", spec.program ?? "exec sleep 1000000"] }
        let command = (configuration["Entrypoint"].strings ?? []) + (configuration["Cmd"].strings ?? [])
        let user = configuration["User"].string ?? ""
        guard !command.isEmpty, ["", "0", "root", "0:0", "root:root"].contains(user) else {
            throw SkalaError(.unsupported, "the image's own program needs an engine: give the experiment a 'program'")
        }
        return command
    }

    func environment(_ spec: InstanceSpec) -> [String] {
        let own = configuration["Env"].strings ?? []
        let path = own.contains { $0.hasPrefix("PATH=") } ? [] : [ImageFiles.path]
        return path + own + spec.environment
    }

    static let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
