import Base
import CLinux
import Glibc
import Kernel

/// The program that answers a container's system calls: `linux.seccomp.listenerPath`.
struct SeccompListener {
    let path: String
    let metadata: String

    /// Nil when the profile names none.
    init?(_ profile: JSON) throws(SkalaError) {
        guard let path = profile["listenerPath"].string, !path.isEmpty else {
            guard profile["listenerMetadata"].string?.isEmpty ?? true else {
                throw SkalaError(.invalid, "linux.seccomp.listenerMetadata without listenerPath")
            }
            return nil
        }
        self.path = path
        metadata = profile["listenerMetadata"].string ?? ""
    }

    /// Sends the filter's descriptor, which the waiting process holds, with the container's process state
    /// (runtime specification, "Container Process State").
    func send(_ descriptor: Int32, of launch: Launch, state: JSON) throws {
        let listener = OwnedDescriptor(
            try check(cl_take_descriptor(launch.pidfd.raw, descriptor), "pidfd_getfd", "seccomp listener"))
        let message: JSON = [
            "ociVersion": JSON(RuntimeCommand.specificationVersion), "fds": ["seccompFd"], "pid": JSON(launch.pid),
            "metadata": JSON(metadata), "state": state,
        ]
        let socket = try UnixSocket.connect(path)
        try check(cl_send_descriptor(socket.raw, listener.raw, message.text), "sendmsg", path)
    }
}
