import Base
import Client
import Kernel

/// `skala top`: services with their tasks, and all other running containers, live, the busiest first, with what they wait
/// for.
enum LiveTop {
    static let command = Command(
        "top", "Show services, tasks and containers live: CPU, memory, pressure; or a container's processes",
        "[OPTIONS] [CONTAINER [PS OPTIONS]]", Command.atLeast(0), completes: .runningContainers, stopsAtArgument: true,
        options: [
            .flag("no-stream", "Show one reading, after a second, and end"), .flag("once", "The same"),
            .value(
                "sort", short: "s", "KEY", "Sort by \(orders)", .words(TopOrder.allCases.map(\.rawValue))),
            .flag("services", "Services only, without their tasks"), .format,
        ],
        examples: [
            "skala top", "skala top --sort memory", "skala top --once --format json", "skala top web -o pid,comm",
        ]
    ) { call in
        let arguments = call.arguments
        if let name = arguments.positional.first { return try processes(call, of: name) }
        var view = View(showsTasks: !arguments.flag("services"))
        if let text = arguments["sort"] {
            guard let order = TopOrder(rawValue: text) else {
                throw SkalaError(.invalid, "invalid value '\(text)' for --sort: expected \(orders)")
            }
            view.order = order
        }
        var reader = TopReader(client: call.client)
        _ = try reader.read()
        guard call.output.isTerminal, !arguments.flag("once"), !arguments.flag("no-stream"), !arguments.has("format")
        else {
            _ = try SignalQueue([]).pause(milliseconds: 1000)
            let entries = try reader.read().entries(by: view.order, tasks: view.showsTasks)
            try call.output.list(entries.map(\.row), TopEntry.columns, format: arguments["format"])
            return 0
        }
        try show(&view, &reader, call.output)
        return 0
    }

    private static let orders = TopOrder.allCases.map(\.rawValue).joined(separator: ", ")

    /// What the user has chosen to see.
    private struct View {
        var order = TopOrder.cpu
        var showsTasks: Bool

        /// - Returns: false for a key that means nothing.
        mutating func press(_ key: UInt8) -> Bool {
            if key == UInt8(ascii: "t") {
                showsTasks.toggle()
            } else if let order = TopOrder.allCases.first(where: { $0.key == key }) {
                self.order = order
            } else {
                return false
            }
            return true
        }
    }

    private static func show(_ view: inout View, _ reader: inout TopReader, _ output: Output) throws {
        let screen = try LiveScreen()
        defer { screen.close() }
        var reading: TopReading?
        var deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
        while true {
            switch screen.next(until: deadline) {
            case .leave: return
            case .turn:
                reading = try reader.read()
                deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
            case .resized: break
            case .key(let key): if !view.press(key) { continue }
            }
            if let reading { screen.draw(text(reading, view, output)) }
        }
    }

    /// A line of sums, one of keys, and the table; what waits is coloured.
    private static func text(_ reading: TopReading, _ view: View, _ output: Output) -> String {
        let measured = reading.measured
        let cpu = measured.reduce(0) { $0 + $1.cpu }
        let memory = measured.reduce(0) { $0 + $1.memory }
        var head = reading.services.isEmpty ? "" : "\(reading.services.count) services, "
        head += "\(measured.count) containers, CPU \(Decimal.text(cpu, 1))% of \(HostFacts.onlineCPUs * 100)%, "
        head += "memory \(ByteSize.binary(memory)) of \(ByteSize.binary(HostFacts.memoryBytes))"
        let keys = TopOrder.allCases.map { order in
            let text = "\(Character(UnicodeScalar(order.key))): \(order.rawValue)"
            return order == view.order ? output.paint(text, .bold) : text
        }
        let entries = reading.entries(by: view.order, tasks: view.showsTasks)
        // What nothing is told about only takes room.
        let rows = entries.map(\.row)
        let columns = TopEntry.columns.filter { column in
            column.0 != "AUTOSCALER" && (column.0 != "REQ/S" || rows.contains { $0[column.1] != "-" })
        }
        var table = Table(columns.map(\.0))
        for (entry, row) in zip(entries, rows) {
            table.add(columns.map { ($0.1 == "Name" && entry.kind == .task ? "  " : "") + row[$0.1].plain })
        }
        let lines = table.text.split(separator: "\n").map(String.init)
        var text = output.paint(head, .bold) + "\n" + keys.joined(separator: "  ") + "  t: tasks  q: leave\n\n"
        text += output.paint(lines[0], .faint) + "\n"
        for (line, entry) in zip(lines.dropFirst(), entries) {
            let worst = entry.worstPressure
            text += (worst >= 30 ? output.paint(line, .red) : worst >= 5 ? output.paint(line, .yellow) : line) + "\n"
            // Too long for a column.
            if !entry.autoscaler.isEmpty { text += output.paint("  autoscaler: \(entry.autoscaler)", .faint) + "\n" }
        }
        return text
    }

    /// The processes of one container, as docker's `top` shows them.
    private static func processes(_ call: Invocation, of name: String) throws -> Int32 {
        let options = call.arguments.positional.dropFirst().joined(separator: " ")
        let query = options.isEmpty ? [] : [(name: "ps_args", value: options)]
        let answer = try call.client.json(.get(API.container(name, "/top"), query: query))
        let titles = answer["Titles"].strings ?? []
        let rows = (answer["Processes"].array ?? []).map { process in
            JSON.object(JSONObject(zip(titles, process.array ?? []).map { (key: $0, value: $1) }))
        }
        try call.output.list(rows, titles.map { ($0, $0) }, format: call.arguments["format"])
        return 0
    }
}
