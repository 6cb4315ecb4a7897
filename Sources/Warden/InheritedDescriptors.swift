import Base
import CLinux
import Glibc
import Kernel

/// Opens what a program is to inherit as descriptors 3, 4, …: taps, files, and memory that nobody can change.
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
            return try .open(path, flags | CL_O_NOFOLLOW)
        }
        guard let path = json["sealed"].string else {
            throw SkalaError(.invalid, "not a descriptor to inherit: \(json.text)")
        }
        if sealed[path] == nil {
            let source = try OwnedDescriptor.open(path, O_RDONLY)
            sealed[path] = OwnedDescriptor(try check(cl_sealed_memory(source.raw), "copy into memory", path))
        }
        let copy = try check(cl_fcntl(sealed[path]?.raw ?? -1, 1030, 3), "fcntl F_DUPFD_CLOEXEC", path)
        return OwnedDescriptor(copy)
    }

    /// Frees the copy of a file; VMs that use it keep theirs.
    func forget(_ request: JSON) -> JSON {
        sealed[request["path"].string ?? ""] = nil
        return [:]
    }
}
