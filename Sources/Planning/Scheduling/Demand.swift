import Base

/// What a task needs of a node. Tasks of one demand are alike to the scheduler, so that it does their common work once.
public struct Demand: Sendable, Hashable {
    public enum Allocation: String, Sendable, Hashable, CaseIterable {
        /// Whole cores and memory of its own, never overcommitted.
        case dedicated
        case shared
        /// What the others leave: nothing is reserved.
        case bestEffort = "best-effort"
    }

    /// A port of the node itself, which one task at a time has.
    public struct HostPort: Sendable, Hashable, CustomStringConvertible {
        public var port: Int
        public var transport: ServicePort.Transport

        public init(port: Int, transport: ServicePort.Transport = .tcp) {
            self.port = port
            self.transport = transport
        }

        public var description: String { "\(port)/\(transport.rawValue)" }
    }

    /// A VM that tasks of one tenant share on a node, and no other's: its cost is paid by the first of them.
    public struct Tenancy: Sendable, Hashable {
        public var tenant: String
        /// So many tasks fit into one VM; then there is a second.
        public var places: Int

        public init(tenant: String, places: Int = 16) {
            self.tenant = tenant
            self.places = max(1, places)
        }
    }

    public var reservations: TaskResources.Amounts
    public var allocation: Allocation
    /// A key of `NodeDescription.isolations`.
    public var isolation: String
    public var constraints: [Placement.Constraint]
    public var platforms: [NodeDescription.Platform]
    /// Keys whose values share the tasks evenly, the most important first.
    public var spread: [String]
    /// Tasks of the service on one node; 0: without limit.
    public var maximumReplicas: Int
    public var hostPorts: [HostPort]
    /// Names of services with none of whose tasks it shares a node, nor they with it. Its own: one task a node.
    public var keepsAwayFrom: [String]
    public var tenancy: Tenancy?
    /// What it lives on; nil when nobody said.
    public var profile: Resource?

    public init(
        reservations: TaskResources.Amounts = .init(), allocation: Allocation = .shared,
        isolation: String = "container", constraints: [Placement.Constraint] = [],
        platforms: [NodeDescription.Platform] = [], spread: [String] = [], maximumReplicas: Int = 0,
        hostPorts: [HostPort] = [], keepsAwayFrom: [String] = [], tenancy: Tenancy? = nil,
        profile: Resource? = nil
    ) {
        self.reservations = reservations
        self.allocation = allocation
        self.isolation = isolation
        self.constraints = constraints
        self.platforms = platforms
        self.spread = spread
        self.maximumReplicas = maximumReplicas
        self.hostPorts = hostPorts
        self.keepsAwayFrom = keepsAwayFrom
        self.tenancy = tenancy
        self.profile = profile
    }

    /// What is kept for it. Cores are dedicated whole.
    var cpu: Int64 {
        switch allocation {
        case .bestEffort: 0
        case .shared: reservations.nanoCPUs
        case .dedicated: (reservations.nanoCPUs + Demand.core - 1) / Demand.core * Demand.core
        }
    }

    var memory: Int64 { allocation == .bestEffort ? 0 : reservations.memoryBytes }
    var isDedicated: Bool { allocation == .dedicated }

    static let core: Int64 = 1_000_000_000
}
