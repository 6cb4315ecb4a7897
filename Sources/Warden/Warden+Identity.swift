import Base
import CLinux
import Glibc
import Kernel

/// A VM that continues from a snapshot as another container than the one it was.
extension Warden {
    /// Gives a container, whose processes stand still, the name and identity of another.
    func identify(_ request: JSON) throws -> JSON {
        let container = try container(request)
        let pid = container.first.launch.pid
        guard container.paused else { throw SkalaError(.conflict, "container \(container.id) is not paused") }
        if let name = request["hostname"].string { try setHostname(name, of: pid) }
        if let text = request["machineID"].string { try replaceMachineID(text, of: pid) }
        guard let id = request["to"].string, id != container.id else { return [:] }
        guard id.count == Identifier.length, id.allSatisfy(\.isHexDigit), containers[id] == nil else {
            throw SkalaError(.invalid, "not a new container's id: '\(id)'")
        }
        containers[container.id] = nil
        container.id = id
        container.first.streams.log?.rename(id)
        containers[id] = container
        return [:]
    }

    /// The warden has one thread: it may look out of another namespace for a moment.
    private func setHostname(_ name: String, of pid: Int32) throws(KernelError) {
        let own = try OwnedDescriptor.open("/proc/self/ns/uts", O_RDONLY)
        let other = try OwnedDescriptor.open("/proc/\(pid)/ns/uts", O_RDONLY)
        try check(cl_setns(other.raw, 0), "setns", "uts")
        let result = cl_set_hostname(name)
        try check(cl_setns(own.raw, 0), "setns", "uts")
        try check(result, "set the hostname", name)
    }

    /// Writes it where the image has one (machine-id(5)); one that is missing, empty or of another form is left alone.
    private func replaceMachineID(_ text: String, of pid: Int32) throws(KernelError) {
        let root = try OwnedDescriptor.open("/proc/\(pid)/root", CL_O_PATH | CL_O_DIRECTORY)
        let flags = UInt64(O_RDWR | O_NONBLOCK | O_NOCTTY)
        let resolve = UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        let opened = cl_openat2(root.raw, "/etc/machine-id", flags, 0, resolve)
        guard opened >= 0 else { return }
        let file = OwnedDescriptor(opened)
        var status = stat()
        guard fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG, (32...33).contains(status.st_size)
        else { return }
        let bytes = Array((text + "\n").utf8)
        try checkErrno(pwrite(file.raw, bytes, bytes.count, 0), "write", "/etc/machine-id")
    }
}
