import Base
import Client
import Kernel

/// `skala bench`: how long this engine takes on this host.
enum HostBench {
    static let command = Command(
        "bench", "Measure how long containers take from creation to removal here", "[OPTIONS] [IMAGE [COMMAND...]]",
        Command.atLeast(0), completes: .images, stopsAtArgument: true,
        options: [
            .value("runs", short: "n", "NUMBER", "Runs of each kind (default 30)"),
            .value("warmup", "NUMBER", "Runs before that which do not count (default 3)"),
            .value("format", "json", "Machine-readable", .words(["json", "table"])),
        ],
        examples: ["skala bench", "skala bench -n 100 --format json busybox true"]
    ) { call in
        let arguments = call.arguments
        let runs = try arguments.int("runs") ?? 30
        let warmup = try arguments.int("warmup") ?? 3
        guard (1...100_000).contains(runs), (0...100_000).contains(warmup) else {
            throw SkalaError(.invalid, "the number of runs is at least 1")
        }
        let image = arguments.positional.first ?? "busybox"
        let program = arguments.positional.count > 1 ? Array(arguments.positional.dropFirst()) : ["true"]
        var rows: [JSON] = []
        for network in ["none", "bridge"] {
            var measurement = ContainerMeasurement(
                client: call.client, image: image, command: program, network: network)
            for _ in 0..<warmup { try measurement.run() }
            measurement.forget()
            for _ in 0..<runs { try measurement.run() }
            rows += measurement.rows
        }
        if arguments["format"] == "json" {
            try call.output.line(JSON(rows).text)
            return 0
        }
        try call.output.list(
            rows.map { row in
                var text = row
                for key in ["median", "p95", "min", "max"] {
                    text[key] = JSON(Decimal.text(row[key].double ?? 0, 2) + " ms")
                }
                return text
            },
            [
                ("NETWORK", "network"), ("STEP", "step"), ("MEDIAN", "median"), ("P95", "p95"), ("MIN", "min"),
                ("MAX", "max"), ("RUNS", "runs"),
            ], format: nil)
        return 0
    }
}
