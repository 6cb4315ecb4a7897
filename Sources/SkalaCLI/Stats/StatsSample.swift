import Base
import Client

/// What one container used, between two readings of its counters.
struct StatsSample {
    let id: String
    let name: String
    /// Per cent of one CPU: 200 is two CPUs full.
    let cpu: Double
    let memory: Int64
    /// What the host gives for it: of a container in a VM what its QEMU takes, otherwise the same.
    let hostCPU: Double
    let hostMemory: Int64
    let memoryLimit: Int64
    let processes: Int64
    let received: Int64
    let sent: Int64
    /// Bytes a second since the earlier reading.
    let receivedRate: Double
    let sentRate: Double
    let read: Int64
    let written: Int64
    /// Per cent of the last ten seconds that something waited for CPU, memory or I/O.
    let pressure: [Double?]

    /// - Parameters:
    ///   - document: the API's statistics.
    ///   - before: those of an earlier reading; without them what the document brings itself.
    init(_ document: JSON, before: JSON?) {
        id = document["id"].string ?? ""
        name = String((document["name"].string ?? "").drop { $0 == "/" })
        let earlier = before.map { $0["cpu_stats"] } ?? document["precpu_stats"]
        cpu = StatsSample.cpu(document["cpu_stats"], earlier)
        memory = StatsSample.memory(document["memory_stats"])
        let host = document["host"]
        hostCPU =
            host.isNull ? cpu : StatsSample.cpu(host["cpu_stats"], before.map { $0["host"]["cpu_stats"] } ?? .null)
        hostMemory = host.isNull ? memory : StatsSample.memory(host["memory_stats"])
        memoryLimit = document["memory_stats"]["limit"].int ?? 0
        processes = document["pids_stats"]["current"].int ?? 0
        received = StatsSample.networkBytes(document, "rx_bytes")
        sent = StatsSample.networkBytes(document, "tx_bytes")
        let seconds = before.map { StatsSample.seconds(from: $0["read"], to: document["read"]) } ?? 0
        func rate(_ now: Int64, _ key: String) -> Double {
            guard let before, seconds > 0 else { return 0 }
            // Less than before: it was started again.
            return max(0, Double(now - StatsSample.networkBytes(before, key)) / seconds)
        }
        (receivedRate, sentRate) = (rate(received, "rx_bytes"), rate(sent, "tx_bytes"))
        let operations = document["blkio_stats"]["io_service_bytes_recursive"].array ?? []
        func bytes(_ operation: String) -> Int64 {
            operations.filter { $0["op"].string?.lowercased() == operation }.reduce(0) { $0 + ($1["value"].int ?? 0) }
        }
        read = bytes("read")
        written = bytes("write")
        pressure = ["cpu", "memory", "io"].map { document["pressure"][$0]["some"]["average10"].double }
    }

    private static func networkBytes(_ document: JSON, _ key: String) -> Int64 {
        (document["networks"].object?.members ?? []).reduce(0) { $0 + ($1.value[key].int ?? 0) }
    }

    private static func seconds(from earlier: JSON, to later: JSON) -> Double {
        guard let from = try? Timestamp(parsing: earlier.plain), let to = try? Timestamp(parsing: later.plain) else {
            return 0  // an engine that tells no times
        }
        return Double(to.nanoseconds(since: from)) / 1e9
    }

    private static func cpu(_ now: JSON, _ before: JSON) -> Double {
        guard let used = now["cpu_usage"]["total_usage"].double, let whole = now["system_cpu_usage"].double,
            let usedBefore = before["cpu_usage"]["total_usage"].double,
            let wholeBefore = before["system_cpu_usage"].double, whole > wholeBefore, used > usedBefore
        else { return 0 }
        return (used - usedBefore) / (whole - wholeBefore) * (now["online_cpus"].double ?? 1) * 100
    }

    /// Pages of files that can be dropped at once are not counted, as docker does not.
    private static func memory(_ document: JSON) -> Int64 {
        let cache = document["stats"]["total_inactive_file"].int ?? document["stats"]["inactive_file"].int ?? 0
        let usage = document["usage"].int ?? 0
        return usage > cache ? usage - cache : usage
    }

    var memoryShare: Double { memoryLimit > 0 ? Double(memory) / Double(memoryLimit) * 100 : 0 }
}
