import Base
import Client
import Glibc
import Kernel

/// From here to a container.
struct CopyIn {
    let call: Invocation
    let container: String
    let path: String

    func run(from source: String) throws {
        if source == "-" {
            guard !Terminal.isTerminal(0) else {
                throw SkalaError(.invalid, "nothing to copy: redirect an archive to standard input")
            }
            return try put(into: path) { try Pipe.read(0, upTo: 128 * 1024) }
        }
        guard CopyPath.exists(source) else { throw SkalaError(.notFound, "no such file: \(source)") }
        let isFolder = CopyPath.isFolder(source) && (source.hasSuffix("/") || !isLink(source) || follows)
        let entry = try existing(path)
        let targetIsFolder = entry?["mode"].int.map { $0 & CopyPath.folderMode != 0 } ?? false
        if isFolder, entry != nil, !targetIsFolder {
            throw SkalaError(.conflict, "'\(container):\(path)' is a file; a folder cannot be copied over it")
        }
        if entry == nil, !isFolder, path.hasSuffix("/") {
            throw SkalaError(.notFound, "no such folder in the container: \(path)")
        }
        var arguments = ["-c", "-f", "-", "--sparse"] + (follows ? ["--dereference"] : [])
        if !call.arguments.flag("archive") { arguments += ["--owner=0", "--group=0", "--numeric-owner"] }
        let folder: String
        if targetIsFolder, isFolder, CopyPath.meansContents(source) {
            folder = path
            arguments += ["-C", source, "."]
        } else if targetIsFolder {
            folder = path
            arguments += ["-C", CopyPath.folder(source), "--", CopyPath.name(source)]
        } else {
            folder = CopyPath.folder(path)
            let member = CopyPath.meansContents(source) ? "." : CopyPath.name(source)
            let above = CopyPath.meansContents(source) ? source : CopyPath.folder(source)
            arguments += ["-C", above, Tar.rename(member, to: CopyPath.name(path)), "--", member]
        }
        let tar = try Tar.packing(arguments)
        do {
            try put(into: folder) { try Pipe.read(tar.pipe.raw, upTo: 128 * 1024) }
        } catch {
            // tar ends on its broken pipe; the engine's answer is the one to show.
            try? tar.finish()
            throw error
        }
        try tar.finish()
        if !call.arguments.flag("quiet") { StandardStreams.error("Copied \(source) to \(container):\(path)\n") }
    }

    private var follows: Bool { call.arguments.flag("follow-link") }

    private func isLink(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK
    }

    /// What the engine knows of a path in the container; nil when there is none.
    private func existing(_ path: String) throws -> JSON? {
        let request = HTTPRequest("HEAD", API.container(container, "/archive"), query: [("path", path)])
        do {
            let response = try call.client.send(request)
            _ = try response.all()
            let header = response.head.header("X-Docker-Container-Path-Stat") ?? ""
            let entry = try JSON(parsing: Base64.decode(header) ?? [])
            let isLink = entry["mode"].int.map { $0 & CopyPath.linkMode != 0 } ?? false
            guard isLink, let link = entry["linkTarget"].string, !link.isEmpty, link != path else { return entry }
            return try existing(link.hasPrefix("/") ? link : CopyPath.folder(path) + "/" + link)
        } catch let error as SkalaError where error.code == .notFound {
            // The container itself may be what is missing: the upload tells.
            return nil
        }
    }

    private func put(into folder: String, _ next: @escaping () throws -> [UInt8]) throws {
        var query = [(name: "path", value: folder), (name: "noOverwriteDirNonDir", value: "true")]
        if call.arguments.flag("archive") { query.append(("copyUIDGID", "1")) }
        try call.client.json(
            HTTPRequest(
                "PUT", API.container(container, "/archive"), query: query,
                body: .stream(contentType: "application/x-tar", next: next)))
    }
}
