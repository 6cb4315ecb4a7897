import Base
import Client
import Glibc
import Kernel

/// `skala cp`
enum ContainerCopy {
    static let command = Command(
        "cp", "Copy files between a container and here", "[OPTIONS] CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-", 2...2,
        completes: .files,
        options: [
            .flag("archive", short: "a", "Keep user and group ids"),
            .flag("follow-link", short: "L", "Copy what a symbolic link points to"),
            .flag("quiet", short: "q", "Do not say what was copied"),
        ],
        examples: ["skala cp web:/etc/nginx/nginx.conf .", "skala cp ./site/. web:/usr/share/nginx/html"]
    ) { call in
        let ends = call.arguments.positional.map(CopyEnd.init)
        switch (ends[0], ends[1]) {
        case (.container(let name, let path), .local(let target)):
            try CopyOut(call: call, container: name, path: path).run(to: target)
        case (.local(let source), .container(let name, let path)):
            try CopyIn(call: call, container: name, path: path).run(from: source)
        case (.local, .local): throw SkalaError(.invalid, "one of the two must be CONTAINER:PATH")
        case (.container, .container): throw SkalaError(.invalid, "files cannot be copied from container to container")
        }
        return 0
    }
}

/// One end of a copy.
enum CopyEnd: Hashable {
    case container(name: String, path: String)
    case local(String)

    /// A text with a colon names a container, unless it is a path by its beginning.
    init(_ text: String) {
        guard !text.hasPrefix("/"), !text.hasPrefix("."), let colon = text.firstIndex(of: ":"),
            colon != text.startIndex, !text[..<colon].contains("/")
        else {
            self = .local(text)
            return
        }
        self = .container(name: String(text[..<colon]), path: String(text[text.index(after: colon)...]))
    }
}

/// Paths as `cp` reads them.
enum CopyPath {
    /// The last part, without slashes at the end.
    static func name(_ path: String) -> String {
        String(path.split(separator: "/").last ?? "/")
    }

    /// The folder above; `.` for a name alone.
    static func folder(_ path: String) -> String {
        let parts = path.split(separator: "/")
        guard parts.count > 1 else { return path.hasPrefix("/") ? "/" : "." }
        return (path.hasPrefix("/") ? "/" : "") + parts.dropLast().joined(separator: "/")
    }

    /// `DIR/.` means the folder's contents, not the folder.
    static func meansContents(_ path: String) -> Bool { path == "." || path.hasSuffix("/.") }

    static func isFolder(_ path: String) -> Bool {
        var information = stat()
        return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
    }

    static func exists(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0
    }

    /// The bit of Go's file modes that marks folders, as `X-Docker-Container-Path-Stat` has it.
    static let folderMode: Int64 = 1 << 31
    static let linkMode: Int64 = 1 << 27
}

/// The system's tar program with a pipe to it or from it.
struct Tar {
    private let pid: pid_t
    let pipe: OwnedDescriptor

    /// tar reads its archive from `pipe`.
    static func extracting(_ arguments: [String]) throws -> Tar {
        let (read, write) = try Pipe.make()
        let pid = try Subprocess.spawn([try program()] + arguments, input: read.raw)
        read.close()
        return Tar(pid: pid, pipe: write)
    }

    /// tar writes its archive to `pipe`.
    static func packing(_ arguments: [String]) throws -> Tar {
        let (read, write) = try Pipe.make()
        let pid = try Subprocess.spawn([try program()] + arguments, output: write.raw)
        write.close()
        return Tar(pid: pid, pipe: read)
    }

    /// - Throws: `.system` when tar failed; it has said why on standard error.
    func finish() throws {
        pipe.close()
        let status = try Subprocess.wait(pid)
        guard status == 0 else { throw SkalaError(.system, "tar ended with status \(status)") }
    }

    private static func program() throws -> String {
        guard let path = Subprocess.find("tar", path: (Environment.value("PATH") ?? "") + ":/usr/bin:/bin") else {
            throw SkalaError(.notFound, "the program 'tar' is missing; install it")
        }
        return path
    }

    /// An argument that renames members called `old`, or below it, to `new` while packing.
    static func rename(_ old: String, to new: String) -> String {
        // A control character as the separator: names hold it almost never, and then it is escaped as the others are.
        func escape(_ text: String, _ special: String) -> String {
            text.map { special.contains($0) ? "\\\($0)" : "\($0)" }.joined()
        }
        let pattern = escape(old, "\\.[]*^$\u{1}")
        return "--transform=flags=rSh;s\u{1}^\(pattern)\\(/\\|$\\)\u{1}\(escape(new, "\\&\u{1}"))\\1\u{1}"
    }
}

/// From a container to here.
struct CopyOut {
    let call: Invocation
    let container: String
    let path: String

    func run(to target: String) throws {
        // The contents of a folder: the folder itself is asked for, and the first part of its members' names dropped.
        let takesContents = CopyPath.meansContents(path) && target != "-"
        let (response, entry) = try open(takesContents ? String(path.dropLast(2)) : path)
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
        try put(into: folder) { try Pipe.read(tar.pipe.raw, upTo: 128 * 1024) }
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
