import Base
import Engine

extension MetricsPage {
    /// A running container that was measured, with the labels of its series.
    private struct Measured {
        let labels: MetricLabels
        let statistics: JSON
    }

    private static let serviceLabel = "com.docker.swarm.service.name"
    /// Interfaces told of a container, at most.
    private static let maximumInterfaces = 16

    private static func labels(_ record: ContainerRecord) -> MetricLabels {
        MetricLabels([
            "id": Identifier.short(record.id), "name": record.name,
            "service": record.config["Labels"][serviceLabel].string ?? "",
        ])
    }

    func writeContainers(_ text: inout MetricsText) {
        writeStates(&text)
        let measured = usage.containers.compactMap { usage in
            usage.statistics.map { Measured(labels: MetricsPage.labels(usage.record), statistics: $0) }
        }
        writeProcessor(&text, measured)
        writeMemory(&text, measured)
        writePressure(&text, measured)
        writeTraffic(&text, measured)
    }

    private func writeStates(_ text: inout MetricsText) {
        var counts: [String: Int64] = [:]
        for usage in usage.containers {
            counts["\(usage.record.state.status.rawValue) \(usage.record.isolation.rawValue)", default: 0] += 1
        }
        text.family("skala_containers", .gauge, "Containers by state and isolation.")
        for isolation in Isolation.allCases {
            for state in ["created", "running", "paused", "restarting", "removing", "exited", "dead"] {
                text.sample(
                    MetricLabels(["state": state, "isolation": isolation.rawValue]),
                    counts["\(state) \(isolation.rawValue)"] ?? 0)
            }
        }
        text.family(
            "skala_containers_unmeasured", .gauge, "Running containers that did not tell in time what they use.")
        text.value(Int64(usage.unmeasured))
        text.family("skala_container_info", .gauge, "A container that exists.")
        for usage in usage.containers {
            let record = usage.record
            let project = record.config["Labels"]["com.docker.stack.namespace"].string
            text.sample(
                MetricsPage.labels(record).with("image", record.imageName)
                    .with("isolation", record.isolation.rawValue).with("pod", record.podName)
                    .with("project", project ?? record.config["Labels"]["com.docker.compose.project"].string ?? ""), 1)
        }
        text.family("skala_container_running", .gauge, "1 while its process is there, paused or not.")
        for usage in usage.containers {
            text.sample(MetricsPage.labels(usage.record), usage.record.state.isAlive ? 1 : 0)
        }
        text.family("skala_container_restarts_total", .counter, "Restarts by its restart policy.")
        for usage in usage.containers { text.sample(MetricsPage.labels(usage.record), usage.record.restartCount) }
        text.family("skala_container_exit_code", .gauge, "With which its last process ended.")
        for usage in usage.containers where !usage.record.state.isAlive && usage.record.state.finishedAt != nil {
            text.sample(MetricsPage.labels(usage.record), usage.record.state.exitCode)
        }
        text.family("skala_container_healthy", .gauge, "1 when its health checks succeed; only where it has some.")
        for usage in usage.containers where usage.health != "none" {
            text.sample(MetricsPage.labels(usage.record), usage.health == "healthy" ? 1 : 0)
        }
        text.family("skala_container_start_time_seconds", .gauge, "When its process started, in Unix time.")
        for usage in usage.containers {
            guard let started = usage.record.state.startedAt, usage.record.state.isAlive else { continue }
            text.sample(MetricsPage.labels(usage.record), Double(started.nanoseconds) / 1e9)
        }
    }

    /// One sample of each container that tells `value`.
    private func each(
        _ text: inout MetricsText, _ measured: [Measured], _ name: String, _ kind: MetricsText.Kind, _ help: String,
        scale: Double = 1, _ value: (JSON) -> JSON
    ) {
        text.family(name, kind, help)
        for container in measured {
            guard let number = value(container.statistics).double else { continue }
            text.sample(container.labels, number * scale)
        }
    }

    private func writeProcessor(_ text: inout MetricsText, _ all: [Measured]) {
        let nano = 1e-9
        each(&text, all, "skala_container_cpu_seconds_total", .counter, "CPU time.", scale: nano) {
            $0["cpu_stats"]["cpu_usage"]["total_usage"]
        }
        each(
            &text, all, "skala_container_cpu_user_seconds_total", .counter, "Of that, outside the kernel.", scale: nano
        ) { $0["cpu_stats"]["cpu_usage"]["usage_in_usermode"] }
        each(
            &text, all, "skala_container_cpu_system_seconds_total", .counter, "Of that, in the kernel.", scale: nano
        ) { $0["cpu_stats"]["cpu_usage"]["usage_in_kernelmode"] }
        let throttling = { (json: JSON) in json["cpu_stats"]["throttling_data"] }
        each(&text, all, "skala_container_cpu_periods_total", .counter, "Periods of its CPU limit.") {
            throttling($0)["periods"]
        }
        each(
            &text, all, "skala_container_cpu_throttled_periods_total", .counter, "Of those, with its limit reached."
        ) { throttling($0)["throttled_periods"] }
        each(
            &text, all, "skala_container_cpu_throttled_seconds_total", .counter, "Time its limit made it wait.",
            scale: nano
        ) { throttling($0)["throttled_time"] }
        each(&text, all, "skala_container_processes", .gauge, "Processes and threads.") {
            $0["pids_stats"]["current"]
        }
    }

    private func writeMemory(_ text: inout MetricsText, _ all: [Measured]) {
        each(&text, all, "skala_container_memory_usage_bytes", .gauge, "Memory, cached files included.") {
            $0["memory_stats"]["usage"]
        }
        each(
            &text, all, "skala_container_memory_working_set_bytes", .gauge,
            "Memory without the cached files that can be dropped at once."
        ) { json in
            let memory = json["memory_stats"]
            let inactive = memory["stats"]["total_inactive_file"].int ?? memory["stats"]["inactive_file"].int ?? 0
            return memory["usage"].int.map { JSON(max(0, $0 - inactive)) } ?? .null
        }
        each(&text, all, "skala_container_memory_rss_bytes", .gauge, "Memory that is no file's.") {
            let memory = $0["memory_stats"]["stats"]
            return memory["total_rss"].isNull ? memory["anon"] : memory["total_rss"]
        }
        each(
            &text, all, "skala_container_memory_limit_bytes", .gauge,
            "Its limit; without one the memory of the host, or of its VM."
        ) { $0["memory_stats"]["limit"] }
        each(&text, all, "skala_container_memory_limit_hits_total", .counter, "How often its limit was reached.") {
            $0["memory_stats"]["failcnt"]
        }
        each(
            &text, all, "skala_container_oom_kills_total", .counter,
            "Processes that were killed for lack of memory since its start."
        ) { $0["oom_kills"] }
    }

    private func writePressure(_ text: inout MetricsText, _ all: [Measured]) {
        for (name, key, help) in [
            ("waiting", "some", "Time in which something in it waited"),
            ("stalled", "full", "Time in which everything in it waited"),
        ] {
            text.family(
                "skala_container_pressure_\(name)_seconds_total", .counter, help + " for CPU, memory or disk (PSI).")
            for container in all {
                for resource in ["cpu", "memory", "io"] {
                    let total = container.statistics["pressure"][resource][key]["total"]
                    guard let micros = total.double else { continue }
                    text.sample(container.labels.with("resource", resource), micros / 1e6)
                }
            }
        }
    }

    private func writeTraffic(_ text: inout MetricsText, _ all: [Measured]) {
        for (prefix, direction) in [("rx", "receive"), ("tx", "transmit")] {
            for unit in ["bytes", "packets", "errors", "dropped"] {
                let what = unit == "bytes" ? "Bytes" : unit == "packets" ? "Packets" : "Packets lost: \(unit)"
                text.family(
                    "skala_container_network_\(direction)_\(unit)_total", .counter,
                    "\(what), \(direction == "receive" ? "to it" : "from it").")
                for container in all {
                    let interfaces = container.statistics["networks"].object?.members ?? []
                    for (name, counters) in interfaces.prefix(MetricsPage.maximumInterfaces) {
                        guard let value = counters["\(prefix)_\(unit)"].int else { continue }
                        text.sample(container.labels.with("interface", name), value)
                    }
                }
            }
        }
        for operation in ["read", "write"] {
            each(
                &text, all, "skala_container_block_\(operation)_bytes_total", .counter,
                "Bytes of block devices, \(operation == "read" ? "read" : "written")."
            ) { MetricsPage.blockBytes($0["blkio_stats"], operation) }
        }
    }

    static func blockBytes(_ statistics: JSON, _ operation: String) -> JSON {
        let operations = statistics["io_service_bytes_recursive"].array ?? []
        return JSON(operations.filter { $0["op"].string == operation }.reduce(0) { $0 + ($1["value"].int ?? 0) })
    }

    // MARK: VMs

    /// What the host pays for VMs: of the control group that a VM's QEMU is in.
    func writeMachines(_ text: inout MetricsText) {
        var machines: [(labels: MetricLabels, host: JSON)] = []
        var seen: Set<String> = []
        for usage in usage.containers {
            let record = usage.record
            // A machine's own figures are those of its QEMU.
            guard record.isolation != .container, let statistics = usage.statistics else { continue }
            let host = record.isolation == .machine ? statistics : statistics["host"]
            let id = record.machineID.isEmpty ? record.id : record.machineID
            guard !host.isNull, seen.insert(id).inserted else { continue }
            machines.append(
                (
                    MetricLabels([
                        "vm": Identifier.short(id), "isolation": record.isolation.rawValue,
                        "name": record.isolation == .pod ? record.podName : record.name,
                    ]), host
                ))
        }
        text.family("skala_vms", .gauge, "VMs: those with containers, and those kept ready for one.")
        text.sample(MetricLabels(["state": "used"]), Int64(machines.count))
        text.sample(MetricLabels(["state": "spare"]), Int64(usage.spareMachines))
        text.family("skala_vm_host_cpu_seconds_total", .counter, "CPU time of the host that a VM has taken.")
        for (labels, host) in machines {
            text.sample(labels, (host["cpu_stats"]["cpu_usage"]["total_usage"].double ?? 0) / 1e9)
        }
        text.family("skala_vm_host_memory_bytes", .gauge, "Memory of the host that a VM has.")
        for (labels, host) in machines { text.sample(labels, host["memory_stats"]["usage"].int ?? 0) }
        for operation in ["read", "write"] {
            text.family(
                "skala_vm_host_block_\(operation)_bytes_total", .counter,
                "Bytes of the host's block devices that a VM has \(operation == "read" ? "read" : "written").")
            for (labels, host) in machines {
                text.sample(labels, MetricsPage.blockBytes(host["blkio_stats"], operation).int ?? 0)
            }
        }
    }
}
