import Base
import Client
import Glibc
import Kernel

/// Archives that go between the engine and files or standard streams.
enum FileTransfer {
    static let outputOption = Option.value("output", short: "o", "FILE", "Write there, not to standard output", .files)

    /// Writes a response's body to a file, which appears only when it is whole, or to standard output.
    static func download(_ request: HTTPRequest, to path: String?, _ call: Invocation) throws {
        guard let path else {
            guard !call.output.isTerminal else {
                throw SkalaError(.invalid, "an archive is not written to a terminal: redirect it, or use -o FILE")
            }
            let response = try call.client.send(request)
            while true {
                let bytes = try response.next()
                if bytes.isEmpty { return }
                try call.output.write(bytes)
            }
        }
        let response = try call.client.send(request)
        let temporary = path + ".part"
        let file = try OwnedDescriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        do {
            while true {
                let bytes = try response.next()
                if bytes.isEmpty { break }
                try FileContents.append(bytes, to: file.raw, path)
            }
            try checkErrno(rename(temporary, path), "rename", path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// A body that is a file's content, or standard input for `-` and nil.
    static func upload(_ path: String?, contentType: String = "application/x-tar") throws -> HTTPRequest.Body {
        guard let path, path != "-" else {
            return .stream(contentType: contentType) { try Pipe.read(0, upTo: 128 * 1024) }
        }
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return .stream(contentType: contentType) { try Pipe.read(file.raw, upTo: 128 * 1024) }
    }
}
