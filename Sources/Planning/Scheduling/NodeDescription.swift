/// What the scheduler knows of a node.
public struct NodeDescription: Sendable, Hashable {
    public enum Role: String, Sendable, Hashable { case manager, worker }

    /// Docker's word for what an operator allows.
    public enum Availability: String, Sendable, Hashable {
        case active
        /// No new tasks.
        case pause
        /// No tasks.
        case drain
    }

    public var id: String
    public var hostname: String
    public var role: Role
    public var address: String
    public var os: String
    public var architecture: String
    public var labels: [String: String]
    public var engineLabels: [String: String]
    public var availability: Availability
    /// Whether it answers.
    public var isReady: Bool
    /// What tasks may have of it, what the system needs being taken off.
    public var capacity: TaskResources.Amounts
    public var overcommit: Overcommit
    public var maximumTasks: Int
    /// The isolations it offers, and what one sandbox of each costs beside its tasks, as measured there.
    public var isolations: [String: TaskResources.Amounts]
    /// How much tasks disturb each other there; nil where it was not measured.
    public var interference: Interference?

    public init(
        id: String, hostname: String = "", role: Role = .worker, address: String = "", os: String = "linux",
        architecture: String = "amd64", labels: [String: String] = [:], engineLabels: [String: String] = [:],
        availability: Availability = .active, isReady: Bool = true, capacity: TaskResources.Amounts,
        overcommit: Overcommit = Overcommit(), maximumTasks: Int = 10_000,
        isolations: [String: TaskResources.Amounts] = ["container": .init()], interference: Interference? = nil
    ) {
        self.id = id
        self.hostname = hostname
        self.role = role
        self.address = address
        self.os = os
        self.architecture = architecture
        self.labels = labels
        self.engineLabels = engineLabels
        self.availability = availability
        self.isReady = isReady
        self.capacity = capacity
        self.overcommit = overcommit
        self.maximumTasks = maximumTasks
        self.isolations = isolations
        self.interference = interference
    }

    /// Whether it takes new tasks.
    public var isOpen: Bool { isReady && availability == .active }

    /// The value of a key of the constraint language; empty for a label it does not have.
    public func value(of key: String) -> String {
        switch key {
        case "node.id": id
        case "node.hostname": hostname
        case "node.ip": address
        case "node.role": role.rawValue
        case "node.platform.os": os
        case "node.platform.arch": NodeDescription.normalized(architecture)
        default:
            if key.hasPrefix("node.labels.") {
                labels[String(key.dropFirst("node.labels.".count))] ?? ""
            } else if key.hasPrefix("engine.labels.") {
                engineLabels[String(key.dropFirst("engine.labels.".count))] ?? ""
            } else {
                ""
            }
        }
    }

    /// Whether it fulfils the constraint. Letters of both cases are alike, as with Swarm; a label that is missing is unequal to
    /// every value.
    public func fulfils(_ constraint: Placement.Constraint) -> Bool {
        let wanted =
            constraint.key == "node.platform.arch" ? NodeDescription.normalized(constraint.value) : constraint.value
        let value = value(of: constraint.key)
        return (value == wanted || value.lowercased() == wanted.lowercased()) == constraint.isEqual
    }

    /// Whether an image for one of the platforms (`[{Architecture, OS}]`) runs here; every image does when none is named.
    public func fits(_ platform: Platform) -> Bool {
        (platform.os.isEmpty || platform.os.lowercased() == os.lowercased())
            && (platform.architecture.isEmpty
                || NodeDescription.normalized(platform.architecture) == NodeDescription.normalized(architecture))
    }

    public struct Platform: Sendable, Hashable {
        public var os: String
        public var architecture: String

        public init(os: String, architecture: String) {
            self.os = os
            self.architecture = architecture
        }
    }

    /// One name for each architecture: machines, Go and people call them differently.
    private static func normalized(_ name: String) -> String {
        let name = name.lowercased()
        return switch name {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        case "armhf", "armv7l": "arm"
        case "i386", "i686": "386"
        default: name
        }
    }
}

/// How much more than it has a node promises, in percent: 100 keeps every reservation, 200 promises everything twice. Without
/// effect on `dedicated` tasks, which are promised what is there.
public struct Overcommit: Sendable, Hashable {
    public var cpuPercent: Int
    public var memoryPercent: Int

    public init(cpuPercent: Int = 100, memoryPercent: Int = 100) {
        self.cpuPercent = max(1, cpuPercent)
        self.memoryPercent = max(1, memoryPercent)
    }
}
