import Base
import Glibc
import Kernel

/// The folder that is sent to the builder.
enum BuildContext {
    /// The Dockerfile's path inside the context.
    ///
    /// - Throws: `.invalid` when it is not below the context.
    static func dockerfile(_ file: String, context: String) throws -> String {
        guard context != "-" else { return file }
        func real(_ path: String) throws -> String {
            guard let resolved = realpath(path, nil) else { throw KernelError("open", path, errno: errno) }
            defer { free(resolved) }
            return String(cString: resolved)
        }
        let folder = try real(context)
        // As docker does: relative to here, else relative to the context.
        let path = try real(CopyPath.exists(file) || file.hasPrefix("/") ? file : context + "/" + file)
        let prefix = folder == "/" ? "/" : folder + "/"
        guard path.hasPrefix(prefix) else {
            throw SkalaError(.invalid, "the Dockerfile '\(file)' is not below the folder '\(context)'")
        }
        return String(path.dropFirst(prefix.count))
    }

    /// What tar packs. The builder itself heeds `.dockerignore`; what it leaves out by a plain path need not be sent.
    static func tarArguments(_ folder: String) throws -> [String] {
        guard CopyPath.isFolder(folder) else { throw SkalaError(.notFound, "no such folder: \(folder)") }
        var excluded: [String] = []
        let path = folder + "/.dockerignore"
        if CopyPath.exists(path) {
            excluded = plainPaths(String(decoding: try FileContents.read(path), as: UTF8.self))
        }
        return ["-c", "-f", "-", "--sparse", "--no-wildcards", "--anchored"] + excluded.map { "--exclude=./\($0)" }
            + ["-C", folder, "."]
    }

    /// The entries of a `.dockerignore` that are paths and nothing more; none when an exception (`!`) may take one back.
    static func plainPaths(_ text: String) -> [String] {
        let lines = LineText.lines(text).map { line in
            var line = line[...]
            while let last = line.last, last == " " || last == "\r" || last == "\t" || last == "/" { line.removeLast() }
            while line.hasPrefix("./") { line = line.dropFirst(2) }
            return String(line.drop { $0 == " " || $0 == "/" })
        }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        if lines.contains(where: { $0.hasPrefix("!") }) { return [] }
        // The builder needs these two, whatever is said.
        let needed = ["Dockerfile", ".dockerignore"]
        return lines.filter { line in
            !line.contains { "*?[]\\".contains($0) } && !line.contains("..") && !needed.contains(line) && line != "."
        }
    }
}
