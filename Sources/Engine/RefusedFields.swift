public import Base

/// The fields of the API's requests that Skala does not do, with the reason. One that is set is refused, never ignored;
/// docs/api-coverage.md is made from this table.
public enum RefusedFields {
    public static let all: [(object: String, fields: [(key: String, reason: String)])] = [
        ("ContainerConfig", [("ArgsEscaped", "it exists on Windows only")]),
        (
            "HostConfig",
            [
                ("DeviceRequests", "device drivers such as GPUs' are not supported"),
                ("CpuRealtimePeriod", realTime), ("CpuRealtimeRuntime", realTime),
                ("KernelMemoryTCP", "the kernel no longer has this limit"),
                ("CpuCount", windows), ("CpuPercent", windows), ("IOMaximumIOps", windows),
                ("IOMaximumBandwidth", windows),
                ("Cgroup", "it is not supported"),
                ("BlkioWeightDevice", "weights per device are not supported; use blkio-weight"),
                ("Links", "links are replaced by user-defined networks, where containers find each other by name"),
            ]
        ),
        ("Mount", [("ImageOptions", "images cannot be mounted into containers")]),
        (
            "EndpointSettings",
            [
                ("Links", "links are replaced by user-defined networks, where containers find each other by name"),
                ("DriverOpts", "the bridge driver has no options for endpoints"),
                ("GwPriority", "the default route leads through the network that was connected first"),
            ]
        ),
        (
            "NetworkCreate",
            [
                ("Ingress", "the ingress network is swarm mode's"),
                ("ConfigOnly", "networks that only hold a configuration are not supported"),
                ("ConfigFrom", "networks that only hold a configuration are not supported"),
            ]
        ),
        (
            "ImageBuild",
            [
                ("remote", "building from a URL is not supported: send the context instead"),
                ("cachefrom", "builds use the cache of this engine only"),
                ("memory", noGroup), ("memswap", noGroup), ("cpushares", noGroup), ("cpusetcpus", noGroup),
                ("cpusetmems", noGroup), ("cpuperiod", noGroup), ("cpuquota", noGroup),
                ("cgroupparent", noGroup), ("shmsize", "the instructions of a build use the host's /dev/shm"),
                ("securityopt", "the daemon on this platform does not support setting security options on build"),
                ("outputs", buildKit), ("session", buildKit),
            ]
        ),
        (
            "BuildPrune",
            [
                ("keep-storage", wholeCache), ("reserved-space", wholeCache), ("max-used-space", wholeCache),
                ("min-free-space", wholeCache),
            ]
        ),
        (
            "SwarmInit",
            [
                ("ForceNewCluster", oneNode), ("DataPathAddr", oneNode), ("DataPathPort", oneNode),
                ("DefaultAddrPool", "networks choose their addresses as those outside of a swarm do"),
            ]
        ),
        ("SwarmSpec", [("Raft", oneNode), ("Dispatcher", oneNode), ("CAConfig", oneNode), ("TaskDefaults", logs)]),
        (
            "TaskSpec",
            [
                ("PluginSpec", "plugins are not supported"),
                ("NetworkAttachmentSpec", "containers are connected to networks by name"),
            ]
        ),
        (
            "SecretSpec",
            [("Driver", "secrets are kept by the engine itself"), ("Templating", noTemplates)]
        ),
        ("ConfigSpec", [("Templating", noTemplates)]),
        ("VolumeCreate", [("ClusterVolumeSpec", "cluster volumes are swarm mode's")]),
        (
            "ContainerUpdate",
            [
                ("CgroupParent", fixed),
                ("BlkioWeightDevice", "weights per device are not supported; use blkio-weight"),
                ("CpuRealtimePeriod", realTime), ("CpuRealtimeRuntime", realTime), ("Devices", fixed),
                ("DeviceRequests", fixed), ("KernelMemoryTCP", "the kernel no longer has this limit"),
                ("Init", fixed), ("Ulimits", fixed), ("CpuCount", windows), ("CpuPercent", windows),
                ("IOMaximumIOps", windows), ("IOMaximumBandwidth", windows),
            ]
        ),
    ]

    private static let noGroup = "the instructions of a build have no control group of their own"
    private static let buildKit = "it is BuildKit's: set DOCKER_BUILDKIT=0"
    private static let wholeCache = "the build cache is emptied as a whole"
    private static let oneNode = "the swarm has one node"
    private static let noTemplates = "the contents are put into tasks as they are"
    private static let logs = "the log driver is chosen for each service"
    private static let windows = "it exists on Windows only"
    private static let realTime = "real-time CPU scheduling is not supported"
    private static let fixed = "it cannot be changed on a container that exists"

    /// - Throws: `.invalid` naming the field and why it is refused.
    public static func check(_ object: String, _ body: JSON) throws(SkalaError) {
        for (key, reason) in all.first(where: { $0.object == object })?.fields ?? [] {
            let value = body[key]
            // The fields of `ConfigFrom` and its like may be there and empty.
            let isUnset =
                [.null, .int(0), .bool(false), "", [], [:]].contains(value)
                || value.object.map { $0.members.allSatisfy { ["", .null, .int(0), [:]].contains($0.value) } } ?? false
            guard isUnset else { throw SkalaError(.invalid, "\(object).\(key) is not supported: \(reason)") }
        }
    }
}
