import Base
import CLinux
import Glibc
import Kernel
import OCI

extension ControlGroup {
    /// Sets the limits that `resources` names; others stay.
    func apply(_ resources: RuntimeResources, isNew: Bool = false) throws {
        if resources.checkBeforeUpdate { try checkUsage(resources) }
        if layout.limitsOnVersion1 {
            try applyVersion1(resources)
        } else if let version2Path {
            try applyVersion2(resources, version2Path)
        }
        if isNew || !resources.devices.isEmpty { try applyDevices(resources.devices) }
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
        try set("cpu", "cpu.idle", resources.cpuIdle)
        try set("cpu", "cpu.cfs_period_us", resources.cpuPeriod)
        try set("cpu", "cpu.cfs_quota_us", resources.cpuQuota)
        try set("cpu", "cpu.cfs_burst_us", resources.cpuBurst)
        try set("cpu", "cpu.rt_period_us", resources.realtimePeriod)
        try set("cpu", "cpu.rt_runtime_us", resources.realtimeRuntime)
        try set("cpuset", "cpuset.cpus", resources.cpus)
        try set("cpuset", "cpuset.mems", resources.mems)
        try applyMemory(resources)
        try set("memory", "memory.soft_limit_in_bytes", resources.memoryReservation)
        try set("memory", "memory.kmem.tcp.limit_in_bytes", resources.kernelMemoryTCP)
        if let value = resources.memorySwappiness, (0...100).contains(value) {
            try set("memory", "memory.swappiness", value)
        }
        if let value = resources.disableOOMKiller { try set("memory", "memory.oom_control", value ? "1" : "0") }
        try set("pids", "pids.max", resources.pidsLimit.map { $0 < 0 ? "max" : String($0) })
        if let weight = resources.blockWeight { try set("blkio", blockFile("weight"), weight) }
        if let weight = resources.leafWeight { try set("blkio", blockFile("leaf_weight"), weight) }
        for (file, rates) in [
            ("blkio.throttle.read_bps_device", resources.readBytes),
            ("blkio.throttle.write_bps_device", resources.writeBytes),
            ("blkio.throttle.read_iops_device", resources.readOperations),
            ("blkio.throttle.write_iops_device", resources.writeOperations),
        ] {
            for rate in rates { try set("blkio", file, "\(rate.major):\(rate.minor) \(rate.value)") }
        }
        for (name, weights) in [
            ("weight_device", resources.deviceWeights), ("leaf_weight_device", resources.deviceLeafWeights),
        ] {
            for entry in weights { try set("blkio", blockFile(name), "\(entry.major):\(entry.minor) \(entry.value)") }
        }
        for page in resources.hugePages where layout.version1["hugetlb"] != nil {
            try set("hugetlb", "hugetlb.\(page.size).limit_in_bytes", page.limit)
        }
        try set("net_cls", "net_cls.classid", resources.networkClass)
        for entry in resources.networkPriorities {
            try set("net_prio", "net_prio.ifpriomap", "\(entry.name) \(entry.priority)")
        }
        for line in resources.rdma { try set("rdma", "rdma.max", line) }
    }

    /// The proportional-weight files carry the name of the scheduler that has them since Linux 5.0.
    private func blockFile(_ name: String) -> String {
        let directory = layout.version1["blkio"] ?? ""
        return access(directory + "/blkio.bfq." + name, F_OK) == 0 ? "blkio.bfq." + name : "blkio." + name
    }

    /// A limit below what is used would have processes killed.
    private func checkUsage(_ resources: RuntimeResources) throws(SkalaError) {
        let file = paths["memory"].map { $0 + "/memory.usage_in_bytes" } ?? (version2Path ?? "") + "/memory.current"
        guard let limit = resources.memoryLimit, limit >= 0,
            let usage = (try? SmallFile.text(file)).flatMap({ Int64($0.filter { $0 != "\n" }) }), usage > limit
        else { return }
        throw SkalaError(.conflict, "memory.limit \(limit) is less than the \(usage) bytes in use")
    }

    /// The limit of memory and swap together may never be below that of memory: raise it first, lower it last.
    private func applyMemory(_ resources: RuntimeResources) throws {
        let limit = resources.memoryLimit, swap = resources.memorySwap
        let swapFile = "memory.memsw.limit_in_bytes"
        // Kernels without swap accounting have no such file; then there is nothing to limit.
        guard let swap, let directory = paths["memory"], access(directory + "/" + swapFile, F_OK) == 0 else {
            return try set("memory", "memory.limit_in_bytes", limit)
        }
        do {
            try set("memory", "memory.limit_in_bytes", limit)
            try set("memory", swapFile, swap)
        } catch {
            try set("memory", swapFile, swap)
            try set("memory", "memory.limit_in_bytes", limit)
        }
    }

    /// What version 2 has no file for is refused.
    private func checkVersion2(_ resources: RuntimeResources) throws(SkalaError) {
        let missing: [(String, Bool)] = [
            ("cpu.realtimeRuntime", resources.realtimeRuntime != nil),
            ("cpu.realtimePeriod", resources.realtimePeriod != nil),
            ("memory.kernelTCP", resources.kernelMemoryTCP != nil),
            ("memory.disableOOMKiller", resources.disableOOMKiller == true),
            ("blockIO.leafWeight", resources.leafWeight != nil || !resources.deviceLeafWeights.isEmpty),
            ("network", resources.networkClass != nil || !resources.networkPriorities.isEmpty),
        ]
        if let (name, _) = missing.first(where: \.1) {
            throw SkalaError(.unsupported, "linux.resources.\(name): cgroup v2 has no such limit")
        }
    }

    private func applyVersion2(_ resources: RuntimeResources, _ directory: String) throws {
        try checkVersion2(resources)
        func set(_ file: String, _ value: String?) throws {
            if let value { try SmallFile.write(value, to: directory + "/" + file) }
        }
        func limit(_ value: Int64?) -> String? { value.map { $0 < 0 ? "max" : String($0) } }
        // Shares 2…262144 onto weights 1…10000, as the specification's conversion.
        try set("cpu.weight", resources.cpuShares.map { String(1 + (max(2, min($0, 262_144)) - 2) * 9999 / 262_142) })
        if resources.cpuQuota != nil || resources.cpuPeriod != nil {
            try set("cpu.max", "\(limit(resources.cpuQuota) ?? "max") \(resources.cpuPeriod ?? 100_000)")
        }
        try set("cpu.idle", resources.cpuIdle.map { String($0) })
        try set("cpu.max.burst", resources.cpuBurst.map { String($0) })
        try set("cpuset.cpus", resources.cpus)
        try set("cpuset.mems", resources.mems)
        try set("memory.max", limit(resources.memoryLimit))
        try set("memory.low", limit(resources.memoryReservation))
        if let swap = resources.memorySwap {
            let only = swap < 0 ? swap : max(0, swap - (resources.memoryLimit ?? 0))
            if access(directory + "/memory.swap.max", F_OK) == 0 { try set("memory.swap.max", limit(only)) }
        }
        try set("pids.max", limit(resources.pidsLimit))
        let weights = access(directory + "/io.bfq.weight", F_OK) == 0 ? "io.bfq.weight" : "io.weight"
        func weight(_ value: Int64) -> Int64 { weights == "io.weight" ? 1 + (value - 10) * 9999 / 990 : value }
        try set(weights, resources.blockWeight.map { "default \(weight($0))" })
        for rate in resources.deviceWeights { try set(weights, "\(rate.major):\(rate.minor) \(weight(rate.value))") }
        for (key, rates) in [
            ("rbps", resources.readBytes), ("wbps", resources.writeBytes), ("riops", resources.readOperations),
            ("wiops", resources.writeOperations),
        ] {
            for rate in rates { try set("io.max", "\(rate.major):\(rate.minor) \(key)=\(rate.value)") }
        }
        for page in resources.hugePages { try set("hugetlb.\(page.size).max", limit(page.limit)) }
        for line in resources.rdma { try set("rdma.max", line) }
    }

    /// What every container may do: mknod of anything; use null, zero, full, random, urandom, tty, ptmx, terminals.
    private static let standardDevices: [RuntimeResources.DeviceRule] =
        ["c", "b"].map { .init(allow: true, type: $0, major: nil, minor: nil, access: "m") }
        + [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)].map {
            .init(allow: true, type: "c", major: $0, minor: $1, access: "rwm")
        } + [.init(allow: true, type: "c", major: 136, minor: nil, access: "rwm")]

    /// Denies all devices but those every container may use and those the spec allows.
    private func applyDevices(_ rules: [RuntimeResources.DeviceRule]) throws {
        // "deny all" is where the list starts from.
        let wanted = ControlGroup.standardDevices + rules.filter { $0.allow || $0.type != "a" || $0.major != nil }
        if layout.limitsOnVersion1, layout.version1["devices"] != nil {
            try set("devices", "devices.deny", "a")
            // Each write is a rule.
            let directory = try make("devices") ?? ""
            let files = try ["allow", "deny"].map { try OwnedDescriptor.open(directory + "/devices." + $0, O_WRONLY) }
            for rule in wanted {
                let numbers = "\(rule.major.map { String($0) } ?? "*"):\(rule.minor.map { String($0) } ?? "*")"
                var line = rule.type == "a" ? "a" : "\(rule.type) \(numbers) \(rule.access)"
                let result = line.withUTF8 { write(files[rule.allow ? 0 : 1].raw, $0.baseAddress, $0.count) }
                try checkErrno(result, "write '\(line)' to", directory + "/devices." + (rule.allow ? "allow" : "deny"))
            }
        } else if let version2Path {
            let directory = try OwnedDescriptor.open(version2Path, O_RDONLY | CL_O_DIRECTORY)
            let program = DeviceFilter(wanted).program
            let result = cl_set_device_filter(directory.raw, program, UInt32(program.count / 8))
            // Without the right to load programs a warden in an unprivileged container still has its own filter above.
            if result != -EPERM { try check(result, "attach the device filter to", version2Path) }
        }
    }
}
