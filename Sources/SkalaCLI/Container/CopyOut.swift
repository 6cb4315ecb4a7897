import Base
import Client
import Glibc
import Kernel

/// From a container to here.
struct CopyOut {
    let call: Invocation
    let container: String
    let path: String

    func run(to target: String) throws {
        // The contents of a folder: the folder itself is asked for, and the first part of its members' names dropped.
        let takesContents = CopyPath.meansContents(path) && target != "-"
        let asked = takesContents ? String(path.dropLast(2)) : path
        // The root has no name: its members' first part is ".", where it would be nothing.
        let (response, entry) = try open(asked.allSatisfy { $0 == "/" } ? "/." : asked)
        if target == "-" {
            guard !call.output.isTerminal else {
                throw SkalaError(.invalid, "an archive is not written to a terminal: redirect it")
            }
            while true {
                let bytes = try response.next()
                if bytes.isEmpty { return }
                try call.output.write(bytes)
            }
        }
        let isFolder = entry["mode"].int.map { $0 & CopyPath.folderMode != 0 } ?? false
        let name = entry["name"].string ?? CopyPath.name(path)
        if CopyPath.isFolder(target) {
            try extract(response, into: target, withoutFolder: takesContents)
        } else {
            try extract(response, name: name, isFolder: isFolder, mode: entry["mode"].int ?? 0o755, as: target)
        }
        if !call.arguments.flag("quiet") { StandardStreams.error("Copied \(container):\(path) to \(target)\n") }
    }

    private func open(_ path: String) throws -> (HTTPResponse, JSON) {
        let response = try call.client.send(.get(API.container(container, "/archive"), query: [("path", path)]))
        let header = response.head.header("X-Docker-Container-Path-Stat") ?? ""
        let entry = try JSON(parsing: Base64.decode(header) ?? [])
        let isLink = entry["mode"].int.map { $0 & CopyPath.linkMode != 0 } ?? false
        guard call.arguments.flag("follow-link"), isLink, let link = entry["linkTarget"].string, link != path else {
            return (response, entry)
        }
        return try open(link.hasPrefix("/") ? link : CopyPath.folder(path) + "/" + link)
    }

    private func extract(_ response: HTTPResponse, into folder: String, withoutFolder: Bool) throws {
        let owner = call.arguments.flag("archive") ? "--same-owner" : "--no-same-owner"
        let strip = withoutFolder ? ["--strip-components=1"] : []
        let tar = try Tar.extracting(["-x", "-p", owner, "-f", "-", "-C", folder] + strip)
        do {
            while true {
                let bytes = try response.next()
                if bytes.isEmpty { break }
                try FileContents.append(bytes, to: tar.pipe.raw, "tar")
            }
        } catch let error as KernelError where error.errno == EPIPE {
            // tar has given up, and its status says so.
        } catch {
            // What tar has begun to write is not touched before it has ended; the first error is the one to show.
            try? tar.finish()
            throw error
        }
        try tar.finish()
    }

    /// Extracts beside the target and then renames, so that any name does and nothing half appears.
    private func extract(
        _ response: HTTPResponse, name: String, isFolder: Bool, mode: Int64, as target: String
    ) throws {
        let above = CopyPath.folder(target)
        guard CopyPath.isFolder(above) else { throw SkalaError(.notFound, "no such folder: \(above)") }
        if isFolder, CopyPath.exists(target) {
            throw SkalaError(.conflict, "'\(target)' is a file; a folder cannot be copied over it")
        }
        if !isFolder, target.hasSuffix("/") { throw SkalaError(.notFound, "no such folder: \(target)") }
        let folder = above + "/.skala-cp-\(getpid())"
        try checkErrno(mkdir(folder, 0o700), "mkdir", folder)
        defer {
            // Left empty by success; after a failure there is nothing better to do with it.
            try? FileContents.removeTree(folder)
        }
        // A folder becomes the new one without its own name, whatever the engine calls it.
        try extract(response, into: folder, withoutFolder: isFolder)
        if isFolder { chmod(folder, mode_t(truncatingIfNeeded: mode & 0o777)) }
        try checkErrno(Glibc.rename(isFolder ? folder : folder + "/" + name, target), "rename", target)
    }
}
