public import Base

/// What an image says of the containers made from it (image specification, `config`).
public struct ImageConfiguration: Sendable {
    public let user: String
    /// `80/tcp`.
    public let exposedPorts: [String]
    public let environment: [String]
    public let entrypoint: [String]?
    public let command: [String]?
    public let volumes: [String]
    public let workingDirectory: String
    public let labels: [String: String]
    public let stopSignal: String?
    /// `.null` without one.
    public let healthcheck: JSON
    public let shell: [String]?
    /// The whole document.
    public let raw: JSON

    init(_ raw: JSON) {
        self.raw = raw
        let config = raw["config"]
        user = config["User"].string ?? ""
        exposedPorts = config["ExposedPorts"].object?.keys ?? []
        environment = config["Env"].strings ?? []
        entrypoint = config["Entrypoint"].strings
        command = config["Cmd"].strings
        volumes = config["Volumes"].object?.keys ?? []
        workingDirectory = config["WorkingDir"].string ?? ""
        labels = config["Labels"].stringDictionary ?? [:]
        stopSignal = config["StopSignal"].string
        healthcheck = config["Healthcheck"]
        shell = config["Shell"].strings
    }
}

/// An image that is on this host, unpacked.
public struct Image: Sendable {
    /// `sha256:…`, the digest of its configuration.
    public let id: String
    /// As users write them: `nginx:latest`.
    public var tags: [String]
    /// `nginx@sha256:…`.
    public var repoDigests: [String]
    public let configuration: ImageConfiguration
    /// The sum of its unpacked layers, in bytes.
    public let size: Int64

    public var created: String { configuration.raw["created"].string ?? Timestamp.zeroText }
    public var architecture: String { configuration.raw["architecture"].string ?? "" }
    public var os: String { configuration.raw["os"].string ?? "linux" }
    public var variant: String { configuration.raw["variant"].string ?? "" }
    public var author: String { configuration.raw["author"].string ?? "" }
    public var comment: String { configuration.raw["comment"].string ?? "" }
    public var diffIDs: [String] { configuration.raw["rootfs"]["diff_ids"].strings ?? [] }
    public var parent: String { "" }
}
