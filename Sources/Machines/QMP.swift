import Base
import CLinux
import Glibc
import Kernel

/// QEMU's control socket (the QEMU Machine Protocol): one command at a time. Blocking.
final class QMP {
    private let socket: OwnedDescriptor
    private var buffer: [UInt8] = []

    /// Waits for QEMU to listen, and greets it.
    ///
    /// - Parameters:
    ///   - deadline: on the monotonic clock, in nanoseconds; holds for all that follows.
    ///   - isAlive: asked while waiting: a QEMU that has ended never listens.
    init(path: String, deadline: Int64, isAlive: () -> Bool) throws {
        while true {
            do {
                // One that stands still does not even take connections.
                socket = try UnixSocket.connect(path, limit: QMP.left(until: deadline))
                break
            } catch {
                guard isAlive() else { throw SkalaError(.unavailable, "QEMU ended at once") }
                guard SystemClock.monotonicNanoseconds() < deadline else {
                    throw SkalaError(.timedOut, "QEMU does not listen at \(path)", cause: error)
                }
                usleep(1000)
            }
        }
        try limitWaits(to: deadline)
        _ = try message()
        try run("qmp_capabilities")
    }

    private func limitWaits(to deadline: Int64) throws(KernelError) {
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            try UnixSocket.limitWaits(socket.raw, option, to: QMP.left(until: deadline))
        }
    }

    private static func left(until deadline: Int64) -> Int64 {
        max(1_000_000, deadline - SystemClock.monotonicNanoseconds())
    }

    /// Carries out one command.
    ///
    /// - Throws: `.system` with QEMU's own text.
    @discardableResult
    func run(_ command: String, _ arguments: JSON = [:]) throws -> JSON {
        let request: JSON = ["execute": JSON(command), "arguments": arguments]
        guard UnixSocket.writeAll(socket.raw, request.bytes + [0x0A]) else {
            throw SkalaError(.unavailable, "QEMU has ended")
        }
        return try answer(to: command)
    }

    private func answer(to command: String) throws -> JSON {
        while true {
            let answer = try message()
            if !answer["error"].isNull {
                throw SkalaError(.system, "QEMU: \(command): \(answer["error"]["desc"].string ?? answer.text)")
            }
            // Events come in between.
            if !answer["return"].isNull { return answer["return"] }
        }
    }

    /// Carries out a command whose effect may be there already: then QEMU refuses it, and that is as good.
    func ensure(_ command: String, _ arguments: JSON) throws {
        do {
            try run(command, arguments)
        } catch let error as SkalaError where error.code == .system { return }
    }

    /// Gives QEMU a descriptor, under a name for the commands that follow.
    func send(_ descriptor: OwnedDescriptor, as name: String) throws {
        try send("getfd", ["fdname": JSON(name)], with: descriptor)
    }

    /// Gives QEMU a descriptor to open as a file; answers the file's name.
    ///
    /// - Parameter set: the number it gets; nil takes the next.
    func add(_ descriptor: OwnedDescriptor, set: Int? = nil) throws -> String {
        let answer = try send("add-fd", set.map { ["fdset-id": JSON($0)] } ?? [:], with: descriptor)
        return "/dev/fdset/\(answer["fdset-id"].int ?? -1)"
    }

    /// Takes back what `add` gave.
    func remove(_ file: String) throws {
        try run("remove-fd", ["fdset-id": JSON(Int64(file.split(separator: "/").last ?? "") ?? -1)])
    }

    @discardableResult
    private func send(_ command: String, _ arguments: JSON, with descriptor: OwnedDescriptor) throws -> JSON {
        let request: JSON = ["execute": JSON(command), "arguments": arguments]
        let bytes = request.bytes + [0x0A]
        let sent = bytes.withUnsafeBytes {
            cl_send_with_descriptor(socket.raw, $0.baseAddress, $0.count, descriptor.raw)
        }
        try check(Int32(clamping: sent), "sendmsg", "QEMU's control socket")
        return try answer(to: command)
    }

    private func message() throws -> JSON {
        while true {
            if let end = buffer.firstIndex(of: 0x0A) {
                let line = Array(buffer[..<end])
                buffer.removeSubrange(...end)
                return try JSON(parsing: line)
            }
            var chunk = [UInt8](repeating: 0, count: 16 << 10)
            let count = recv(socket.raw, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { throw SkalaError(.timedOut, "QEMU does not answer") }
            guard count > 0, buffer.count < 1 << 20 else { throw SkalaError(.unavailable, "QEMU has ended") }
            buffer.append(contentsOf: chunk[..<count])
        }
    }
}
