import Base
import Client
import Kernel

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
