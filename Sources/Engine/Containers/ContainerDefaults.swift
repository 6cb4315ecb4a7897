import Base

/// The fields of the API's `ContainerConfig` and `HostConfig` with the values they have when the client sends none, in
/// the order `inspect` shows them.
enum ContainerDefaults {
    static let config: [(key: String, value: JSON)] = [
        ("Hostname", ""), ("Domainname", ""), ("User", ""), ("AttachStdin", false), ("AttachStdout", false),
        ("AttachStderr", false), ("ExposedPorts", .null), ("Tty", false), ("OpenStdin", false), ("StdinOnce", false),
        ("Env", []), ("Cmd", .null), ("Healthcheck", .null), ("ArgsEscaped", .null), ("Image", ""), ("Volumes", .null),
        ("WorkingDir", ""), ("Entrypoint", .null), ("NetworkDisabled", .null), ("MacAddress", .null),
        ("OnBuild", .null), ("Labels", [:]), ("StopSignal", .null), ("StopTimeout", .null), ("Shell", .null),
    ]

    static let hostConfig: [(key: String, value: JSON)] = [
        ("Binds", .null), ("ContainerIDFile", ""), ("LogConfig", ["Type": "json-file", "Config": [:]]),
        ("NetworkMode", "default"), ("PortBindings", [:]),
        ("RestartPolicy", ["Name": "no", "MaximumRetryCount": 0]), ("AutoRemove", false), ("VolumeDriver", ""),
        ("VolumesFrom", .null), ("ConsoleSize", [0, 0]), ("Annotations", .null), ("CapAdd", .null), ("CapDrop", .null),
        ("CgroupnsMode", "private"), ("Dns", []), ("DnsOptions", []), ("DnsSearch", []), ("ExtraHosts", .null),
        ("GroupAdd", .null), ("IpcMode", "private"), ("Cgroup", ""), ("Links", .null), ("OomScoreAdj", 0),
        ("PidMode", ""), ("Privileged", false), ("PublishAllPorts", false), ("ReadonlyRootfs", false),
        ("SecurityOpt", .null), ("StorageOpt", .null), ("Tmpfs", .null), ("UTSMode", ""), ("UsernsMode", ""),
        ("ShmSize", 67_108_864), ("Sysctls", .null), ("Runtime", "container"), ("Isolation", ""), ("CpuShares", 0),
        ("Memory", 0), ("NanoCpus", 0), ("CgroupParent", ""), ("BlkioWeight", 0), ("BlkioWeightDevice", []),
        ("BlkioDeviceReadBps", []), ("BlkioDeviceWriteBps", []), ("BlkioDeviceReadIOps", []),
        ("BlkioDeviceWriteIOps", []), ("CpuPeriod", 0), ("CpuQuota", 0), ("CpuRealtimePeriod", 0),
        ("CpuRealtimeRuntime", 0), ("CpusetCpus", ""), ("CpusetMems", ""), ("Devices", []),
        ("DeviceCgroupRules", .null), ("DeviceRequests", .null), ("MemoryReservation", 0), ("MemorySwap", 0),
        ("MemorySwappiness", .null), ("OomKillDisable", .null), ("PidsLimit", .null), ("Ulimits", []),
        ("CpuCount", 0), ("CpuPercent", 0), ("IOMaximumIOps", 0), ("IOMaximumBandwidth", 0), ("Mounts", .null),
        ("Init", .null), ("MaskedPaths", .null), ("ReadonlyPaths", .null),
    ]

    /// The document with every default filled in, in order; unknown fields of the client are dropped, as Docker does.
    static func complete(_ given: JSON, _ defaults: [(key: String, value: JSON)]) -> JSON {
        .object(
            JSONObject(
                defaults.map { field in
                    let value = given[field.key]
                    return (field.key, value.isNull ? field.value : value)
                }))
    }

    /// - Throws: `.invalid` naming the field and why it is refused.
    static func refuseUnsupported(_ host: JSON) throws(SkalaError) {
        try RefusedFields.check("HostConfig", host)
        if let mode = host["UsernsMode"].string, mode != "", mode != "host" {
            throw SkalaError(.invalid, "invalid userns mode: \(mode)")
        }
        if let driver = host["VolumeDriver"].string, driver != "", driver != "local" {
            throw SkalaError(.notFound, "error looking up volume plugin \(driver): plugin \"\(driver)\" not found")
        }
    }
}
