import Base
import Client
import Kernel

/// `skala stats`
enum ContainerStats {
    static let command = Command(
        "stats", "Show what containers use, as docker does, and what the host gives for it", "[OPTIONS] [CONTAINER...]",
        Command.atLeast(0),
        completes: .runningContainers,
        options: [
            .all, .noTruncation, .format, .flag("no-stream", "Show one reading, after a second, and end"),
        ],
        examples: ["skala stats", "skala stats --no-stream --format json web db"]
    ) { call in
        let arguments = call.arguments
        var reader = StatsReader(client: call.client)
        let names = arguments.positional
        func sample() throws -> [JSON] {
            let ids = try reader.ids(names, all: arguments.flag("all"))
            return try reader.read(ids, named: !names.isEmpty).map {
                ContainerStats.row($0, isFull: arguments.flag("no-trunc"))
            }
        }
        _ = try sample()
        guard call.output.isTerminal, !arguments.flag("no-stream"), !arguments.has("format") else {
            let signals = try SignalQueue([])
            repeat {
                _ = signals.pause(milliseconds: 1000)
                try call.output.list(try sample(), columns, format: arguments["format"])
            } while !arguments.flag("no-stream")
            return 0
        }
        let screen = try LiveScreen()
        defer { screen.close() }
        var deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
        while screen.wait(until: deadline) {
            var table = Table(columns.map(\.0))
            for row in try sample() { table.add(columns.map { row[$0.1].plain }) }
            screen.draw(table.text)
            deadline = SystemClock.monotonicNanoseconds() + 1_000_000_000
        }
        return 0
    }

    private static let columns = [
        ("CONTAINER ID", "ID"), ("NAME", "Name"), ("CPU %", "CPUPerc"), ("MEM USAGE / LIMIT", "MemUsage"),
        ("MEM %", "MemPerc"), ("NET I/O", "NetIO"), ("BLOCK I/O", "BlockIO"), ("PIDS", "PIDs"),
        ("HOST CPU %", "HostCPU"), ("HOST MEM", "HostMemory"),
    ]

    private static func row(_ sample: StatsSample, isFull: Bool) -> JSON {
        [
            "ID": JSON(isFull ? sample.id : Identifier.short(sample.id)), "Container": JSON(sample.id),
            "Name": JSON(sample.name), "CPUPerc": JSON(Decimal.text(sample.cpu, 2) + "%"),
            "MemUsage": JSON("\(ByteSize.binary(sample.memory)) / \(ByteSize.binary(sample.memoryLimit))"),
            "MemPerc": JSON(Decimal.text(sample.memoryShare, 2) + "%"),
            "NetIO": JSON(
                "\(ByteSize.decimal(sample.received, digits: 3)) / \(ByteSize.decimal(sample.sent, digits: 3))"),
            "BlockIO": JSON(
                "\(ByteSize.decimal(sample.read, digits: 3)) / \(ByteSize.decimal(sample.written, digits: 3))"),
            "PIDs": JSON("\(sample.processes)"), "HostCPU": JSON(Decimal.text(sample.hostCPU, 2) + "%"),
            "HostMemory": JSON(ByteSize.binary(sample.hostMemory)),
        ]
    }
}
