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

/// The times of create, start, wait and remove, over and over.
struct ContainerMeasurement {
    let client: EngineClient
    let image: String
    let command: [String]
    let network: String
    /// Milliseconds of each run, by step.
    private var times: [(step: String, milliseconds: [Double])] = [
        ("create", []), ("start", []), ("wait", []), ("remove", []), ("all", []),
    ]

    init(client: EngineClient, image: String, command: [String], network: String) {
        self.client = client
        self.image = image
        self.command = command
        self.network = network
    }

    mutating func forget() { for index in times.indices { times[index].milliseconds = [] } }

    /// One container, from nothing to nothing.
    mutating func run() throws {
        var stamps = [SystemClock.monotonicNanoseconds()]
        let body: JSON = [
            "Image": JSON(image), "Cmd": JSON(command), "HostConfig": ["NetworkMode": JSON(network)],
        ]
        let created = try client.json(.post("/containers/create", body))
        guard let id = created["Id"].string else { throw SkalaError(.invalid, "the engine named no container") }
        stamps.append(SystemClock.monotonicNanoseconds())
        do {
            try client.json(.post(API.container(id, "/start")))
            stamps.append(SystemClock.monotonicNanoseconds())
            let answer = try client.json(.post(API.container(id, "/wait")))
            guard answer["StatusCode"] == 0 else {
                throw SkalaError(.system, "the container ended with status \(answer["StatusCode"].text)")
            }
            stamps.append(SystemClock.monotonicNanoseconds())
        } catch {
            // The first error is the one to show.
            _ = try? client.json(.delete(API.container(id), query: [("force", "1")]))
            throw error
        }
        try client.json(.delete(API.container(id)))
        stamps.append(SystemClock.monotonicNanoseconds())
        for index in 0..<4 { add(index, stamps[index + 1] - stamps[index]) }
        add(4, stamps[4] - stamps[0])
    }

    private mutating func add(_ index: Int, _ nanoseconds: Int64) {
        times[index].milliseconds.append(Double(nanoseconds) / 1e6)
    }

    var rows: [JSON] {
        times.map { step, milliseconds in
            let sorted = milliseconds.sorted()
            return [
                "network": JSON(network), "step": JSON(step), "median": JSON(Quantile.of(sorted, 0.5)),
                "p95": JSON(Quantile.of(sorted, 0.95)), "min": JSON(Quantile.of(sorted, 0)),
                "max": JSON(Quantile.of(sorted, 1)), "runs": JSON(sorted.count), "unit": "ms",
            ]
        }
    }
}

/// Quantiles of sorted values, linear between two neighbours.
enum Quantile {
    static func of(_ sorted: [Double], _ share: Double) -> Double {
        guard let last = sorted.last else { return 0 }
        let place = share * Double(sorted.count - 1)
        let low = Int(place)
        guard low + 1 < sorted.count else { return last }
        return sorted[low] + (sorted[low + 1] - sorted[low]) * (place - Double(low))
    }
}
