import Base
import Client
import Kernel

/// The progress of pulls, pushes, loads and builds: the API's JSON messages, on a terminal with a bar a layer.
final class ProgressDisplay {
    private let descriptor: Int32
    private let isTerminal: Bool
    /// The layers in the order they were first named, and what each line shows.
    private var order: [String] = []
    private var lines: [String: String] = [:]
    /// Without a terminal each state of a layer is shown once.
    private var shown: [String: String] = [:]

    init(descriptor: Int32) {
        self.descriptor = descriptor
        isTerminal = Terminal.isTerminal(descriptor)
    }

    /// Shows all messages of a response; what comes in `aux` is handed on.
    ///
    /// - Throws: the engine's error message, at once.
    static func show(_ response: HTTPResponse, on display: ProgressDisplay?, aux: (JSON) -> Void = { _ in }) throws {
        try response.messages { message in
            if !message["aux"].isNull { aux(message["aux"]) }
            display?.show(message)
        }
    }

    func show(_ message: JSON) {
        if let text = message["stream"].string {
            forgetLines()
            return write(text)
        }
        guard let status = message["status"].string else { return }
        guard let id = message["id"].string, !id.isEmpty else {
            forgetLines()
            return write(status + "\n")
        }
        if isTerminal { draw(id, status, message["progressDetail"]) } else { list(id, status) }
    }

    private func list(_ id: String, _ status: String) {
        guard shown[id] != status else { return }
        shown[id] = status
        write("\(id): \(status)\n")
    }

    /// Lines above are left as they are: what comes now stands below them.
    private func forgetLines() {
        order = []
        lines = [:]
    }

    private func draw(_ id: String, _ status: String, _ detail: JSON) {
        let line = "\(id): \(status)\(bar(detail))"
        if lines[id] == nil {
            order.append(id)
            write(cut(line) + "\n")
        } else if lines[id] != line, let index = order.firstIndex(of: id) {
            let up = order.count - index
            write("\u{1B}[\(up)A\r\u{1B}[2K\(cut(line))\u{1B}[\(up)B\r")
        }
        lines[id] = line
    }

    /// A line that wraps would count as two.
    private func cut(_ line: String) -> String {
        guard let columns = Terminal(descriptor: descriptor).size?.columns, line.count >= columns else { return line }
        return String(line.prefix(columns - 1))
    }

    private func bar(_ detail: JSON) -> String {
        guard let current = detail["current"].int else { return "" }
        guard let total = detail["total"].int, total > 0 else { return "  \(ByteSize.decimal(current))" }
        let width = 40
        let filled = Int(min(current, total) * Int64(width) / total)
        let done = String(repeating: "=", count: filled)
        let rest = String(repeating: " ", count: width - filled)
        return "  [\(done)>\(rest)] \(ByteSize.decimal(current))/\(ByteSize.decimal(total))"
    }

    private func write(_ text: String) { StandardStreams.write(descriptor, Array(text.utf8)) }
}
