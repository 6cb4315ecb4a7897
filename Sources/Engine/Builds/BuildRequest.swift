public import Images
public import OCI

/// What `POST /build` asks for.
public struct BuildRequest: Sendable {
    public var tags: [Reference] = []
    /// The Dockerfile's path in the context.
    public var dockerfile = "Dockerfile"
    public var arguments: [String: String] = [:]
    public var labels: [String: String] = [:]
    /// The stage to stop at; empty is the last one.
    public var target = ""
    public var usesCache = true
    /// Ask the registry for newer base images even when they are here.
    public var pullsAlways = false
    /// `default` or empty, `none`, `host`.
    public var network = ""
    /// Of a multi-platform base image; nil is the host's.
    public var platform: Platform?
    /// `name:address`.
    public var extraHosts: [String] = []
    /// `name=soft:hard`.
    public var ulimits: [String] = []
    public var squashes = false
    /// By registry.
    public var credentials: [String: RegistryCredentials] = [:]

    public init() {}
}
