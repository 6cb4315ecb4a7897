public import Base

/// A container, and what it uses just now.
public struct ContainerUsage: Sendable {
    public let record: ContainerRecord
    /// As `Container.healthStatus`.
    public let health: String
    /// The document of `GET /containers/{id}/stats`; nil when it does not run, or has not told in time.
    public let statistics: JSON?
}

/// What all containers of an engine use, and what VMs there are.
public struct EngineUsage: Sendable {
    /// By name.
    public let containers: [ContainerUsage]
    /// Running ones that were not measured: more than are measured, or they did not answer in time.
    public let unmeasured: Int
    /// VMs that are kept ready and have no container yet.
    public let spareMachines: Int

    public init(containers: [ContainerUsage], unmeasured: Int, spareMachines: Int) {
        self.containers = containers
        self.unmeasured = unmeasured
        self.spareMachines = spareMachines
    }
}
