public import Base
import Kernel
import Networks

extension Container {
    /// The document of `GET /containers/{id}/stats`; `previous` is the one before, whose CPU figures become `precpu_stats`.
    public func stats(previous: JSON?) async throws -> JSON {
        var json: JSON = ["read": JSON(SystemClock.now().text)]
        json["preread"] = previous?["read"] ?? JSON(Timestamp.zeroText)
        guard record.state.isAlive else {
            json["pids_stats"] = [:]
            json["cpu_stats"] = ["cpu_usage": ["total_usage": 0]]
            json["precpu_stats"] = ["cpu_usage": ["total_usage": 0]]
            json["memory_stats"] = [:]
            json["name"] = JSON("/" + record.name)
            json["id"] = JSON(id)
            return json
        }
        var host = JSON.null
        if let machine { host = try await engine.warden.request("stats", ["id": JSON(machine.id)]) }
        // A paused VM cannot tell.
        let raw =
            host.isNull || record.state.status != .paused || record.isolation == .pod
            ? try await sandbox.request("stats", ["id": JSON(id)]) : host
        json["pids_stats"] = ["current": raw["pids"]["current"], "limit": raw["pids"]["limit"]]
        json["blkio_stats"] = ["io_service_bytes_recursive": ioBytes(raw["io"])]
        json["num_procs"] = 0
        json["storage_stats"] = [:]
        json["cpu_stats"] = cpuStatistics(raw["cpu"])
        json["precpu_stats"] =
            previous?["cpu_stats"] ?? ["cpu_usage": ["total_usage": 0], "throttling_data": [:]]
        json["memory_stats"] = [
            "usage": raw["memory"]["usage"], "stats": raw["memory"]["statistics"], "limit": memoryLimit(raw),
            "failcnt": JSON(raw["memory"]["failures"].int ?? 0),
        ]
        json["name"] = JSON("/" + record.name)
        json["id"] = JSON(id)
        json["networks"] = await networkStatistics()
        // Beyond Docker: pressure stall information of the container, for `skala top`, and how often it was out of memory.
        json["pressure"] = raw["pressure"]
        json["oom_kills"] = JSON(raw["memory"]["oomKills"].int ?? 0)
        if !host.isNull { json["host"] = hostStatistics(host) }
        return json
    }

    /// Beyond Docker: what a container in a VM costs the host, as the figures of QEMU's control group.
    private func hostStatistics(_ raw: JSON) -> JSON {
        [
            "cpu_stats": cpuStatistics(raw["cpu"]),
            "memory_stats": [
                "usage": raw["memory"]["usage"], "stats": raw["memory"]["statistics"],
                "limit": raw["memory"]["limit"],
            ],
            "pids_stats": ["current": raw["pids"]["current"], "limit": raw["pids"]["limit"]],
            "blkio_stats": ["io_service_bytes_recursive": ioBytes(raw["io"])], "pressure": raw["pressure"],
        ]
    }

    private func cpuStatistics(_ cpu: JSON) -> JSON {
        [
            "cpu_usage": [
                "total_usage": cpu["usage"], "usage_in_kernelmode": cpu["system"], "usage_in_usermode": cpu["user"],
            ],
            "system_cpu_usage": JSON(HostFacts.cpuNanoseconds()), "online_cpus": JSON(HostFacts.onlineCPUs),
            "throttling_data": [
                "periods": JSON(cpu["periods"].int ?? 0), "throttled_periods": JSON(cpu["throttledPeriods"].int ?? 0),
                "throttled_time": JSON(cpu["throttled"].int ?? 0),
            ],
        ]
    }

    /// Without a limit of its own a container may use all of the host's memory, or its VM's.
    private func memoryLimit(_ raw: JSON) -> JSON {
        let host = machine == nil ? HostFacts.memoryBytes : record.machineMemory
        guard let limit = raw["memory"]["limit"].int, limit > 0, limit < host else { return JSON(host) }
        return JSON(limit)
    }

    private func ioBytes(_ io: JSON) -> JSON {
        JSON(
            (io.array ?? []).flatMap { device -> [JSON] in
                let numbers = (device["device"].string ?? "").split(separator: ":").map { Int64($0) ?? 0 }
                return [("read", "readBytes"), ("write", "writeBytes")].map { operation, key in
                    [
                        "major": JSON(numbers.first ?? 0), "minor": JSON(numbers.last ?? 0), "op": JSON(operation),
                        "value": JSON(device[key].int ?? 0),
                    ]
                }
            })
    }

    private func networkStatistics() async -> JSON {
        var networks: JSON = [:]
        for counters in await engine.networks.counters(containerID: id) {
            networks[counters.interface] = [
                "rx_bytes": JSON(counters.receivedBytes), "rx_packets": JSON(counters.receivedPackets),
                "rx_errors": JSON(counters.receivedErrors), "rx_dropped": JSON(counters.receivedDropped),
                "tx_bytes": JSON(counters.sentBytes), "tx_packets": JSON(counters.sentPackets),
                "tx_errors": JSON(counters.sentErrors), "tx_dropped": JSON(counters.sentDropped),
            ]
        }
        return networks
    }
}
