import Base
import Client
import Glibc
import Kernel

/// Standard output of a command: text, tables, JSON or templates, as asked for.
struct Output {
    let isTerminal = isatty(1) == 1

    /// - Throws: `.cancelled` without a message when the reader has gone, as `head` goes.
    func write(_ text: String) throws { try write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) throws {
        do { try FileContents.append(bytes, to: 1, "standard output") } catch {
            guard error.errno == EPIPE else { throw error }
            throw CommandFailure(141, "")
        }
    }

    func line(_ text: String) throws { try write(text + "\n") }

    /// Colours `text` on a terminal that has not asked for none (https://no-color.org).
    func paint(_ text: String, _ color: Color) -> String {
        guard isTerminal, Environment.value("NO_COLOR")?.isEmpty ?? true, Environment.value("TERM") != "dumb" else {
            return text
        }
        return "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m"
    }

    enum Color: Int { case red = 31, green = 32, yellow = 33, cyan = 36, bold = 1, faint = 2 }

    /// Shows a list as `--format` asks: a table of `columns`, one JSON object a line, or a template for each row.
    ///
    /// - Parameters:
    ///   - rows: objects; their members are what templates can name.
    ///   - columns: titles, and the member shown below each.
    func list(_ rows: [JSON], _ columns: [(title: String, member: String)], format: String?) throws {
        switch format ?? "table" {
        case "json": try write(rows.map { $0.text + "\n" }.joined())
        case "table":
            var table = Table(columns.map(\.title))
            for row in rows { table.add(columns.map { row[$0.member].plain }) }
            try write(table.text)
        case let text:
            let template = try Template(text.hasPrefix("table ") ? String(text.dropFirst(6)) : text)
            var lines = ""
            for row in rows { lines += try template.fill(row) + "\n" }
            try write(lines)
        }
    }

    /// Shows documents as `inspect` does: one JSON array, or a template for each.
    func documents(_ documents: [JSON], format: String?) throws {
        guard let format, format != "json" else {
            let text = JSON(documents)
            return try line(format == nil ? text.pretty(indent: 4) : text.text)
        }
        let template = try Template(format)
        for document in documents { try line(try template.fill(document)) }
    }
}

extension JSON {
    /// The value as people read it: strings without quotes, everything else as JSON.
    var plain: String { string ?? (isNull ? "" : text) }
}
