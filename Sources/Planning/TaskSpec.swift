public import Base

/// What one task of a service is: the API's `TaskTemplate`.
///
/// What the API's `ContainerSpec` has no field for, a container has labels for (`Labels` of the `ContainerSpec`, the CLI's
/// `--container-label`, Compose's `labels`): they belong to the task, so that a change of them replaces it.
public struct TaskSpec: Sendable, Hashable {
    public enum Label {
        /// `dedicated`, `shared` or `best-effort`.
        public static let allocation = "skala.allocation"
        /// The pod that the tasks of the service share on a node.
        public static let pod = "skala.pod"
        /// Whose the tasks are: tasks of different tenants share no kernel.
        public static let tenant = "skala.tenant"
        /// Fields of the API's `HostConfig` as JSON: `{"Privileged":true}`.
        public static let hostConfig = "skala.host-config"
    }

    /// The `ContainerSpec`, complete.
    public var container: JSON
    public var resources: TaskResources
    public var restart: TaskRestartPolicy
    public var placement: Placement
    public var networks: [NetworkTarget]
    /// `{Name, Options}`, or null for the engine's own.
    public var logDriver: JSON
    /// Raised to replace the tasks although nothing else changes.
    public var forceUpdate: Int64

    public init(
        container: JSON, resources: TaskResources = TaskResources(), restart: TaskRestartPolicy = TaskRestartPolicy(),
        placement: Placement = Placement(), networks: [NetworkTarget] = [], logDriver: JSON = .null,
        forceUpdate: Int64 = 0
    ) {
        self.container = container
        self.resources = resources
        self.restart = restart
        self.placement = placement
        self.networks = networks
        self.logDriver = logDriver
        self.forceUpdate = forceUpdate
    }

    public init(json: JSON) throws(SkalaError) {
        if let runtime = json["Runtime"].string, runtime != "", runtime != "container" {
            throw SkalaError(.unsupported, "tasks of runtime \"\(runtime)\" are not supported: only containers are")
        }
        container = json["ContainerSpec"]
        guard container.object != nil else { throw SkalaError(.invalid, "TaskTemplate has no ContainerSpec") }
        guard let image = container["Image"].string, !image.isEmpty else {
            throw SkalaError(.invalid, "ContainerSpec: image reference must be provided")
        }
        resources = try TaskResources(json: json["Resources"])
        restart = try TaskRestartPolicy(json: json["RestartPolicy"])
        placement = try Placement(json: json["Placement"])
        networks = try NetworkTarget.list(json["Networks"], "TaskTemplate.Networks")
        logDriver = json["LogDriver"]
        forceUpdate = try json["ForceUpdate"].count("ForceUpdate") ?? 0
        _ = try container["Labels"].labels("ContainerSpec.Labels")
        if let text = labels[Label.hostConfig] {
            guard let given = try? JSON(parsing: text), given.object != nil else {  // the text says what is expected
                throw SkalaError(.invalid, "the label \(Label.hostConfig) is a JSON object, not '\(text)'")
            }
        }
    }

    public var json: JSON {
        var json: JSON = ["ContainerSpec": container]
        if resources != TaskResources() { json["Resources"] = resources.json }
        if restart != TaskRestartPolicy() { json["RestartPolicy"] = restart.json }
        if placement != Placement() { json["Placement"] = placement.json }
        if !networks.isEmpty { json["Networks"] = JSON(networks.map(\.json)) }
        if !logDriver.isNull { json["LogDriver"] = logDriver }
        json["ForceUpdate"] = JSON(forceUpdate)
        json["Runtime"] = "container"
        return json
    }

    public var image: String { container["Image"].string ?? "" }

    /// The container's labels.
    public var labels: [String: String] { container["Labels"].stringDictionary ?? [:] }

    /// `container`, `pod`, `microvm` or `machine`: the field `Isolation` of the container (the CLI's `--isolation`).
    public var isolation: String {
        switch container["Isolation"].string ?? "" {
        case "", "default": pod == nil && tenant == nil ? "container" : "pod"
        case "process": "container"
        case let given: given
        }
    }

    /// Clients write it in one of two ways.
    public var healthcheck: JSON {
        container["Healthcheck"].isNull ? container["HealthCheck"] : container["Healthcheck"]
    }

    /// How resources are given; nil for the engine's default.
    public var allocation: String? { labels[Label.allocation] }
    public var pod: String? { labels[Label.pod] }
    public var tenant: String? { labels[Label.tenant] }

    /// The fields of a `HostConfig` that the label gives.
    public var hostConfig: JSON {
        guard let text = labels[Label.hostConfig], let given = try? JSON(parsing: text) else { return [:] }  // checked
        return given
    }
}

/// A network that the tasks are on: `NetworkAttachmentConfig`.
public struct NetworkTarget: Sendable, Hashable {
    /// Its id or name.
    public var target: String
    public var aliases: [String]

    public init(target: String, aliases: [String] = []) {
        self.target = target
        self.aliases = aliases
    }

    public var json: JSON {
        var json: JSON = ["Target": JSON(target)]
        if !aliases.isEmpty { json["Aliases"] = JSON(aliases) }
        return json
    }

    static func list(_ json: JSON, _ field: String) throws(SkalaError) -> [NetworkTarget] {
        var networks: [NetworkTarget] = []
        for entry in json.array ?? [] {
            guard let target = entry["Target"].string, !target.isEmpty else {
                throw SkalaError(.invalid, "an element of \(field) has no Target")
            }
            if let options = entry["DriverOpts"].object, !options.isEmpty {
                throw SkalaError(.unsupported, "\(field).DriverOpts: the bridge driver has no options for endpoints")
            }
            if networks.contains(where: { $0.target == target }) {
                throw SkalaError(.invalid, "the network \(target) is named twice in \(field)")
            }
            networks.append(NetworkTarget(target: target, aliases: entry["Aliases"].strings ?? []))
        }
        return networks
    }
}
