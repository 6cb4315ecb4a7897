import Base
import Glibc
import Kernel
import OCI

extension ControlGroup {
    /// Sets the limits that `resources` names; others stay.
    func apply(_ resources: RuntimeResources, isNew: Bool = false) throws {
        if layout.limitsOnVersion1 {
            try applyVersion1(resources)
            if isNew { try applyDevices(resources.devices) }
        } else if let version2Path {
            try applyVersion2(resources, version2Path)
        }
        for (key, value) in resources.unified {
            guard let version2Path else { throw SkalaError(.unsupported, "'\(key)': this host has no cgroup v2") }
            try SmallFile.write(value, to: version2Path + "/" + key)
        }
    }

    private func set(_ controller: String, _ file: String, _ value: String?) throws {
        guard let value else { return }
        guard let directory = try make(controller) else {
            throw SkalaError(.unsupported, "this host has no \(controller) controller for \(file)")
        }
        try SmallFile.write(value, to: directory + "/" + file)
    }

    private func set(_ controller: String, _ file: String, _ value: Int64?) throws {
        try set(controller, file, value.map { String($0) })
    }

    private func applyVersion1(_ resources: RuntimeResources) throws {
        try set("cpu", "cpu.shares", resources.cpuShares)
        try set("cpu", "cpu.cfs_period_us", resources.cpuPeriod)
        try set("cpu", "cpu.cfs_quota_us", resources.cpuQuota)
        try set("cpuset", "cpuset.cpus", resources.cpus)
        try set("cpuset", "cpuset.mems", resources.mems)
        try applyMemory(resources)
        try set("memory", "memory.soft_limit_in_bytes", resources.memoryReservation)
        if let value = resources.memorySwappiness, (0...100).contains(value) {
            try set("memory", "memory.swappiness", value)
        }
        if let value = resources.disableOOMKiller { try set("memory", "memory.oom_control", value ? "1" : "0") }
        try set("pids", "pids.max", resources.pidsLimit.map { $0 < 0 ? "max" : String($0) })
        try set("blkio", "blkio.weight", resources.blockWeight)
        for (file, rates) in [
            ("blkio.throttle.read_bps_device", resources.readBytes),
            ("blkio.throttle.write_bps_device", resources.writeBytes),
            ("blkio.throttle.read_iops_device", resources.readOperations),
            ("blkio.throttle.write_iops_device", resources.writeOperations),
        ] {
            for rate in rates { try set("blkio", file, "\(rate.major):\(rate.minor) \(rate.value)") }
        }
        for page in resources.hugePages where layout.version1["hugetlb"] != nil {
            try set("hugetlb", "hugetlb.\(page.size).limit_in_bytes", page.limit)
        }
    }

    /// The limit of memory and swap together may never be below that of memory: raise it first, lower it last.
    private func applyMemory(_ resources: RuntimeResources) throws {
        let limit = resources.memoryLimit, swap = resources.memorySwap
        let swapFile = "memory.memsw.limit_in_bytes"
        // Kernels without swap accounting have no such file; then there is nothing to limit.
        let hasSwap = (paths["memory"].map { access($0 + "/" + swapFile, F_OK) } ?? -1) == 0
        guard hasSwap, let swap else { return try set("memory", "memory.limit_in_bytes", limit) }
        do {
            try set("memory", "memory.limit_in_bytes", limit)
            try set("memory", swapFile, swap)
        } catch {
            try set("memory", swapFile, swap)
            try set("memory", "memory.limit_in_bytes", limit)
        }
    }

    private func applyVersion2(_ resources: RuntimeResources, _ directory: String) throws {
        func set(_ file: String, _ value: String?) throws {
            if let value { try SmallFile.write(value, to: directory + "/" + file) }
        }
        func limit(_ value: Int64?) -> String? { value.map { $0 < 0 ? "max" : String($0) } }
        // Shares 2…262144 onto weights 1…10000, as the specification's conversion.
        try set("cpu.weight", resources.cpuShares.map { String(1 + (max(2, min($0, 262_144)) - 2) * 9999 / 262_142) })
        if resources.cpuQuota != nil || resources.cpuPeriod != nil {
            try set("cpu.max", "\(limit(resources.cpuQuota) ?? "max") \(resources.cpuPeriod ?? 100_000)")
        }
        try set("cpuset.cpus", resources.cpus)
        try set("cpuset.mems", resources.mems)
        try set("memory.max", limit(resources.memoryLimit))
        try set("memory.low", limit(resources.memoryReservation))
        if let swap = resources.memorySwap {
            let only = swap < 0 ? swap : max(0, swap - (resources.memoryLimit ?? 0))
            if access(directory + "/memory.swap.max", F_OK) == 0 { try set("memory.swap.max", limit(only)) }
        }
        try set("pids.max", limit(resources.pidsLimit))
        try set("io.weight", resources.blockWeight.map { "default \(1 + ($0 - 10) * 9999 / 990)" })
        for (key, rates) in [
            ("rbps", resources.readBytes), ("wbps", resources.writeBytes), ("riops", resources.readOperations),
            ("wiops", resources.writeOperations),
        ] {
            for rate in rates { try set("io.max", "\(rate.major):\(rate.minor) \(key)=\(rate.value)") }
        }
        for page in resources.hugePages { try set("hugetlb.\(page.size).max", limit(page.limit)) }
    }

    /// Denies all devices but those every container may use and those the spec allows.
    private func applyDevices(_ rules: [RuntimeResources.DeviceRule]) throws {
        guard let directory = paths["devices"] else { return }
        try SmallFile.write("a", to: directory + "/devices.deny")
        // mknod of anything; use of null, zero, full, random, urandom, tty, ptmx, terminals and the console.
        let standard = [
            "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm",
            "c 5:2 rwm", "c 136:* rwm",
        ]
        for rule in standard { try SmallFile.write(rule, to: directory + "/devices.allow") }
        for rule in rules {
            // "deny all" is where the list starts from.
            if !rule.allow, rule.type == "a", rule.major == nil { continue }
            let numbers = "\(rule.major.map { String($0) } ?? "*"):\(rule.minor.map { String($0) } ?? "*")"
            let line = rule.type == "a" ? "a" : "\(rule.type) \(numbers) \(rule.access)"
            try SmallFile.write(line, to: directory + (rule.allow ? "/devices.allow" : "/devices.deny"))
        }
    }
}
