import Base
import CLinux
import Glibc
import Kernel
import OCI

extension RuntimeCommand {
    func list(_ local: RuntimeArguments) throws {
        let states = loadAll()
        if local.has("quiet") { return states.forEach { print($0.id) } }
        let descriptions = try states.map { try $0.description() }
        switch local["format"] ?? "table" {
        case "json": print(JSON(descriptions).text)
        case "table":
            let rows = descriptions.map { entry in
                ["id", "pid", "status", "bundle", "created", "owner"].map { entry[$0].string ?? entry[$0].text }
            }
            RuntimeCommand.printTable([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]] + rows)
        case let format: throw SkalaError(.invalid, "unknown format '\(format)'")
        }
    }

    /// Columns as wide as their widest cell, three spaces apart.
    private static func printTable(_ rows: [[String]]) {
        let widths = (0..<(rows.first?.count ?? 0)).map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count + 3) }
            print(cells.joined().reversed().drop { $0 == " " }.reversed().map { String($0) }.joined())
        }
    }

    func processes(_ local: RuntimeArguments) throws {
        let pids = try load(local).cgroup().processes()
        switch local["format"] ?? "table" {
        case "json": print(JSON(pids.map { JSON($0) }).text)
        case "table":
            let words = Array(local.rest.dropFirst())
            let text = try Subprocess.output(["/bin/ps"] + (words.isEmpty ? ["-ef"] : words), limit: 16 << 20)
            let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
            guard let column = lines.first?.firstIndex(of: "PID") else {
                throw SkalaError(.invalid, "ps \(words.joined(separator: " ")) shows no PID")
            }
            let wanted = Set(pids.map { String($0) })
            for (number, line) in text.split(separator: "\n").enumerated()
            where number == 0 || lines[number].count > column && wanted.contains(String(lines[number][column])) {
                print(line)
            }
        case let format: throw SkalaError(.invalid, "unknown format '\(format)'")
        }
    }

    func update(_ local: RuntimeArguments) throws {
        let state = try load(local)
        var resources: JSON = .object(JSONObject())
        if let path = local["resources"] {
            resources = try JSON(parsing: try SmallFile.read(path == "-" ? "/dev/stdin" : path))
        }
        for option in ["l3-cache-schema", "mem-bw-schema"] where local[option] != nil {
            throw SkalaError(.unsupported, "--\(option): Intel RDT is not supported")
        }
        for (option, group, key) in [
            ("memory", "memory", "limit"), ("memory-reservation", "memory", "reservation"),
            ("memory-swap", "memory", "swap"), ("kernel-memory-tcp", "memory", "kernelTCP"),
            ("cpu-quota", "cpu", "quota"), ("cpu-period", "cpu", "period"), ("cpu-burst", "cpu", "burst"),
            ("cpu-share", "cpu", "shares"), ("cpu-idle", "cpu", "idle"), ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
            ("cpu-rt-period", "cpu", "realtimePeriod"), ("pids-limit", "pids", "limit"),
            ("blkio-weight", "blockIO", "weight"),
        ] {
            guard let text = local[option] else { continue }
            resources[group][key] = JSON(try Int64(text) ?? ByteSize.parse(text))
        }
        for (option, key) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
            if let text = local[option] { resources["cpu"][key] = JSON(text) }
        }
        let status = try state.status()
        guard status != "stopped" else { throw SkalaError(.conflict, "container \(state.id) is stopped") }
        try state.cgroup().apply(try RuntimeResources(resources))
    }

    /// Prints statistics every few seconds, and each out-of-memory kill within a second, until the container ends.
    func events(_ local: RuntimeArguments) throws {
        let state = try load(local)
        let group = try state.cgroup()
        func print(_ type: String, _ data: JSON?) {
            var event: JSON = ["type": JSON(type), "id": JSON(state.id)]
            if let data { event["data"] = data }
            StandardStreams.output(event.text + "\n")
        }
        guard state.isAlive else { throw SkalaError(.conflict, "container \(state.id) is not running") }
        if local.has("stats") { return print("stats", RuntimeCommand.eventData(group.statistics())) }
        let text = local["interval"] ?? "5s"
        guard let interval = Int(text.hasSuffix("s") ? text.dropLast() : text[...]), interval > 0 else {
            throw SkalaError(.invalid, "invalid --interval '\(text)'")
        }
        let pidfd = OwnedDescriptor(try check(cl_pidfd_open(state.pid, 0), "pidfd_open", "container \(state.id)"))
        var kills = group.oomKills
        for second in 0... {
            if second % interval == 0 { print("stats", RuntimeCommand.eventData(group.statistics())) }
            var poller = pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)
            let ended = poll(&poller, 1, 1000) == 1
            let now = group.oomKills
            if now > kills { print("oom", nil) }
            kills = now
            if ended { return }
        }
    }

    /// Our statistics under the names runc gives them.
    private static func eventData(_ own: JSON) -> JSON {
        let cpu = own["cpu"], memory = own["memory"]
        return [
            "cpu": [
                "usage": ["total": cpu["usage"], "kernel": cpu["system"], "user": cpu["user"]],
                "throttling": [
                    "periods": cpu["periods"], "throttledPeriods": cpu["throttledPeriods"],
                    "throttledTime": cpu["throttled"],
                ],
            ],
            "memory": [
                "usage": [
                    "limit": memory["limit"], "usage": memory["usage"], "max": memory["peak"],
                    "failcnt": memory["failures"],
                ],
                "raw": memory["statistics"],
            ],
            "pids": own["pids"], "io": own["io"], "pressure": own["pressure"],
        ]
    }
}
