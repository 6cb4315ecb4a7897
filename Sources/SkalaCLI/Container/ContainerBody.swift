import Base
import Client

/// The body of `POST /containers/create`, made of the options of `run` and `create`. What is not given is left out: the
/// engine's and the image's defaults hold.
struct ContainerBody {
    let arguments: Arguments
    /// What relative paths of the host are relative to.
    let directory: String
    let environment: (String) -> String?
    let readFile: (String) throws -> String

    /// - Throws: `SkalaError` `.invalid` naming the option's value.
    func make(image: String, command: [String], attached: Bool) throws -> JSON {
        var body: JSON = ["Image": JSON(image)]
        if !command.isEmpty { body["Cmd"] = JSON(command) }
        try addProcess(&body, attached: attached)
        try addHealth(&body)
        var host: JSON = ["NetworkMode": "default"]
        try addLifecycle(&host)
        try addResources(&host)
        try addSecurity(&host)
        try addStorage(&host, &body)
        try addNetwork(&host, &body)
        body["HostConfig"] = host
        return body
    }

    // MARK: helpers

    private func copy(_ names: [(option: String, member: String)], into json: inout JSON) {
        for (option, member) in names { if let value = arguments[option] { json[member] = JSON(value) } }
    }

    private func copyFlags(_ names: [(option: String, member: String)], into json: inout JSON) {
        for (option, member) in names where arguments.has(option) { json[member] = JSON(arguments.flag(option)) }
    }

    private func copyLists(_ names: [(option: String, member: String)], into json: inout JSON) {
        for (option, member) in names where arguments.has(option) { json[member] = JSON(arguments.list(option)) }
    }

    private func copyNumbers(_ names: [(option: String, member: String)], into json: inout JSON) throws {
        for (option, member) in names { if let value = try arguments.int(option) { json[member] = JSON(value) } }
    }

    private func lines(_ option: String) throws -> [String] {
        try arguments.list(option).flatMap { file in try KeyValue.lines(try readFile(file), file: file) }
    }

    // MARK: the process

    private func addProcess(_ body: inout JSON, attached: Bool) throws {
        copy(
            [
                ("hostname", "Hostname"), ("domainname", "Domainname"), ("user", "User"), ("workdir", "WorkingDir"),
                ("stop-signal", "StopSignal"), ("mac-address", "MacAddress"),
            ], into: &body)
        if let entrypoint = arguments["entrypoint"] { body["Entrypoint"] = JSON([entrypoint]) }
        let streams = arguments.list("attach").map { $0.lowercased() }
        let isInteractive = arguments.flag("interactive")
        body["Tty"] = JSON(arguments.flag("tty"))
        body["OpenStdin"] = JSON(isInteractive)
        // The input ends when the one client that was attached from the beginning leaves.
        body["StdinOnce"] = JSON(isInteractive && attached)
        body["AttachStdin"] = JSON(attached && isInteractive && (streams.isEmpty || streams.contains("stdin")))
        body["AttachStdout"] = JSON(attached && (streams.isEmpty || streams.contains("stdout")))
        body["AttachStderr"] = JSON(attached && (streams.isEmpty || streams.contains("stderr")))
        if let seconds = try arguments.int("stop-timeout") { body["StopTimeout"] = JSON(seconds) }
        let variables = KeyValue.environment(try lines("env-file") + arguments.list("env"), environment)
        if !variables.isEmpty { body["Env"] = JSON(variables) }
        let labels = try lines("label-file") + arguments.list("label")
        if !labels.isEmpty { body["Labels"] = KeyValue.object(labels) }
    }

    private func addHealth(_ body: inout JSON) throws {
        if arguments.flag("no-healthcheck") {
            body["Healthcheck"] = ["Test": ["NONE"]]
            return
        }
        var check: JSON = [:]
        if let command = arguments["health-cmd"] { check["Test"] = ["CMD-SHELL", JSON(command)] }
        for (option, member) in [
            ("health-interval", "Interval"), ("health-timeout", "Timeout"), ("health-start-period", "StartPeriod"),
            ("health-start-interval", "StartInterval"),
        ] {
            if let duration = try arguments.duration(option) { check[member] = JSON(duration) }
        }
        try copyNumbers([("health-retries", "Retries")], into: &check)
        if check != [:] { body["Healthcheck"] = check }
    }

    // MARK: how it lives

    private func addLifecycle(_ host: inout JSON) throws {
        copyFlags([("rm", "AutoRemove"), ("init", "Init")], into: &host)
        if let policy = arguments["restart"] { host["RestartPolicy"] = try ContainerBody.restartPolicy(policy) }
        if let isolation = arguments["isolation"] ?? arguments["runtime"] { host["Runtime"] = JSON(isolation) }
        var annotations = KeyValue.object(arguments.list("annotation"))
        if let allocation = arguments["allocation"] {
            guard ["dedicated", "shared", "best-effort"].contains(allocation) else {
                throw arguments.invalid("allocation", allocation, "expected dedicated, shared or best-effort")
            }
            annotations["skala.allocation"] = JSON(allocation)
        }
        if let pod = arguments["pod"] { annotations["skala.pod"] = JSON(pod) }
        if annotations != [:] { host["Annotations"] = annotations }
        if arguments.has("log-driver") || arguments.has("log-opt") {
            host["LogConfig"] = [
                "Type": JSON(arguments["log-driver"] ?? ""), "Config": KeyValue.object(arguments.list("log-opt")),
            ]
        }
    }

    /// `on-failure:3` and the like.
    static func restartPolicy(_ text: String) throws -> JSON {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let tries = parts.count == 2 ? Int64(parts[1]) : 0
        guard parts.count <= 2, ["no", "always", "unless-stopped", "on-failure"].contains(parts[0]), let tries,
            parts.count == 1 || parts[0] == "on-failure"
        else {
            throw SkalaError(
                .invalid, "invalid restart policy '\(text)': expected no, on-failure[:TRIES], always or unless-stopped")
        }
        return ["Name": JSON(String(parts[0])), "MaximumRetryCount": JSON(tries)]
    }

    // MARK: resources

    private func addResources(_ host: inout JSON) throws {
        try ContainerBody.addLimits(arguments, to: &host)
        for (option, member) in [("shm-size", "ShmSize")] {
            if let size = try arguments.bytes(option) { host[member] = JSON(size) }
        }
        try copyNumbers([("memory-swappiness", "MemorySwappiness"), ("oom-score-adj", "OomScoreAdj")], into: &host)
        copyFlags([("oom-kill-disable", "OomKillDisable")], into: &host)
        if arguments.has("ulimit") { host["Ulimits"] = JSON(try arguments.list("ulimit").map(ContainerBody.ulimit)) }
        for (option, member) in [
            ("device-read-bps", "BlkioDeviceReadBps"), ("device-write-bps", "BlkioDeviceWriteBps"),
            ("device-read-iops", "BlkioDeviceReadIOps"), ("device-write-iops", "BlkioDeviceWriteIOps"),
        ] where arguments.has(option) {
            host[member] = JSON(
                try arguments.list(option).map { text -> JSON in
                    guard let colon = text.lastIndex(of: ":") else {
                        throw arguments.invalid(option, text, "expected DEVICE:RATE")
                    }
                    return [
                        "Path": JSON(String(text[..<colon])),
                        "Rate": JSON(try ByteSize.parse(String(text[text.index(after: colon)...]))),
                    ]
                })
        }
    }

    /// The limits that `update` changes too.
    static func addLimits(_ arguments: Arguments, to host: inout JSON) throws {
        for (option, member) in [
            ("memory", "Memory"), ("memory-reservation", "MemoryReservation"), ("memory-swap", "MemorySwap"),
        ] {
            if let size = try arguments.bytes(option) { host[member] = JSON(size) }
        }
        for (option, member) in [
            ("cpu-shares", "CpuShares"), ("cpu-period", "CpuPeriod"), ("cpu-quota", "CpuQuota"),
            ("pids-limit", "PidsLimit"), ("blkio-weight", "BlkioWeight"),
        ] {
            if let value = try arguments.int(option) { host[member] = JSON(value) }
        }
        for (option, member) in [("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")] {
            if let value = arguments[option] { host[member] = JSON(value) }
        }
        if let cpus = try nanoCPUs(arguments) { host["NanoCpus"] = JSON(cpus) }
    }

    /// `--cpus` in the API's unit.
    static func nanoCPUs(_ arguments: Arguments) throws(SkalaError) -> Int64? {
        guard let text = arguments["cpus"] else { return nil }
        guard let cpus = Double(text), cpus > 0, cpus < 1e6 else {
            throw arguments.invalid("cpus", text, "expected a number such as 1.5")
        }
        return Int64((cpus * 1e9).rounded())
    }

    /// `nofile=1024:2048`, `core=-1`.
    static func ulimit(_ text: String) throws -> JSON {
        let (name, value) = KeyValue.split(text)
        let limits = value.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard (1...2).contains(limits.count), let soft = limits[0], let hard = limits[limits.count - 1] else {
            throw SkalaError(.invalid, "invalid ulimit '\(text)': expected NAME=SOFT[:HARD]")
        }
        return ["Name": JSON(name), "Soft": JSON(soft), "Hard": JSON(hard)]
    }

    // MARK: security

    private func addSecurity(_ host: inout JSON) throws {
        copyFlags([("privileged", "Privileged"), ("read-only", "ReadonlyRootfs")], into: &host)
        copyLists(
            [
                ("cap-add", "CapAdd"), ("cap-drop", "CapDrop"), ("group-add", "GroupAdd"),
                ("device-cgroup-rule", "DeviceCgroupRules"),
            ], into: &host)
        copy(
            [
                ("userns", "UsernsMode"), ("pid", "PidMode"), ("ipc", "IpcMode"), ("uts", "UTSMode"),
                ("cgroupns", "CgroupnsMode"), ("cgroup-parent", "CgroupParent"),
            ], into: &host)
        if arguments.has("sysctl") { host["Sysctls"] = KeyValue.object(arguments.list("sysctl")) }
        if arguments.has("device") { host["Devices"] = JSON(try arguments.list("device").map(ContainerBody.device)) }
        let options = try arguments.list("security-opt").map { option -> String in
            // The engine gets the profile itself: it may not see our files.
            guard option.hasPrefix("seccomp="), option != "seccomp=unconfined", option != "seccomp=builtin" else {
                return option
            }
            return "seccomp=" + (try readFile(String(option.dropFirst("seccomp=".count))))
        }
        if !options.isEmpty { host["SecurityOpt"] = JSON(options) }
    }

    /// `/dev/fuse`, `/dev/sda:/dev/xvda`, `/dev/sda:rwm`, `/dev/sda:/dev/xvda:r`.
    static func device(_ text: String) throws -> JSON {
        let fields = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        func arePermissions(_ text: String) -> Bool { !text.isEmpty && text.allSatisfy { "rwm".contains($0) } }
        var target = fields[0]
        var permissions = "rwm"
        if fields.count == 2, arePermissions(fields[1]) { permissions = fields[1] }
        if fields.count >= 2, !(fields.count == 2 && arePermissions(fields[1])) { target = fields[1] }
        if fields.count == 3 { permissions = fields[2] }
        guard fields.count <= 3, fields[0].hasPrefix("/"), target.hasPrefix("/"), arePermissions(permissions) else {
            throw SkalaError(.invalid, "invalid device '\(text)': expected /dev/HOST[:/dev/TARGET[:rwm]]")
        }
        return [
            "PathOnHost": JSON(fields[0]), "PathInContainer": JSON(target), "CgroupPermissions": JSON(permissions),
        ]
    }

    // MARK: storage

    private func addStorage(_ host: inout JSON, _ body: inout JSON) throws {
        var binds: [String] = []
        for text in arguments.list("volume") {
            switch try MountSpec.volume(text, directory: directory) {
            case .anonymous(let path): body["Volumes"][path] = [:]
            case .bind(let bind): binds.append(bind)
            }
        }
        if !binds.isEmpty { host["Binds"] = JSON(binds) }
        if arguments.has("mount") {
            host["Mounts"] = JSON(try arguments.list("mount").map { try MountSpec.mount($0, directory: directory) })
        }
        for text in arguments.list("tmpfs") {
            let (path, options) = MountSpec.tmpfs(text)
            host["Tmpfs"][path] = JSON(options)
        }
        copyLists([("volumes-from", "VolumesFrom")], into: &host)
        copy([("volume-driver", "VolumeDriver")], into: &host)
        if arguments.has("storage-opt") { host["StorageOpt"] = KeyValue.object(arguments.list("storage-opt")) }
    }

    // MARK: networks

    private func addNetwork(_ host: inout JSON, _ body: inout JSON) throws {
        let bindings = try PortSpec.bindings(arguments.list("publish"))
        for key in bindings.object?.keys ?? [] { body["ExposedPorts"][key] = [:] }
        if bindings != [:] { host["PortBindings"] = bindings }
        for text in arguments.list("expose") {
            for key in try PortSpec.keys(exposed: text) { body["ExposedPorts"][key] = [:] }
        }
        copyFlags([("publish-all", "PublishAllPorts")], into: &host)
        copyLists(
            [
                ("add-host", "ExtraHosts"), ("dns", "Dns"), ("dns-option", "DnsOptions"), ("dns-search", "DnsSearch"),
                ("link", "Links"),
            ], into: &host)
        let networks = try arguments.list("network").map(NetworkAttachment.init(parsing:))
        if let first = networks.first { host["NetworkMode"] = JSON(first.name) }
        var endpoints: JSON = [:]
        for (index, network) in networks.enumerated() {
            var endpoint = network.endpoint
            if index == 0 { try addEndpoint(&endpoint) }
            // A network without settings of its own is named by the mode already.
            if networks.count > 1 || endpoint != [:] { endpoints[network.name] = endpoint }
        }
        if networks.isEmpty {
            var endpoint: JSON = [:]
            try addEndpoint(&endpoint)
            if endpoint != [:] { endpoints["default"] = endpoint }
        }
        if endpoints != [:] { body["NetworkingConfig"] = ["EndpointsConfig": endpoints] }
    }

    /// The options that stand for the first network.
    private func addEndpoint(_ endpoint: inout JSON) throws {
        if arguments.has("network-alias") { endpoint["Aliases"] = JSON(arguments.list("network-alias")) }
        if let address = arguments["ip"] { endpoint["IPAMConfig"]["IPv4Address"] = JSON(address) }
        if let address = arguments["ip6"] { endpoint["IPAMConfig"]["IPv6Address"] = JSON(address) }
        copy([("mac-address", "MacAddress")], into: &endpoint)
    }
}
