import Base
import Engine
import Kernel
import Services

/// What there is to be told at one moment, and the page that tells it. The families and their order are always the same.
struct MetricsPage {
    /// The engine's facts that do not change.
    struct Facts {
        var version = ""
        var accelerator = ""
        var started = Timestamp(nanoseconds: 0)
    }

    var facts = Facts()
    var requests: [(route: RequestMetrics.Route, counts: RequestMetrics.Counts)] = []
    var connections = 0
    var events: [(type: String, action: String, count: Int64)] = []
    var images = 0
    var volumes = 0
    var networks = 0
    var usage = EngineUsage(containers: [], unmeasured: 0, spareMachines: 0)
    var services: [ServiceUsage] = []
    var isManager = false
    var process = ProcessUsage()

    func write(to text: inout MetricsText) {
        writeEngine(&text)
        writeRequests(&text)
        writeContainers(&text)
        writeMachines(&text)
        writeServices(&text)
        writeProcess(&text)
    }

    /// The last family: only then it is known.
    static func writeDuration(_ seconds: Double, to text: inout MetricsText) {
        text.family("skala_metrics_duration_seconds", .gauge, "How long it took to make this page.")
        text.value(seconds)
    }

    private func writeEngine(_ text: inout MetricsText) {
        text.family("skala_build_info", .gauge, "Version of the daemon and of the API it speaks.")
        text.sample(MetricLabels(["version": facts.version, "api_version": "\(APIVersion.current)"]), 1)
        text.family("skala_engine_info", .gauge, "The host as the engine sees it.")
        text.sample(
            MetricLabels([
                "kernel": HostFacts.kernelVersion, "os": HostFacts.operatingSystem,
                "architecture": HostFacts.architecture, "cgroup_version": HostFacts.limitsOnCgroupV1 ? "1" : "2",
                "accelerator": facts.accelerator,
            ]), 1)
        text.family("skala_engine_cpus", .gauge, "Processors of the host.")
        text.value(Int64(HostFacts.onlineCPUs))
        text.family("skala_engine_memory_bytes", .gauge, "Memory of the host.")
        text.value(HostFacts.memoryBytes)
        text.family("skala_engine_start_time_seconds", .gauge, "When the daemon started, in Unix time.")
        text.value(Double(facts.started.nanoseconds) / 1e9)
        text.family("skala_images", .gauge, "Images in the store.")
        text.value(Int64(images))
        text.family("skala_volumes", .gauge, "Volumes.")
        text.value(Int64(volumes))
        text.family("skala_networks", .gauge, "Networks, the standard ones included.")
        text.value(Int64(networks))
        text.family("skala_events_total", .counter, "Events since the daemon's start, by what and of what.")
        for event in events { text.sample(MetricLabels(["type": event.type, "action": event.action]), event.count) }
    }

    private func writeRequests(_ text: inout MetricsText) {
        text.family("skala_api_connections", .gauge, "Open connections to the API.")
        text.value(Int64(connections))
        text.family("skala_api_requests_total", .counter, "Requests answered, by route and status.")
        for (route, counts) in requests {
            let labels = MetricLabels(["method": route.method, "route": route.pattern])
            for (status, count) in counts.byStatus.sorted(by: { $0.key < $1.key }) {
                text.sample(labels.with("code", "\(status)"), count)
            }
        }
        text.family(
            "skala_api_request_duration_seconds", .histogram,
            "From a request's head to its answer; of one that streams, to the beginning of the stream.")
        for (route, counts) in requests {
            let labels = MetricLabels(["method": route.method, "route": route.pattern])
            var sum: Int64 = 0
            for (bound, count) in zip(RequestMetrics.bounds + [.infinity], counts.buckets) {
                sum += count
                text.sample(labels.with("le", MetricsText.text(bound)), sum, suffix: "_bucket")
            }
            text.sample(labels, counts.seconds, suffix: "_sum")
            text.sample(labels, sum, suffix: "_count")
        }
    }

    private func writeProcess(_ text: inout MetricsText) {
        text.family("process_cpu_seconds_total", .counter, "CPU time of the daemon.")
        text.value(process.cpuSeconds)
        text.family("process_resident_memory_bytes", .gauge, "Resident memory of the daemon.")
        text.value(process.residentBytes)
        text.family("process_virtual_memory_bytes", .gauge, "Virtual memory of the daemon.")
        text.value(process.virtualBytes)
        text.family("process_open_fds", .gauge, "Open file descriptors of the daemon.")
        text.value(process.openDescriptors)
        text.family("process_max_fds", .gauge, "As many file descriptors it may have.")
        text.value(process.maximumDescriptors)
        text.family("process_threads", .gauge, "Threads of the daemon.")
        text.value(process.threads)
        text.family("process_start_time_seconds", .gauge, "When the daemon started, in Unix time.")
        text.value(Double(facts.started.nanoseconds) / 1e9)
    }
}
