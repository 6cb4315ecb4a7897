import Base
import Kernel
import Load

/// What keeps a neighbour busy from the host while a victim is measured.
final class BackgroundLoad {
    private var requests: LoadRun?
    private var client: (any Instance)?

    /// The requests of a load, up to a quarter of an hour.
    init(_ load: RequestLoad, address: String) throws {
        let profile = LoadProfile(
            load.rate != nil ? .rate : .concurrency, constant: load.rate ?? load.users ?? 1, duration: 900_000_000_000)
        requests = try LoadRun(
            LoadPlan(targets: [try LoadTarget(parsing: load.url(address))], profile: profile))
    }

    /// A client's script, over and over.
    init(script: String, target: String, image: String, bench: Bench) throws {
        var spec = InstanceSpec(image: image, allocation: .shared, role: "client")
        spec.environment = ["TARGET=\(target)", "DURATION=60"]
        spec.program = "while :; do \(script)\ndone"
        client = try bench.instance(spec, isolation: .process)
    }

    func stop() {
        requests?.stop()
        client?.remove()
    }
}
