import Base
import YAML

/// A service of a Compose file, as the API's `ServiceSpec`.
struct ComposeService {
    /// What the service is written beside.
    struct Surroundings {
        let project: String
        let file: ComposeFile
        let networks: [ComposeResource]
        let volumes: [ComposeResource]
        let secrets: [ComposeResource]
        let configs: [ComposeResource]
    }

    struct Dependency: Hashable {
        enum Condition: String {
            case started = "service_started", healthy = "service_healthy", completed = "service_completed_successfully"
        }

        let service: String
        let condition: Condition
    }

    /// How the image is made; nil for one that is pulled.
    struct Build {
        let context: String
        let dockerfile: String?
        let arguments: [(key: String, value: String?)]
        let target: String?
    }

    /// Its name in the file, and, below its project, in the engine.
    let key: String
    var name: String { "\(project)_\(key)" }
    let project: String
    let value: YAMLValue
    let image: String
    let build: Build?
    /// `always`, `missing`, `never` or `build`.
    let pullPolicy: String
    let dependencies: [Dependency]
    /// The keys of its networks in the file.
    let networks: [String]
    /// The `ServiceSpec`; secrets and configs stand in it by name, and get their ids when they are known.
    let spec: JSON
    /// Things the file asks for that mean less here than one may think.
    let warnings: [String]

    private static let keys: Set<String> = [
        "image", "build", "command", "entrypoint", "environment", "env_file", "labels", "annotations", "deploy",
        "depends_on",
        "networks", "network_mode", "ports", "expose", "volumes", "tmpfs", "secrets", "configs", "healthcheck",
        "restart",
        "user", "group_add", "working_dir", "hostname", "domainname", "stop_signal", "stop_grace_period", "extra_hosts",
        "dns",
        "dns_search", "dns_opt", "tty", "stdin_open", "read_only", "init", "sysctls", "cap_add", "cap_drop", "ulimits",
        "security_opt", "privileged", "devices", "device_cgroup_rules", "shm_size", "pid", "ipc", "uts", "userns_mode",
        "cgroup", "cgroup_parent", "oom_score_adj", "oom_kill_disable", "mem_limit", "mem_reservation", "memswap_limit",
        "mem_swappiness", "cpus", "cpu_shares", "cpu_quota", "cpu_period", "cpuset", "pids_limit", "blkio_config",
        "storage_opt", "logging", "runtime", "isolation", "platform", "pull_policy", "profiles", "scale",
        "container_name",
        "attach",
    ]
    /// Keys of the Compose specification that are refused, with the reason.
    private static let refused: [String: String] = [
        "links": "services find each other by name on their networks",
        "external_links": "put both on one external network",
        "volumes_from": "name the volumes", "mac_address": "the tasks of a service get addresses of their own",
        "develop": "watching files is not done", "provider": "there are no provider programs",
        "credential_spec": "that is for Windows", "gpus": "devices of the host are given with 'devices'",
        "models": "there is no model runner", "use_api_socket": "mount the socket as a volume",
        "label_file": "write the labels under 'labels'", "post_start": "there are no hooks of services",
        "pre_stop": "there are no hooks of services", "cpu_rt_runtime": "there is no real-time scheduling of groups",
        "cpu_rt_period": "there is no real-time scheduling of groups", "cpu_count": "that is for Windows; use cpus",
        "cpu_percent": "that is for Windows; use cpus", "dns_opts": "the key is dns_opt",
    ]

    init(_ key: String, _ value: YAMLValue, _ surroundings: Surroundings) throws {
        self.key = key
        self.value = value
        project = surroundings.project
        for (name, entry) in try value.entries() {
            if let reason = ComposeService.refused[name] { throw entry.fault("not supported: \(reason)", .unsupported) }
        }
        try value.allowOnly(ComposeService.keys)
        build = try value["build"].map { try ComposeService.build($0, surroundings.file) }
        guard let image = try value["image"]?.string() ?? (build == nil ? nil : "\(project)-\(key)") else {
            throw value.fault("an image or a build is needed")
        }
        self.image = image
        pullPolicy =
            try value["pull_policy"]?.word(["always", "missing", "if_not_present", "never", "build"]) ?? "missing"
        dependencies = try ComposeService.dependencies(value["depends_on"])
        var translation = ServiceTranslation(key, value, image: image, surroundings)
        spec = try translation.spec()
        networks = translation.networkKeys
        warnings = translation.warnings
    }

    private static func build(_ value: YAMLValue, _ file: ComposeFile) throws -> Build {
        guard value.isMapping else {
            return Build(
                context: ComposeFile.absolute(try value.string(), file.directory), dockerfile: nil, arguments: [],
                target: nil)
        }
        try value.allowOnly(["context", "dockerfile", "args", "target"])
        let context = ComposeFile.absolute(try value["context"]?.string() ?? ".", file.directory)
        return Build(
            context: context,
            dockerfile: try (value["dockerfile"]?.string()).map { ComposeFile.absolute($0, context) },
            arguments: try value["args"]?.pairs() ?? [], target: try value["target"]?.string())
    }

    private static func dependencies(_ value: YAMLValue?) throws -> [Dependency] {
        guard let value else { return [] }
        guard value.isMapping else { return try value.strings().map { Dependency(service: $0, condition: .started) } }
        return try value.entries().map { service, entry in
            if !entry.isNull { try entry.allowOnly(["condition", "restart", "required"]) }
            let words = ["service_started", "service_healthy", "service_completed_successfully"]
            let word = try entry["condition"]?.word(words) ?? words[0]
            return Dependency(service: service, condition: Dependency.Condition(rawValue: word) ?? .started)
        }
    }
}
