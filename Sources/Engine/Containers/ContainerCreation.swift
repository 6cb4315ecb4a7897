import Base
import Images
import Kernel

/// Checks a create request and completes it from the image: pure but for the volumes it names.
struct ContainerCreation {
    let body: JSON
    let image: Image
    let id: String

    /// The record of the new container, without mounts.
    func record(name: String, imageName: String) throws(SkalaError) -> ContainerRecord {
        let given = body["HostConfig"]
        try RefusedFields.check("ContainerConfig", body)
        let isMachine = [given["Runtime"].string, given["Isolation"].string].contains(Isolation.machine.rawValue)
        if isMachine { try DiskMachineLimits.check(body) }
        try ContainerDefaults.refuseUnsupported(given)
        for member in body["NetworkingConfig"]["EndpointsConfig"].object?.members ?? [] {
            try RefusedFields.check("EndpointSettings", member.value)
        }
        var config = ContainerDefaults.complete(body, ContainerDefaults.config)
        mergeImage(into: &config)
        if isMachine {
            // What an image says of programs and folders means nothing to a disk; a console is always there to type at.
            for key in ["Cmd", "Entrypoint", "Volumes", "Healthcheck", "StopSignal"] { config[key] = .null }
            for key in ["User", "WorkingDir"] { config[key] = "" }
            config["Env"] = JSON(body["Env"].strings ?? [])
            config["OpenStdin"] = true
            config["StdinOnce"] = false
        }
        config = dropNulls(config)
        var host = ContainerDefaults.complete(given, ContainerDefaults.hostConfig)
        try normalize(&host)
        guard isMachine || !(config["Entrypoint"].strings ?? []).isEmpty || !(config["Cmd"].strings ?? []).isEmpty
        else {
            throw SkalaError(.invalid, "no command specified")
        }
        try check(config, host)
        if (config["Hostname"].string ?? "").isEmpty { config["Hostname"] = JSON(Identifier.short(id)) }
        return ContainerRecord(
            id: id, name: name, created: SystemClock.now(), imageID: image.id, imageName: imageName, config: config,
            hostConfig: host, networks: networks(host), mounts: [])
    }

    private func mergeImage(into config: inout JSON) {
        let base = image.configuration
        // A given entrypoint drops the image's command, as the command would be meant for the image's entrypoint.
        if config["Entrypoint"].isNull {
            if config["Cmd"].isNull { config["Cmd"] = base.command.map { JSON($0) } ?? .null }
            config["Entrypoint"] = base.entrypoint.map { JSON($0) } ?? .null
        } else if config["Entrypoint"].strings == [""] || config["Entrypoint"].strings == [] {
            config["Entrypoint"] = .null
        }
        var variables = config["Env"].strings ?? []
        let names = Set(variables.map { $0.prefix { $0 != "=" } })
        variables = base.environment.filter { !names.contains($0.prefix { $0 != "=" }) } + variables
        config["Env"] = JSON(variables)
        if (config["User"].string ?? "").isEmpty { config["User"] = JSON(base.user) }
        if (config["WorkingDir"].string ?? "").isEmpty { config["WorkingDir"] = JSON(base.workingDirectory) }
        if config["StopSignal"].isNull, let signal = base.stopSignal { config["StopSignal"] = JSON(signal) }
        config["Healthcheck"] = merged(check: config["Healthcheck"], over: base.healthcheck)
        if config["Shell"].isNull, let shell = base.shell { config["Shell"] = JSON(shell) }
        for port in base.exposedPorts where config["ExposedPorts"][port].isNull { config["ExposedPorts"][port] = [:] }
        for volume in base.volumes where config["Volumes"][volume].isNull { config["Volumes"][volume] = [:] }
        var labels = config["Labels"]
        for (key, value) in base.labels.sorted(by: { $0.key < $1.key }) where labels[key].isNull {
            labels[key] = JSON(value)
        }
        config["Labels"] = labels
    }

    /// What the user left out of a health check is the image's.
    private func merged(check given: JSON, over base: JSON) -> JSON {
        guard given.object != nil, base.object != nil else { return given.isNull ? base : given }
        var merged: JSON = [:]
        for key in ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"] {
            let isUnset = [.null, [], .int(0)].contains(given[key])
            let value = isUnset ? base[key] : given[key]
            if !value.isNull { merged[key] = value }
        }
        return merged
    }

    /// Optional fields of the API's document are left out while unset; the others show null.
    private func dropNulls(_ config: JSON) -> JSON {
        let always: Set = ["Cmd", "Entrypoint", "Volumes", "OnBuild"]
        let members = (config.object?.members ?? []).filter { !$0.value.isNull || always.contains($0.key) }
        return .object(JSONObject(members))
    }

    private func normalize(_ host: inout JSON) throws(SkalaError) {
        for key in ["CapAdd", "CapDrop"] {
            guard let names = host[key].strings else { continue }
            var normalized: [JSON] = []
            for name in names { normalized.append(JSON(try ContainerCapabilities.normalize(name))) }
            host[key] = JSON(normalized)
        }
        if host["Runtime"] == "machine" || host["Isolation"] == "machine", host["Memory"] == .int(0) {
            host["Memory"] = JSON(DiskMachineLimits.defaultMemory)
        }
        if ["", "default"].contains(host["NetworkMode"].string ?? "") { host["NetworkMode"] = "bridge" }
        if body["NetworkDisabled"].bool == true { host["NetworkMode"] = "none" }
        if (host["LogConfig"]["Type"].string ?? "").isEmpty {
            host["LogConfig"] = [
                "Type": "json-file", "Config": host["LogConfig"]["Config"].object.map { .object($0) } ?? [:],
            ]
        }
        if (host["RestartPolicy"]["Name"].string ?? "").isEmpty {
            host["RestartPolicy"] = ["Name": "no", "MaximumRetryCount": 0]
        }
        for (key, value) in [
            ("ShmSize", JSON(67_108_864)), ("IpcMode", "private"), ("CgroupnsMode", "private"),
            ("Runtime", "container"),
        ]
        where host[key] == .int(0) || host[key] == "" { host[key] = value }
        // Who names a pod or a tenant, and no isolation, wants to be in that VM.
        if (body["HostConfig"]["Runtime"].string ?? "").isEmpty, PodName.isAsked(by: host) { host["Runtime"] = "pod" }
        if ["runc", "io.containerd.runc.v2", "default"].contains(host["Runtime"].string ?? "") {
            host["Runtime"] = "container"
        }
        // Both say how it is kept apart; Docker's names for a plain container are ours too.
        if let isolation = host["Isolation"].string, !["", "default", "process"].contains(isolation) {
            host["Runtime"] = JSON(isolation)
        }
        if host["Privileged"].bool != true, host["MaskedPaths"].isNull {
            host["MaskedPaths"] = JSON(ContainerSpec.maskedPaths)
            host["ReadonlyPaths"] = JSON(ContainerSpec.readonlyPaths)
        }
    }

    private func check(_ config: JSON, _ host: JSON) throws(SkalaError) {
        try RestartPolicy.validate(host["RestartPolicy"])
        try CgroupParent.check(host["CgroupParent"].string ?? "")
        _ = try Allocation(host)
        _ = try ContainerResources.networkRate(host)
        if host["AutoRemove"].bool == true, host["RestartPolicy"]["Name"].string != "no" {
            throw SkalaError(.invalid, "can't create 'AutoRemove' container with restart policy")
        }
        let runtime = host["Runtime"].string ?? ""
        guard let isolation = Isolation(rawValue: runtime) else {
            let known = Isolation.allCases.map(\.rawValue).joined(separator: ", ")
            let what =
                host["Isolation"].string == runtime
                ? "isolation \(runtime) is not available" : "unknown or invalid runtime name: \(runtime)"
            throw SkalaError(.invalid, "\(what): the isolations are \(known)")
        }
        try MachineLimits.checkAnnotations(host, hasMachine: isolation == .microvm)
        if isolation != .machine { try MachineLimits.checkStorage(host, hasDisk: isolation == .microvm) }
        if isolation == .machine { _ = try DiskMachineLimits.diskSize(host) }
        if isolation.hasOwnWarden { try MachineLimits.check(config, host, isolation) }
        if isolation != .pod, PodName.isAsked(by: host) {
            throw SkalaError(
                .invalid,
                "the annotations \(PodName.annotation) and \(PodName.tenantAnnotation) choose a VM that containers share: "
                    + "they need isolation pod, not \(isolation.rawValue)")
        }
        if let memory = host["Memory"].int, memory != 0, memory < 6 << 20 {
            throw SkalaError(.invalid, "Minimum memory limit allowed is 6MB")
        }
        if let swap = host["MemorySwap"].int, swap > 0, let memory = host["Memory"].int, swap < memory {
            throw SkalaError(.invalid, "Minimum memoryswap limit should be larger than memory limit, see usage")
        }
        if let nano = host["NanoCpus"].int, nano != 0 {
            if nano < 0 { throw SkalaError(.invalid, "invalid CPU limit: \(nano)") }
            if host["CpuQuota"].int ?? 0 > 0 {
                throw SkalaError(.invalid, "Conflicting options: Nano CPUs and CPU Period cannot both be set")
            }
        }
        if !["json-file", "none", "local"].contains(host["LogConfig"]["Type"].string ?? "") {
            let name = host["LogConfig"]["Type"].string ?? ""
            throw SkalaError(.invalid, "logger: no log driver named '\(name)' is registered")
        }
        for option in host["SecurityOpt"].strings ?? [] {
            let name = option.prefix { $0 != "=" && $0 != ":" }
            guard ["seccomp", "no-new-privileges", "label", "apparmor", "systempaths"].contains(name) else {
                throw SkalaError(.invalid, "invalid --security-opt 2: \"\(option)\"")
            }
            // Neither module is used: a profile that would do nothing is refused.
            let value = option.dropFirst(name.count + 1)
            if name == "apparmor" && value != "unconfined" || name == "label" && value != "disable" {
                throw SkalaError(.invalid, "--security-opt \(option): AppArmor and SELinux are not supported")
            }
            if option.hasPrefix("seccomp="), !["unconfined", "builtin", "default"].contains(option.dropFirst(8)) {
                _ = try JSON(parsing: String(option.dropFirst(8)))
            }
        }
        if let signal = config["StopSignal"].string { _ = try Signal.parse(signal) }
        let directory = config["WorkingDir"].string ?? ""
        guard directory.isEmpty || directory.hasPrefix("/") else {
            throw SkalaError(
                .invalid, "the working directory '\(directory)' is invalid, it needs to be an absolute path")
        }
        _ = try PortBindings.published(hostConfig: host, config: config)
    }

    /// The networks to connect, the one of the network mode first.
    private func networks(_ host: JSON) -> JSONObject {
        let mode = host["NetworkMode"].string ?? "bridge"
        guard mode != "host", mode != "none", !mode.hasPrefix("container:") else { return JSONObject() }
        let given = body["NetworkingConfig"]["EndpointsConfig"]
        let alternative = mode == "bridge" ? given["default"] : .null
        var first = given[mode].isNull ? alternative : given[mode]
        if first.isNull { first = [:] }
        if first["MacAddress"].string ?? "" == "", let mac = body["MacAddress"].string, !mac.isEmpty {
            first["MacAddress"] = JSON(mac)
        }
        var networks = JSONObject([(mode, first)])
        for member in given.object?.members ?? [] where member.key != mode && member.key != "default" {
            networks[member.key] = member.value.isNull ? [:] : member.value
        }
        return networks
    }
}
