import Base
import Kernel
import Planning
import YAML

/// Turns one service of a Compose file into the API's `ServiceSpec`. What the API's `ContainerSpec` has no field for goes into
/// the label that the engine reads as fields of a `HostConfig`.
struct ServiceTranslation {
    let key: String
    let value: YAMLValue
    let image: String
    let surroundings: ComposeService.Surroundings
    var container: JSON = [:]
    var host: JSON = [:]
    var labels: JSON = [:]
    var serviceLabels: JSON = [:]
    var networkKeys: [String] = []
    var warnings: [String] = []

    init(_ key: String, _ value: YAMLValue, image: String, _ surroundings: ComposeService.Surroundings) {
        self.key = key
        self.value = value
        self.image = image
        self.surroundings = surroundings
    }

    mutating func spec() throws -> JSON {
        container["Image"] = JSON(image)
        serviceLabels[ComposeProject.label] = JSON(surroundings.project)
        labels[ComposeProject.label] = JSON(surroundings.project)
        try process()
        try kernelSettings()
        try names()
        try health()
        try mounts()
        try files()
        try security()
        try limits()
        try extension_()
        let deploy = value["deploy"]
        var task: JSON = ["Networks": try networks()]
        task["Resources"] = try resources(deploy)
        task["RestartPolicy"] = try restart(deploy)
        task["Placement"] = try placement(deploy)
        if let logging = value["logging"] {
            try logging.allowOnly(["driver", "options"])
            var options: JSON = [:]
            for (key, text) in try logging["options"]?.pairs() ?? [] { options[key] = JSON(text ?? "") }
            task["LogDriver"] = ["Name": JSON(try logging["driver"]?.string() ?? "json-file"), "Options": options]
        }
        var spec: JSON = ["Name": JSON("\(surroundings.project)_\(key)")]
        spec["Mode"] = try mode(deploy)
        spec["EndpointSpec"] = try endpoint(deploy)
        if let update = deploy?["update_config"] { spec["UpdateConfig"] = try rollout(update) }
        if let rollback = deploy?["rollback_config"] { spec["RollbackConfig"] = try rollout(rollback) }
        for (name, text) in try deploy?["labels"]?.pairs() ?? [] { serviceLabels[name] = JSON(text ?? "") }
        if host.object?.keys.isEmpty == false { labels["skala.host-config"] = JSON(host.text) }
        container["Labels"] = labels
        task["ContainerSpec"] = container
        spec["Labels"] = serviceLabels
        spec["TaskTemplate"] = task
        return spec
    }

    // MARK: the process

    private mutating func process() throws {
        // As Compose has it, a text is split as a shell would, and no shell runs it.
        if let command = value["command"] { container["Args"] = JSON(try words(command)) }
        if let entrypoint = value["entrypoint"] { container["Command"] = JSON(try words(entrypoint)) }
        var variables: [(String, String)] = []
        for file in try environmentFiles() {
            let text: String
            do { text = try ComposeFile.text(file.path) } catch let error as SkalaError {
                if !file.isRequired { continue }
                throw error
            }
            variables += try EnvironmentFile.parse(text, name: file.path, outer: surroundings.file.variables.value)
                .map { ($0.name, $0.value) }
        }
        for (name, text) in try value["environment"]?.pairs() ?? [] {
            // Without a value ours is passed on.
            guard let text = text ?? surroundings.file.variables.value(name) else { continue }
            variables.append((name, text))
        }
        var seen: [String: Int] = [:]
        var environment: [String] = []
        for (name, text) in variables {
            if let index = seen[name] {
                environment[index] = "\(name)=\(text)"
            } else {
                seen[name] = environment.count
                environment.append("\(name)=\(text)")
            }
        }
        if !environment.isEmpty { container["Env"] = JSON(environment) }
        for (key, field) in [("user", "User"), ("working_dir", "Dir"), ("stop_signal", "StopSignal")] {
            if let text = try value[key]?.string() { container[field] = JSON(text) }
        }
        if let groups = try value["group_add"]?.strings() { container["Groups"] = JSON(groups) }
        if let grace = try value["stop_grace_period"]?.duration() { container["StopGracePeriod"] = JSON(grace) }
        for (key, field) in [("tty", "TTY"), ("stdin_open", "OpenStdin"), ("read_only", "ReadOnly"), ("init", "Init")] {
            if let flag = try value[key]?.flag() { container[field] = JSON(flag) }
        }
        for (name, text) in try value["labels"]?.pairs() ?? [] { labels[name] = JSON(text ?? "") }
        if let name = try value["container_name"]?.string() {
            warnings.append(
                "service \(key): the tasks of a service are named by it; '\(name)' is another name of it on its networks"
            )
        }
    }

    private func environmentFiles() throws -> [(path: String, isRequired: Bool)] {
        guard let files = value["env_file"] else { return [] }
        return try (files.isList ? files.elements() : [files]).map { file in
            guard file.isMapping else {
                return (ComposeFile.absolute(try file.string(), surroundings.file.directory), true)
            }
            try file.allowOnly(["path", "required", "format"])
            guard let path = try file["path"]?.string() else { throw file.fault("a path is needed") }
            return (ComposeFile.absolute(path, surroundings.file.directory), try file["required"]?.flag() ?? true)
        }
    }

    private func words(_ value: YAMLValue) throws -> [String] {
        if value.isList { return try value.strings() }
        do { return try ShellWords.split(try value.string()) } catch { throw value.fault(error.message) }
    }

    private mutating func kernelSettings() throws {
        for (name, text) in try value["sysctls"]?.pairs() ?? [] { container["Sysctls"][name] = JSON(text ?? "") }
        for (key, field) in [("cap_add", "CapabilityAdd"), ("cap_drop", "CapabilityDrop")] {
            if let names = try value[key]?.strings() { container[field] = JSON(names) }
        }
        if let ulimits = value["ulimits"] {
            container["Ulimits"] = JSON(
                try ulimits.entries().map { name, limit -> JSON in
                    if limit.isMapping { try limit.allowOnly(["soft", "hard"]) }
                    let soft = try limit.isMapping ? limit["soft"]?.integer() : limit.integer()
                    let hard = try limit.isMapping ? limit["hard"]?.integer() : limit.integer()
                    guard let soft, let hard else { throw limit.fault("soft and hard are needed") }
                    return ["Name": JSON(name), "Soft": JSON(soft), "Hard": JSON(hard)]
                })
        }
        for (key, field) in [
            ("pid", "PidMode"), ("ipc", "IpcMode"), ("uts", "UTSMode"), ("userns_mode", "UsernsMode"),
            ("cgroup", "CgroupnsMode"), ("cgroup_parent", "CgroupParent"),
        ] {
            if let text = try value[key]?.string() { host[field] = JSON(text) }
        }
        if let size = try value["shm_size"]?.bytes() { host["ShmSize"] = JSON(size) }
        if let score = try value["oom_score_adj"]?.integer(-1000...1000) { container["OomScoreAdj"] = JSON(score) }
        for (name, text) in try value["storage_opt"]?.pairs() ?? [] { host["StorageOpt"][name] = JSON(text ?? "") }
        for (name, text) in try value["annotations"]?.pairs() ?? [] { host["Annotations"][name] = JSON(text ?? "") }
        if let runtime = try value["runtime"]?.string() {
            // VMs are an isolation; the others are left to the engine.
            if ["microvm", "pod"].contains(runtime) {
                container["Isolation"] = JSON(runtime)
            } else {
                host["Runtime"] = JSON(runtime)
            }
        }
        if let isolation = try value["isolation"]?.string() { container["Isolation"] = JSON(isolation) }
    }

    private mutating func names() throws {
        for (key, field) in [("hostname", "Hostname"), ("domainname", "Domainname")] {
            if let text = try value[key]?.string() { container[field] = JSON(text) }
        }
        if let hosts = value["extra_hosts"] {
            // The API has them as /etc/hosts has.
            var lines: [String] = []
            if hosts.isMapping {
                for (name, addresses) in try hosts.entries() {
                    lines += try addresses.strings().map { "\($0) \(name)" }
                }
            } else {
                for element in try hosts.elements() {
                    let text = try element.string()
                    guard let separator = text.firstIndex(where: { $0 == "=" || $0 == ":" }) else {
                        throw element.fault("HOST=ADDRESS is expected")
                    }
                    lines.append("\(text[text.index(after: separator)...]) \(text[..<separator])")
                }
            }
            container["Hosts"] = JSON(lines)
        }
        for (key, field) in [("dns", "Nameservers"), ("dns_search", "Search"), ("dns_opt", "Options")] {
            if let texts = try value[key]?.strings() { container["DNSConfig"][field] = JSON(texts) }
        }
    }

    private mutating func health() throws {
        guard let check = value["healthcheck"] else { return }
        try check.allowOnly(["test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"])
        if try check["disable"]?.flag() == true {
            container["Healthcheck"] = ["Test": ["NONE"]]
            return
        }
        var health: JSON = [:]
        if let test = check["test"] {
            let words = test.isList ? try test.strings() : ["CMD-SHELL", try test.string()]
            guard ["NONE", "CMD", "CMD-SHELL"].contains(words.first ?? "") else {
                throw test.fault("a list begins with CMD, CMD-SHELL or NONE")
            }
            health["Test"] = JSON(words)
        }
        for (key, field) in [
            ("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod"),
            ("start_interval", "StartInterval"),
        ] {
            if let duration = try check[key]?.duration() { health[field] = JSON(duration) }
        }
        if let retries = try check["retries"]?.integer(0...1_000_000) { health["Retries"] = JSON(retries) }
        container["Healthcheck"] = health
    }

    private mutating func security() throws {
        if try value["privileged"]?.flag() == true { host["Privileged"] = true }
        if let options = try value["security_opt"]?.strings() { host["SecurityOpt"] = JSON(options) }
        if let rules = try value["device_cgroup_rules"]?.strings() { host["DeviceCgroupRules"] = JSON(rules) }
        if let devices = value["devices"] {
            host["Devices"] = JSON(
                try devices.strings().map { text -> JSON in
                    let parts = text.split(separator: ":").map(String.init)
                    return [
                        "PathOnHost": JSON(parts[0]), "PathInContainer": JSON(parts.count > 1 ? parts[1] : parts[0]),
                        "CgroupPermissions": JSON(parts.count > 2 ? parts[2] : "rwm"),
                    ]
                })
        }
    }

    /// `x-skala`: what Compose has no key for.
    private mutating func extension_() throws {
        guard let own = value["x-skala"] else { return }
        try own.allowOnly(["isolation", "allocation", "pod", "tenant", "profile", "trust", "autoscale", "http"])
        if let isolation = try own["isolation"]?.word(["container", "pod", "microvm"]) {
            container["Isolation"] = JSON(isolation == "container" ? "default" : isolation)
        }
        if let allocation = try own["allocation"]?.word(["dedicated", "shared", "best-effort"]) {
            labels["skala.allocation"] = JSON(allocation)
        }
        for key in ["pod", "tenant"] { if let text = try own[key]?.string() { labels["skala.\(key)"] = JSON(text) } }
        // What a service is like, not what its tasks are: a change replaces none.
        if let profile = try own["profile"]?.word(Resource.allCases.map(\.rawValue)) {
            serviceLabels[ServiceSpec.Label.profile] = JSON(profile)
        }
        if let trust = try own["trust"]?.word(Trust.allCases.map(\.rawValue)) {
            serviceLabels[ServiceSpec.Label.trust] = JSON(trust)
        }
        if let autoscale = own["autoscale"] { try follow(autoscale) }
        if let http = own["http"] { try balanceRequests(http) }
    }

    /// The labels of a service whose requests are balanced.
    private mutating func balanceRequests(_ value: YAMLValue) throws {
        try value.allowOnly([
            "port", "host", "path", "certificate", "redirect", "retries", "repeat", "slow-start", "hold", "drain",
        ])
        for (key, entry) in try value.entries() {
            var text = try ["host", "path"].contains(key) ? entry.strings().joined(separator: ",") : entry.string()
            if key == "repeat" { text = try entry.flag() ? "true" : "false" }
            if key == "certificate" {
                guard let secret = surroundings.secrets.first(where: { $0.key == text }) else {
                    throw entry.fault("'\(text)' is not among the file's secrets")
                }
                text = secret.name
            }
            serviceLabels["skala.http.\(key)"] = JSON(text)
        }
        // Without any the labels would say nothing.
        if try value.entries().isEmpty { throw value.fault("port is needed") }
    }

    /// The labels of a service that follows its load; the engine says what is wrong with a value.
    private mutating func follow(_ value: YAMLValue) throws {
        try value.allowOnly([
            "min", "max", "cpu", "memory", "requests-per-second", "concurrency", "latency-p95", "pressure",
            "scale-down-after",
        ])
        for (key, entry) in try value.entries() { serviceLabels["skala.autoscale.\(key)"] = JSON(try entry.string()) }
        guard value["max"] != nil else { throw value.fault("max is needed") }
    }
}
