import Base

/// From the API's resource fields (`HostConfig`, and the body of `update`) to `linux.resources` of the OCI runtime
/// specification.
enum ContainerResources {
    /// - Parameter defaultPidsLimit: used where the user gave none; nil leaves it out (update).
    static func spec(_ host: JSON, defaultPidsLimit: Int64?) -> JSON {
        var resources: JSON = [:]
        let cpu = cpu(host)
        if !cpu.isEmpty { resources["cpu"] = .object(cpu) }
        let memory = memory(host)
        if !memory.isEmpty { resources["memory"] = .object(memory) }
        if let limit = host["PidsLimit"].int, limit != 0 {
            resources["pids"] = ["limit": JSON(limit)]
        } else if let defaultPidsLimit {
            resources["pids"] = ["limit": JSON(defaultPidsLimit)]
        }
        let blockIO = blockIO(host)
        if !blockIO.isEmpty { resources["blockIO"] = .object(blockIO) }
        let rules = (host["DeviceCgroupRules"].strings ?? []).compactMap(deviceRule)
        if !rules.isEmpty { resources["devices"] = JSON(rules) }
        return resources
    }

    /// The annotation `skala.network.rate`: bytes a second of each network interface in each direction, as `10mb`.
    ///
    /// - Throws: `.invalid` naming the value.
    static func networkRate(_ host: JSON) throws(SkalaError) -> Int64? {
        guard let text = host["Annotations"]["skala.network.rate"].string else { return nil }
        let rate = try ByteSize.parse(text)
        guard rate >= 1024 else {
            throw SkalaError(.invalid, "invalid annotation skala.network.rate=\(text): at least 1k (bytes a second)")
        }
        return rate
    }

    private static func positive(_ json: JSON) -> JSON? {
        guard let value = json.int, value > 0 else { return nil }
        return JSON(value)
    }

    private static func cpu(_ host: JSON) -> JSONObject {
        var cpu = JSONObject()
        cpu["shares"] = positive(host["CpuShares"])
        if let nano = host["NanoCpus"].int, nano > 0 {
            cpu["period"] = 100_000
            cpu["quota"] = JSON(nano / 10_000)
        } else {
            cpu["period"] = positive(host["CpuPeriod"])
            cpu["quota"] = host["CpuQuota"].int.flatMap { $0 == 0 ? nil : JSON($0) }
        }
        for (key, field) in [("cpus", "CpusetCpus"), ("mems", "CpusetMems")] {
            if let text = host[field].string, !text.isEmpty { cpu[key] = JSON(text) }
        }
        return cpu
    }

    private static func memory(_ host: JSON) -> JSONObject {
        var memory = JSONObject()
        memory["limit"] = positive(host["Memory"])
        memory["reservation"] = positive(host["MemoryReservation"])
        if let swap = host["MemorySwap"].int, swap != 0 {
            memory["swap"] = JSON(swap)
        } else if let limit = host["Memory"].int, limit > 0 {
            // Docker's default: as much swap again as memory.
            memory["swap"] = JSON(limit.multipliedReportingOverflow(by: 2).overflow ? -1 : limit * 2)
        }
        if let swappiness = host["MemorySwappiness"].int, swappiness >= 0 { memory["swappiness"] = JSON(swappiness) }
        if host["OomKillDisable"].bool == true { memory["disableOOMKiller"] = true }
        return memory
    }

    private static func blockIO(_ host: JSON) -> JSONObject {
        var blockIO = JSONObject()
        blockIO["weight"] = positive(host["BlkioWeight"])
        let throttles = [
            ("throttleReadBpsDevice", "BlkioDeviceReadBps"), ("throttleWriteBpsDevice", "BlkioDeviceWriteBps"),
            ("throttleReadIOPSDevice", "BlkioDeviceReadIOps"), ("throttleWriteIOPSDevice", "BlkioDeviceWriteIOps"),
        ]
        for (key, field) in throttles {
            let devices = (host[field].array ?? []).compactMap { device -> JSON? in
                guard let node = HostDevice.look(device["Path"].string ?? "") else { return nil }
                return ["major": JSON(node.major), "minor": JSON(node.minor), "rate": device["Rate"]]
            }
            if !devices.isEmpty { blockIO[key] = JSON(devices) }
        }
        return blockIO
    }

    /// `c 42:* rmw`.
    private static func deviceRule(_ text: String) -> JSON? {
        let parts = text.split(separator: " ")
        guard parts.count == 3 else { return nil }
        let numbers = parts[1].split(separator: ":")
        guard numbers.count == 2 else { return nil }
        var rule: JSON = ["allow": true, "type": JSON(String(parts[0])), "access": JSON(String(parts[2]))]
        if let major = Int64(numbers[0]) { rule["major"] = JSON(major) }
        if let minor = Int64(numbers[1]) { rule["minor"] = JSON(minor) }
        return rule
    }
}
