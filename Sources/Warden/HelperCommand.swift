import Archives
import Base
import CLinux
import Glibc
import Kernel

/// `skala-warden helper VERB …`: work on a container's files and processes that takes time, in a process of its own so that
/// the warden goes on.
///
/// Descriptor 3 is the container's root folder. Archives and documents come and go over standard input and output; standard
/// error gets one JSON document at the end: `{}`, or the failure. Where that is missing the helper was killed.
public enum HelperCommand {
    /// The first argument that asks for it.
    public static let name = "helper"
    private static let root: Int32 = 3

    /// Runs the command; returns the exit code.
    public static func run(_ arguments: [String]) -> Int32 {
        do {
            try perform(arguments.dropFirst(2))
            StandardStreams.write(2, JSON([:] as [String: String]).bytes)
            return 0
        } catch {
            let failure =
                (error as? SkalaError) ?? (error as? KernelError)?.asSkalaError ?? SkalaError(.system, "\(error)")
            // What the client sent may be in it.
            let message = String(failure.message.prefix(2000))
            StandardStreams.write(
                2, (["code": JSON(failure.code.rawValue), "message": JSON(message)] as JSON).bytes)
            return 1
        }
    }

    private static func perform(_ arguments: ArraySlice<String>) throws {
        var rest = arguments
        func next() throws(SkalaError) -> String {
            guard let argument = rest.popFirst() else { throw SkalaError(.invalid, "a helper's argument is missing") }
            return argument
        }
        switch try next() {
        case "stat": answer(try ContainerFiles.stat(next(), in: root))
        case "pack": try ContainerFiles.pack(next(), in: root, to: 1)
        case "unpack":
            let (path, replaces, mustLast) = (try next(), try next() == "replace", try next() == "sync")
            try ContainerFiles.unpack(
                TarReader(descriptor: 0), into: root, path: path, replacesDirectories: replaces)
            if mustLast { sync() }
        case "export": try ContainerFiles.exportTree(root, to: 1)
        case "changes":
            let changes = try LayerChanges.changes(upper: next(), lower: Array(rest))
            answer(JSON(changes.map { [JSON($0.path), JSON($0.kind)] }))
        case "layer": try ContainerFiles.writeLayer(next(), to: 1)
        case "apply":
            let folder = try OwnedDescriptor.open(next(), O_RDONLY | CL_O_DIRECTORY)
            var unpacker = LayerUnpacker(folder: folder)
            try unpacker.unpack(TarReader(descriptor: 0))
            sync()
        case "sync":
            sync()
            answer([:] as JSON)
        case "processes": answer(JSON(rest.compactMap { Int32($0) }.compactMap(ProcessDescription.json)))
        case let verb: throw SkalaError(.unsupported, "unknown helper '\(verb)'")
        }
    }

    private static func answer(_ json: JSON) { StandardStreams.write(1, json.bytes) }
}
