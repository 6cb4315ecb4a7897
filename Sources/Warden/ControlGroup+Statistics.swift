import Base
import Kernel

extension ControlGroup {
    /// What the container uses: the answer of the `stats` operation. Times are nanoseconds, sizes bytes.
    func statistics() -> JSON {
        let own = layout.limitsOnVersion1
        var answer: JSON = [
            "cpu": own ? cpuVersion1() : cpuVersion2(), "memory": own ? memoryVersion1() : memoryVersion2(),
        ]
        let pids = paths["pids"] ?? version2Path ?? ""
        answer["pids"] = [
            "current": JSON(number(pids + "/pids.current") ?? 0), "limit": JSON(number(pids + "/pids.max") ?? 0),
        ]
        answer["io"] = own ? ioVersion1() : ioVersion2()
        answer["pressure"] = pressure()
        return answer
    }

    private func number(_ path: String) -> Int64? {
        guard let text = try? SmallFile.text(path) else { return nil }
        return Int64(text.filter { $0 != "\n" })
    }

    private func cpuVersion1() -> JSON {
        let directory = paths["cpuacct"] ?? ""
        // cpuacct.stat counts in ticks of 1/100 s.
        let ticks = ControlGroup.fields(directory + "/cpuacct.stat")
        var cpu: JSON = [
            "usage": JSON(number(directory + "/cpuacct.usage") ?? 0),
            "user": JSON((ticks["user"] ?? 0) * 10_000_000), "system": JSON((ticks["system"] ?? 0) * 10_000_000),
        ]
        let throttle = paths["cpu"].map { ControlGroup.fields($0 + "/cpu.stat") } ?? [:]
        cpu["periods"] = JSON(throttle["nr_periods"] ?? 0)
        cpu["throttledPeriods"] = JSON(throttle["nr_throttled"] ?? 0)
        cpu["throttled"] = JSON(throttle["throttled_time"] ?? 0)
        return cpu
    }

    private func cpuVersion2() -> JSON {
        let fields = ControlGroup.fields((version2Path ?? "") + "/cpu.stat")
        return [
            "usage": JSON((fields["usage_usec"] ?? 0) * 1000), "user": JSON((fields["user_usec"] ?? 0) * 1000),
            "system": JSON((fields["system_usec"] ?? 0) * 1000), "periods": JSON(fields["nr_periods"] ?? 0),
            "throttledPeriods": JSON(fields["nr_throttled"] ?? 0),
            "throttled": JSON((fields["throttled_usec"] ?? 0) * 1000),
        ]
    }

    private func memoryVersion1() -> JSON {
        let directory = paths["memory"] ?? ""
        // No limit reads as the largest multiple of a page.
        let limit = number(directory + "/memory.limit_in_bytes").flatMap { $0 > 1 << 62 ? nil : $0 }
        return [
            "usage": JSON(number(directory + "/memory.usage_in_bytes") ?? 0), "limit": JSON(limit ?? 0),
            "peak": JSON(number(directory + "/memory.max_usage_in_bytes") ?? 0),
            "failures": JSON(number(directory + "/memory.failcnt") ?? 0),
            "oomKills": JSON(oomKills), "statistics": statistics(directory + "/memory.stat"),
        ]
    }

    private func memoryVersion2() -> JSON {
        let directory = version2Path ?? ""
        return [
            "usage": JSON(number(directory + "/memory.current") ?? 0),
            "limit": JSON(number(directory + "/memory.max") ?? 0),
            "peak": JSON(number(directory + "/memory.peak") ?? 0),
            "failures": JSON(ControlGroup.fields(directory + "/memory.events")["max"] ?? 0),
            "oomKills": JSON(oomKills), "statistics": statistics(directory + "/memory.stat"),
        ]
    }

    private func statistics(_ path: String) -> JSON {
        .object(JSONObject(ControlGroup.fields(path).sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) }))
    }

    private func lines(_ path: String) -> [[Substring]] {
        ((try? SmallFile.text(path)) ?? "").split(separator: "\n").map { $0.split(separator: " ") }
    }

    private func ioVersion1() -> JSON {
        guard let directory = paths["blkio"] else { return .array([]) }
        var devices: [String: JSON] = [:]
        for (file, suffix) in [
            ("blkio.throttle.io_service_bytes", "Bytes"), ("blkio.throttle.io_serviced", "Operations"),
        ] {
            for fields in lines(directory + "/" + file) where fields.count == 3 {
                guard fields[1] == "Read" || fields[1] == "Write", let value = Int64(fields[2]) else { continue }
                devices[String(fields[0]), default: ["device": JSON(String(fields[0]))]][
                    fields[1].lowercased() + suffix] = JSON(value)
            }
        }
        return .array(devices.sorted { $0.key < $1.key }.map(\.value))
    }

    private func ioVersion2() -> JSON {
        let names = [
            "rbytes": "readBytes", "wbytes": "writeBytes", "rios": "readOperations", "wios": "writeOperations",
        ]
        let devices: [JSON] = lines((version2Path ?? "") + "/io.stat").compactMap { fields in
            guard let device = fields.first else { return nil }
            var entry: JSON = ["device": JSON(String(device))]
            for field in fields.dropFirst() {
                let parts = field.split(separator: "=")
                if parts.count == 2, let name = names[String(parts[0])], let value = Int64(parts[1]) {
                    entry[name] = JSON(value)
                }
            }
            return entry
        }
        return .array(devices)
    }

    /// Pressure stall totals in microseconds, and the averages of the last ten seconds in percent.
    private func pressure() -> JSON {
        var answer: JSON = .object(JSONObject())
        guard let version2Path else { return answer }
        for resource in ["cpu", "memory", "io"] {
            for fields in lines("\(version2Path)/\(resource).pressure") where fields.count == 5 {
                let average = fields[1].split(separator: "=").last.flatMap { Double($0) } ?? 0
                let total = fields[4].split(separator: "=").last.flatMap { Int64($0) } ?? 0
                answer[resource][String(fields[0])] = ["average10": JSON(average), "total": JSON(total)]
            }
        }
        return answer
    }
}
