import Base
import Glibc
import Kernel
import YAML

/// Finds and reads the Compose files of a project.
struct ComposeFile {
    /// The names that are looked for, here and in the folders above; the second of a pair is put over the first.
    private static let names = [
        ("compose.yaml", "compose.override.yaml"), ("compose.yml", "compose.override.yml"),
        ("docker-compose.yaml", "docker-compose.override.yaml"), ("docker-compose.yml", "docker-compose.override.yml"),
    ]
    static let limit = 4 << 20

    /// The merged document, with its variables filled in, and what it extends and includes.
    let document: YAMLValue
    /// What relative paths are relative to.
    let directory: String
    let variables: ComposeVariables

    /// - Parameters:
    ///   - files: as the user named them; empty looks for the usual names.
    ///   - directory: the working directory.
    ///   - environment: of this program; it goes before the project's `.env`.
    init(files given: [String], directory: String, environment: @escaping (String) -> String?) throws {
        let files =
            given.isEmpty ? try ComposeFile.find(in: directory) : given.map { ComposeFile.absolute($0, directory) }
        let folder = ComposeFile.folder(of: files[0])
        self.directory = folder
        let dotEnv = folder + "/.env"
        let own =
            ComposeFile.exists(dotEnv)
            ? try EnvironmentFile.parse(ComposeFile.text(dotEnv), name: dotEnv, outer: environment) : []
        variables = ComposeVariables { name in environment(name) ?? own.last { $0.name == name }?.value }
        var loader = ComposeLoader(shownFrom: directory)
        document = YAMLValue(try loader.load(files, folder: folder, variables))
    }

    private static func find(in directory: String) throws -> [String] {
        var folder = directory
        while true {
            for (name, over) in names where access(folder + "/" + name, F_OK) == 0 {
                return [name, over].map { folder + "/" + $0 }.filter { access($0, F_OK) == 0 }
            }
            guard let slash = folder.lastIndex(of: "/"), folder != "/" else {
                throw SkalaError(
                    .notFound, "no compose.yaml in \(directory) or above; name a file with -f FILE")
            }
            folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
        }
    }

    static func absolute(_ path: String, _ directory: String) -> String {
        path.hasPrefix("/") ? path : directory + "/" + path
    }

    static func folder(of file: String) -> String {
        file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
    }

    static func text(_ file: String) throws -> String { String(decoding: try bytes(file), as: UTF8.self) }

    static func exists(_ file: String) -> Bool { access(file, F_OK) == 0 }

    static func bytes(_ file: String) throws -> [UInt8] {
        guard exists(file) else { throw SkalaError(.notFound, "\(file): no such file") }
        return try FileContents.read(file, limit: limit)
    }
}
