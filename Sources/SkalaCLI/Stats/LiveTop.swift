import Base
import Client
import Kernel

/// `skala top`: all running containers live, the busiest first, with what they wait for.
enum LiveTop {
    static let command = Command(
        "top", "Show all containers live: CPU, memory and pressure; or a container's processes",
        "[OPTIONS] [CONTAINER [PS OPTIONS]]", Command.atLeast(0), completes: .runningContainers, stopsAtArgument: true,
        options: [.flag("once", "Show one reading, after a second, and end"), .format],
        examples: ["skala top", "skala top --once --format json", "skala top web -o pid,comm"]
    ) { call in
        if let name = call.arguments.positional.first { return try processes(call, of: name) }
        var reader = StatsReader(client: call.client)
        func sample() throws -> [StatsSample] {
            try reader.read(try reader.ids([], all: false), named: false).sorted {
                ($0.cpu, $1.name) > ($1.cpu, $0.name)
            }
        }
        _ = try sample()
        guard call.output.isTerminal, !call.arguments.flag("once"), !call.arguments.has("format") else {
            _ = try SignalQueue([]).pause(milliseconds: 1000)
            try call.output.list(try sample().map(row), columns, format: call.arguments["format"])
            return 0
        }
        let screen = try LiveScreen()
        defer { screen.close() }
        var deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
        while screen.wait(until: deadline) {
            screen.draw(text(try sample(), call.output))
            deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
        }
        return 0
    }

    private static let columns = [
        ("NAME", "Name"), ("CPU %", "CPU"), ("MEMORY", "Memory"), ("MEM %", "MemoryShare"),
        ("CPU WAIT", "CPUPressure"), ("MEM WAIT", "MemoryPressure"), ("I/O WAIT", "IOPressure"), ("PIDS", "Processes"),
        ("RECEIVED", "Received"), ("SENT", "Sent"),
    ]

    private static func row(_ sample: StatsSample) -> JSON {
        func pressure(_ index: Int) -> JSON { JSON(sample.pressure[index].map { Decimal.text($0, 1) + "%" } ?? "-") }
        return [
            "ID": JSON(sample.id), "Name": JSON(sample.name), "CPU": JSON(Decimal.text(sample.cpu, 1) + "%"),
            "Memory": JSON(ByteSize.binary(sample.memory)),
            "MemoryShare": JSON(Decimal.text(sample.memoryShare, 1) + "%"), "CPUPressure": pressure(0),
            "MemoryPressure": pressure(1), "IOPressure": pressure(2), "Processes": JSON("\(sample.processes)"),
            "Received": JSON(ByteSize.decimal(sample.received)), "Sent": JSON(ByteSize.decimal(sample.sent)),
        ]
    }

    /// A line of sums, and the table; what waits is coloured.
    private static func text(_ samples: [StatsSample], _ output: Output) -> String {
        let cpu = samples.reduce(0) { $0 + $1.cpu }
        let memory = samples.reduce(0) { $0 + $1.memory }
        let processes = samples.reduce(0) { $0 + $1.processes }
        var head = "\(samples.count) containers, \(processes) processes, CPU \(Decimal.text(cpu, 1))% of "
        head += "\(HostFacts.onlineCPUs * 100)%, memory \(ByteSize.binary(memory)) of "
        head += "\(ByteSize.binary(HostFacts.memoryBytes))"
        var table = Table(columns.map(\.0))
        for sample in samples {
            let row = LiveTop.row(sample)
            table.add(columns.map { row[$0.1].plain })
        }
        let lines = table.text.split(separator: "\n").map(String.init)
        var text = output.paint(head, .bold) + "   q: leave\n\n" + output.paint(lines[0], .faint) + "\n"
        for (line, sample) in zip(lines.dropFirst(), samples) {
            let worst = sample.pressure.compactMap { $0 }.max() ?? 0
            text += (worst >= 30 ? output.paint(line, .red) : worst >= 5 ? output.paint(line, .yellow) : line) + "\n"
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
