import Base
import Glibc
import Kernel

/// Somebody who wants a container's or exec's streams.
public struct Attachment: Sendable {
    public let stream: WardenStream
    public let stdin: Bool
    public let stdout: Bool
    public let stderr: Bool
    /// When who attached leaves, or ends its side, the process's input ends too.
    public var endsInput = true

    /// The fields of the warden's operation `attach`.
    var request: JSON {
        ["stream": JSON(stream.number), "stdin": JSON(stdin), "stdout": JSON(stdout), "stderr": JSON(stderr)]
    }
}

extension Container {
    /// The container has a terminal: its output is one stream without framing.
    public var hasTerminal: Bool { record.config["Tty"].bool ?? false }

    /// Attaches to the running container, or to the one about to start.
    ///
    /// - Throws: `.conflict` when it has ended.
    public func attach(stdin: Bool, stdout: Bool, stderr: Bool) async throws -> Attachment {
        var attachment = Attachment(
            stream: WardenStream(), stdin: stdin && record.config["OpenStdin"].bool == true,
            stdout: stdout, stderr: stderr)
        attachment.endsInput = record.config["StdinOnce"].bool == true
        if record.state.isAlive {
            if record.state.status == .paused {
                throw SkalaError(.conflict, "container \(id) is paused, unpause the container before attach")
            }
            try sandbox.open(attachment.stream)
            var request = attachment.request
            request["id"] = JSON(id)
            try await sandbox.request("attach", request)
            attachment.stream.connected()
        } else {
            // The usual order of a client is create, attach, start.
            pendingAttachments.append(attachment)
        }
        publish("attach")
        return attachment
    }

    public func resize(rows: Int64, columns: Int64) async throws {
        // A client resizes right after the start, and again when its window changes; before a start the size is kept.
        guard record.state.isAlive else {
            record.hostConfig["ConsoleSize"] = [JSON(rows), JSON(columns)]
            return
        }
        try await sandbox.request(
            "resize", ["id": JSON(id), "rows": JSON(rows), "columns": JSON(columns)])
        publish("resize", ["height": "\(rows)", "width": "\(columns)"])
    }

    /// Where the log is, nil when the container keeps none.
    public var logFile: String? {
        record.hostConfig["LogConfig"]["Type"].string == "none" ? nil : logPath
    }

    public var isAlive: Bool { record.state.isAlive }
}
