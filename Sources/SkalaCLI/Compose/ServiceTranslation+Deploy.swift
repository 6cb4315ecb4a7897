import Base
import YAML

extension ServiceTranslation {
    // MARK: how many, and where

    func mode(_ deploy: YAMLValue?) throws -> JSON {
        if let deploy {
            try deploy.allowOnly([
                "mode", "replicas", "labels", "resources", "restart_policy", "placement", "update_config",
                "rollback_config",
                "endpoint_mode",
            ])
        }
        let count = try value["scale"]?.integer(0...100_000) ?? deploy?["replicas"]?.integer(0...100_000)
        switch try deploy?["mode"]?.word(["replicated", "global", "replicated-job", "global-job"]) ?? "replicated" {
        case "global": return ["Global": [:]]
        case "global-job": return ["GlobalJob": [:]]
        case "replicated-job":
            return ["ReplicatedJob": ["MaxConcurrent": JSON(count ?? 1), "TotalCompletions": JSON(count ?? 1)]]
        default: return ["Replicated": ["Replicas": JSON(count ?? 1)]]
        }
    }

    func placement(_ deploy: YAMLValue?) throws -> JSON {
        var json: JSON = [:]
        if let platform = try value["platform"]?.string() {
            let parts = platform.split(separator: "/").map(String.init)
            json["Platforms"] = [["OS": JSON(parts[0]), "Architecture": JSON(parts.count > 1 ? parts[1] : "")]]
        }
        guard let placement = deploy?["placement"] else { return json }
        try placement.allowOnly(["constraints", "preferences", "max_replicas_per_node"])
        if let constraints = try placement["constraints"]?.strings() { json["Constraints"] = JSON(constraints) }
        if let most = try placement["max_replicas_per_node"]?.integer(0...100_000) { json["MaxReplicas"] = JSON(most) }
        if let preferences = placement["preferences"] {
            json["Preferences"] = JSON(
                try preferences.elements().map { preference -> JSON in
                    try preference.allowOnly(["spread"])
                    return ["Spread": ["SpreadDescriptor": JSON(try preference["spread"]?.string() ?? "")]]
                })
        }
        return json
    }

    func restart(_ deploy: YAMLValue?) throws -> JSON {
        var json: JSON = [:]
        if let policy = deploy?["restart_policy"] {
            try policy.allowOnly(["condition", "delay", "max_attempts", "window"])
            if let condition = try policy["condition"]?.word(["none", "on-failure", "any"]) {
                json["Condition"] = JSON(condition)
            }
            for (key, field) in [("delay", "Delay"), ("window", "Window")] {
                if let duration = try policy[key]?.duration() { json[field] = JSON(duration) }
            }
            if let attempts = try policy["max_attempts"]?.integer(0...1_000_000) {
                json["MaxAttempts"] = JSON(attempts)
            }
        } else if let restart = value["restart"] {
            let text = try restart.string()
            let parts = text.split(separator: ":").map(String.init)
            switch parts.first ?? "" {
            case "no", "false": json["Condition"] = "none"
            case "always", "unless-stopped", "true": json["Condition"] = "any"
            case "on-failure":
                json["Condition"] = "on-failure"
                if parts.count > 1 {
                    guard let attempts = Int64(parts[1]), attempts >= 0 else {
                        throw restart.fault("on-failure:TRIES is expected, not '\(text)'")
                    }
                    json["MaxAttempts"] = JSON(attempts)
                }
            default: throw restart.fault("no, always, unless-stopped or on-failure[:TRIES] is expected, not '\(text)'")
            }
        }
        return json
    }

    func rollout(_ value: YAMLValue) throws -> JSON {
        try value.allowOnly(["parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"])
        var json: JSON = [:]
        json["Parallelism"] = JSON(try value["parallelism"]?.integer(0...100_000) ?? 1)
        for (key, field) in [("delay", "Delay"), ("monitor", "Monitor")] {
            if let duration = try value[key]?.duration() { json[field] = JSON(duration) }
        }
        if let action = try value["failure_action"]?.word(["continue", "pause", "rollback"]) {
            json["FailureAction"] = JSON(action)
        }
        if let ratio = try value["max_failure_ratio"]?.number() { json["MaxFailureRatio"] = JSON(ratio) }
        if let order = try value["order"]?.word(["start-first", "stop-first"]) { json["Order"] = JSON(order) }
        return json
    }

    // MARK: how much

    func resources(_ deploy: YAMLValue?) throws -> JSON {
        var json: JSON = [:]
        if let resources = deploy?["resources"] {
            try resources.allowOnly(["limits", "reservations"])
            for (key, field) in [("limits", "Limits"), ("reservations", "Reservations")] {
                guard let amounts = resources[key] else { continue }
                try amounts.allowOnly(["cpus", "memory", "pids"])
                if let cpus = try amounts["cpus"]?.number() { json[field]["NanoCPUs"] = JSON(Int64(cpus * 1e9)) }
                if let memory = try amounts["memory"]?.bytes() { json[field]["MemoryBytes"] = JSON(memory) }
                if let pids = try amounts["pids"]?.integer(-1...Int64.max) { json[field]["Pids"] = JSON(pids) }
            }
        }
        // The older keys beside `deploy`, where that says nothing.
        if json["Limits"]["NanoCPUs"].isNull, let cpus = try value["cpus"]?.number() {
            json["Limits"]["NanoCPUs"] = JSON(Int64(cpus * 1e9))
        }
        for (key, field) in [("mem_limit", "Limits"), ("mem_reservation", "Reservations")] {
            if json[field]["MemoryBytes"].isNull, let memory = try value[key]?.bytes() {
                json[field]["MemoryBytes"] = JSON(memory)
            }
        }
        if json["Limits"]["Pids"].isNull, let pids = try value["pids_limit"]?.integer() {
            json["Limits"]["Pids"] = JSON(pids)
        }
        return json
    }

    /// Limits that only a `HostConfig` has.
    mutating func limits() throws {
        for (key, field) in [
            ("cpu_shares", "CpuShares"), ("cpu_quota", "CpuQuota"), ("cpu_period", "CpuPeriod"),
            ("mem_swappiness", "MemorySwappiness"),
        ] {
            if let number = try value[key]?.integer() { host[field] = JSON(number) }
        }
        if let list = try value["cpuset"]?.string() { host["CpusetCpus"] = JSON(list) }
        if let swap = value["memswap_limit"] {
            host["MemorySwap"] = JSON(try swap.string() == "-1" ? -1 : try swap.bytes())
        }
        if try value["oom_kill_disable"]?.flag() == true { host["OomKillDisable"] = true }
        guard let blkio = value["blkio_config"] else { return }
        try blkio.allowOnly([
            "weight", "device_read_bps", "device_write_bps", "device_read_iops", "device_write_iops",
        ])
        if let weight = try blkio["weight"]?.integer(0...1000) { host["BlkioWeight"] = JSON(weight) }
        for (key, field) in [
            ("device_read_bps", "BlkioDeviceReadBps"), ("device_write_bps", "BlkioDeviceWriteBps"),
            ("device_read_iops", "BlkioDeviceReadIOps"), ("device_write_iops", "BlkioDeviceWriteIOps"),
        ] {
            guard let rates = blkio[key] else { continue }
            host[field] = JSON(
                try rates.elements().map { rate -> JSON in
                    try rate.allowOnly(["path", "rate"])
                    return [
                        "Path": JSON(try rate["path"]?.string() ?? ""), "Rate": JSON(try rate["rate"]?.bytes() ?? 0),
                    ]
                })
        }
    }
}
