public import Base
import Glibc
import Kernel

/// Finds experiments: those that come with Skala, and the user's own.
public struct ExperimentFolders: Sendable {
    /// In the order in which they are looked through.
    public let folders: [String]

    /// - Parameters:
    ///   - own: folders the user names; looked through first.
    ///   - program: the path of the program that runs; beside it (`../share/skala/experiments`) are those that come with it.
    public init(own: [String], program: String) {
        let installed = program.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/share/skala/experiments"
        folders = own + [installed]
    }

    /// The folders of all experiments, by name; of two with one name the first counts.
    public func all() -> [(name: String, folder: String)] {
        var known: [String: String] = [:]
        for folder in folders {
            // A folder that is not there has none.
            for name in (try? FileContents.names(in: folder)) ?? [] where known[name] == nil {
                let path = "\(folder)/\(name)"
                if access("\(path)/\(Experiment.fileName)", R_OK) == 0 { known[name] = path }
            }
        }
        return known.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The same; no experiments are an error.
    public func required() throws(SkalaError) -> [(name: String, folder: String)] {
        let known = all()
        guard known.isEmpty else { return known }
        throw SkalaError(
            .notFound,
            "no experiments in \(folders.joined(separator: ", ")); name a folder of them with --experiments")
    }

    /// The folder of an experiment, by its name or its path.
    public func find(_ name: String) throws(SkalaError) -> String {
        if name.contains("/") {
            guard access("\(name)/\(Experiment.fileName)", R_OK) == 0 else {
                throw SkalaError(.notFound, "no \(Experiment.fileName) in \(name)")
            }
            var path = name
            while path.count > 1, path.hasSuffix("/") { path.removeLast() }
            return path
        }
        let known = try required()
        if let found = known.first(where: { $0.name == name }) { return found.folder }
        throw SkalaError(
            .notFound, "unknown experiment '\(name)': there are \(known.map(\.name).joined(separator: ", "))")
    }
}
