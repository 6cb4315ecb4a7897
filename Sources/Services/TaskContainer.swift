import Base
import Planning

/// Makes the engine's create request of a task. Pure.
struct TaskContainer {
    enum Label {
        static let serviceID = "com.docker.swarm.service.id"
        static let serviceName = "com.docker.swarm.service.name"
        static let taskID = "com.docker.swarm.task.id"
        static let taskName = "com.docker.swarm.task.name"
        static let nodeID = "com.docker.swarm.node.id"
        static let task = "com.docker.swarm.task"
    }

    /// `web.1.x3k…`, as Docker names the containers of tasks.
    static func name(of task: TaskRecord, service: ServiceRecord) -> String {
        "\(service.name).\(task.slot == 0 ? task.nodeID : "\(task.slot)").\(task.id)"
    }

    let service: ServiceRecord
    let task: TaskRecord
    let node: NodeRecord
    /// By name, in the order of the task's networks.
    let networks: [(name: String, aliases: [String])]
    /// Secrets and configs, as elements of `HostConfig.Mounts`.
    let files: [JSON]

    /// The body of `POST /containers/create`.
    ///
    /// - Throws: `.invalid` and `.unsupported` naming the field.
    func body() throws(SkalaError) -> JSON {
        let spec = task.spec.container
        let template = TaskTemplate(service: service, task: task, node: node)
        try checkPrivileges(spec["Privileges"])
        var body: JSON = ["Image": spec["Image"]]
        for (key, target) in [
            ("Command", "Entrypoint"), ("Args", "Cmd"), ("Dir", "WorkingDir"), ("User", "User"), ("TTY", "Tty"),
            ("OpenStdin", "OpenStdin"), ("StopSignal", "StopSignal"),
        ] where !spec[key].isNull { body[target] = spec[key] }
        if !task.spec.healthcheck.isNull { body["Healthcheck"] = task.spec.healthcheck }
        if let hostname = spec["Hostname"].string { body["Hostname"] = JSON(try template.fill(hostname)) }
        if let grace = spec["StopGracePeriod"].int { body["StopTimeout"] = JSON((grace + 999_999_999) / 1_000_000_000) }
        var variables: [String] = []
        for variable in spec["Env"].strings ?? [] { variables.append(try template.fill(variable)) }
        body["Env"] = JSON(variables)
        var labels = task.spec.labels
        labels[Label.serviceID] = service.id
        labels[Label.serviceName] = service.name
        labels[Label.taskID] = task.id
        labels[Label.taskName] = TaskContainer.name(of: task, service: service)
        labels[Label.nodeID] = node.id
        labels[Label.task] = ""
        body["Labels"] = JSON(labels)
        body["HostConfig"] = try hostConfig(spec, template)
        var endpoints = JSONObject()
        for network in networks { endpoints[network.name] = ["Aliases": JSON(network.aliases)] }
        if !endpoints.isEmpty { body["NetworkingConfig"] = ["EndpointsConfig": .object(endpoints)] }
        publishPorts(&body)
        return body
    }

    private func hostConfig(_ spec: JSON, _ template: TaskTemplate) throws(SkalaError) -> JSON {
        var host = task.spec.hostConfig
        for (key, target) in [
            ("Groups", "GroupAdd"), ("ReadOnly", "ReadonlyRootfs"), ("OomScoreAdj", "OomScoreAdj"),
            ("Isolation", "Isolation"), ("Init", "Init"), ("Sysctls", "Sysctls"), ("CapabilityAdd", "CapAdd"),
            ("CapabilityDrop", "CapDrop"), ("Ulimits", "Ulimits"),
        ] where !spec[key].isNull { host[target] = spec[key] }
        let dns = spec["DNSConfig"]
        for (key, target) in [("Nameservers", "Dns"), ("Search", "DnsSearch"), ("Options", "DnsOptions")]
        where !dns[key].isNull { host[target] = dns[key] }
        if let hosts = spec["Hosts"].strings, !hosts.isEmpty {
            // Written as in /etc/hosts: the address, then names.
            host["ExtraHosts"] = JSON(
                hosts.flatMap { line in
                    let words = line.split(separator: " ").map(String.init)
                    return words.dropFirst().map { "\($0):\(words[0])" }
                })
        }
        var mounts = host["Mounts"].array ?? []
        for var mount in spec["Mounts"].array ?? [] {
            for key in ["Source", "Target"] {
                if let text = mount[key].string { mount[key] = JSON(try template.fill(text)) }
            }
            mounts.append(mount)
        }
        mounts += files
        if !mounts.isEmpty { host["Mounts"] = JSON(mounts) }
        limit(&host)
        var annotations = host["Annotations"].stringDictionary ?? [:]
        for (key, value) in [
            (TaskSpec.Label.allocation, task.spec.allocation), (TaskSpec.Label.pod, task.spec.pod),
            (TaskSpec.Label.tenant, task.spec.tenant),
        ] { annotations[key] = value ?? annotations[key] }
        if !annotations.isEmpty { host["Annotations"] = JSON(annotations) }
        if !task.spec.logDriver.isNull {
            host["LogConfig"] = ["Type": task.spec.logDriver["Name"], "Config": task.spec.logDriver["Options"]]
        }
        if spec["Privileges"]["NoNewPrivileges"].bool == true {
            host["SecurityOpt"] = JSON((host["SecurityOpt"].strings ?? []) + ["no-new-privileges"])
        }
        if let option = try seccomp(spec["Privileges"]["Seccomp"]) {
            host["SecurityOpt"] = JSON((host["SecurityOpt"].strings ?? []) + [option])
        }
        if let first = networks.first { host["NetworkMode"] = JSON(first.name) }
        // Who replaces a task that ended is its service.
        host["RestartPolicy"] = ["Name": "no"]
        host["AutoRemove"] = false
        return host
    }

    private func limit(_ host: inout JSON) {
        let (limits, reservations) = (task.spec.resources.limits, task.spec.resources.reservations)
        if limits.nanoCPUs != 0 { host["NanoCpus"] = JSON(limits.nanoCPUs) }
        if limits.memoryBytes != 0 { host["Memory"] = JSON(limits.memoryBytes) }
        if limits.pids != 0 { host["PidsLimit"] = JSON(limits.pids) }
        if reservations.memoryBytes != 0 { host["MemoryReservation"] = JSON(reservations.memoryBytes) }
        // Time is divided by weight, 1024 for each CPU that was reserved.
        if reservations.nanoCPUs != 0 { host["CpuShares"] = JSON(max(2, reservations.nanoCPUs * 1024 / 1_000_000_000)) }
    }

    private func publishPorts(_ body: inout JSON) {
        for port in service.spec.endpoint.ports {
            let key = "\(port.targetPort)/\(port.transport.rawValue)"
            body["ExposedPorts"][key] = [:]
            guard port.publishMode == .host else { continue }
            let binding: JSON = [
                "HostIp": "", "HostPort": JSON(port.publishedPort == 0 ? "" : "\(port.publishedPort)"),
            ]
            body["HostConfig"]["PortBindings"][key] = JSON(
                (body["HostConfig"]["PortBindings"][key].array ?? []) + [binding])
        }
    }

    private func checkPrivileges(_ privileges: JSON) throws(SkalaError) {
        if !privileges["CredentialSpec"].isNull {
            throw SkalaError(.unsupported, "Privileges.CredentialSpec is not supported: it exists on Windows only")
        }
        let label = privileges["SELinuxContext"]
        if !label.isNull, label["Disable"].bool != true {
            throw SkalaError(.unsupported, "Privileges.SELinuxContext is not supported: SELinux is not used")
        }
        if let mode = privileges["AppArmor"]["Mode"].string, mode != "default", mode != "disabled" {
            throw SkalaError(.invalid, "Privileges.AppArmor.Mode is default or disabled, not \(mode)")
        }
    }

    private func seccomp(_ json: JSON) throws(SkalaError) -> String? {
        switch json["Mode"].string ?? "" {
        case "", "default": return nil
        case "unconfined": return "seccomp=unconfined"
        case "custom":
            guard let bytes = json["Profile"].string.flatMap(Base64.decode) else {
                throw SkalaError(.invalid, "Privileges.Seccomp.Profile is not base64")
            }
            return "seccomp=" + String(decoding: bytes, as: UTF8.self)
        case let mode:
            throw SkalaError(.invalid, "Privileges.Seccomp.Mode is default, unconfined or custom, not \(mode)")
        }
    }
}
