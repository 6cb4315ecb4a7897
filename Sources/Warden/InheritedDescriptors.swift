import Base
import CLinux
import Glibc
import Kernel

/// Opens what a program is to inherit as descriptors 3, 4, …: taps, files, listening sockets, and files' content in memory.
final class InheritedDescriptors {
    private static let maximum = 16

    /// Copies of files in sealed memory, by path: the templates that VMs are cloned from.
    private var sealed: [String: OwnedDescriptor] = [:]

    /// `descriptors` of the operation `create`.
    ///
    /// - Throws: `.invalid` for what is none of the kinds, `.system` when it cannot be opened.
    func open(_ json: JSON) throws -> [OwnedDescriptor] {
        let list = json.array ?? []
        guard list.count <= InheritedDescriptors.maximum else {
            throw SkalaError(.invalid, "more than \(InheritedDescriptors.maximum) descriptors")
        }
        return try list.map(openOne)
    }

    private func openOne(_ json: JSON) throws -> OwnedDescriptor {
        if let name = json["tap"].string {
            guard !name.isEmpty, !name.utf8.contains(0) else { throw SkalaError(.invalid, "a tap without a name") }
            return OwnedDescriptor(try check(cl_open_tap(name), "open tap", name))
        }
        if let path = json["file"].string {
            let modes = ["read": O_RDONLY, "write": O_RDWR, "append": O_WRONLY | O_APPEND]
            guard let flags = modes[json["mode"].string ?? "read"] else {
                throw SkalaError(.invalid, "unknown mode of a descriptor: \(json["mode"].text)")
            }
            // A pipe whose reader has gone must not hold the warden up; files know no waiting.
            return try .open(path, flags | CL_O_NOFOLLOW | O_NONBLOCK)
        }
        if let path = json["listen"].string { return try listen(path, owner: json["owner"]) }
        if let path = json["copied"].string {
            let source = try OwnedDescriptor.open(path, O_RDONLY)
            return OwnedDescriptor(
                try check(cl_memory_copy(source.raw, InheritedDescriptors.name(path)), "copy into memory", path))
        }
        guard let path = json["sealed"].string else {
            throw SkalaError(.invalid, "not a descriptor to inherit: \(json.text)")
        }
        if sealed[path] == nil {
            let source = try OwnedDescriptor.open(path, O_RDONLY)
            let copy = cl_sealed_memory(source.raw, InheritedDescriptors.name(path))
            sealed[path] = OwnedDescriptor(try check(copy, "copy into memory", path))
        }
        let copy = try check(cl_fcntl(sealed[path]?.raw ?? -1, 1030, 3), "fcntl F_DUPFD_CLOEXEC", path)
        return OwnedDescriptor(copy)
    }

    /// What /proc calls the copy of a file: `skala-memory` of a file called `memory`.
    private static func name(_ path: String) -> String { "skala-" + (path.split(separator: "/").last ?? "") }

    /// A unix socket that listens at `path`, for a user who may connect to it.
    private func listen(_ path: String, owner: JSON) throws -> OwnedDescriptor {
        var address = try UnixSocket.address(path)
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = OwnedDescriptor(try checkErrno(Glibc.socket(AF_UNIX, kind, 0), "socket", path))
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try checkErrno(bound, "bind", path)
        if let user = owner.int.flatMap(UInt32.init(exactly:)) {
            try checkErrno(chown(path, user, user), "chown", path)
        }
        try checkErrno(Glibc.listen(socket.raw, 1), "listen", path)
        return socket
    }

    /// Frees the copy of a file; VMs that use it keep theirs.
    func forget(_ request: JSON) -> JSON {
        sealed[request["path"].string ?? ""] = nil
        return [:]
    }
}
