public import Base

/// A container as the OCI runtime specification's config.json describes it (version 1.2).
///
/// Parsing checks types and the fields the kernel cannot check; what Skala does not support is refused, not ignored.
public struct RuntimeSpec: Sendable {
    public var process: RuntimeProcess?
    public var rootPath: String
    public var rootReadonly: Bool
    public var hostname: String?
    public var domainname: String?
    public var mounts: [RuntimeMount]
    public var namespaces: [RuntimeNamespace]
    public var uidMappings: [RuntimeIDMapping]
    public var gidMappings: [RuntimeIDMapping]
    public var devices: [RuntimeDevice]
    public var cgroupsPath: String?
    public var resources: RuntimeResources
    public var sysctl: [(key: String, value: String)]
    public var maskedPaths: [String]
    public var readonlyPaths: [String]
    public var rootfsPropagation: String?
    /// `linux.seccomp` as it is written; `{"profile": "default"}` asks for the built-in profile.
    public var seccomp: JSON
    public var hooks: RuntimeHooks
    public var timeOffsets: [RuntimeTimeOffset]
    /// The execution domain, as personality(2) takes it.
    public var personality: Int64?
    public var annotations: [(key: String, value: String)]

    /// - Throws: `SkalaError` `.invalid` or `.unsupported` naming the field.
    public init(_ json: JSON) throws(SkalaError) {
        guard json.object != nil else { throw SkalaError(.invalid, "the runtime spec is not an object") }
        process = json["process"].isNull ? nil : try RuntimeProcess(json["process"])
        rootPath = json["root"]["path"].string ?? ""
        rootReadonly = json["root"]["readonly"].bool ?? false
        hostname = json["hostname"].string
        domainname = json["domainname"].string
        mounts = try RuntimeSpec.list(json["mounts"], "mounts", RuntimeMount.init)
        let linux = json["linux"]
        namespaces = try RuntimeSpec.list(linux["namespaces"], "linux.namespaces", RuntimeNamespace.init)
        guard Set(namespaces.map(\.kind)).count == namespaces.count else {
            throw SkalaError(.invalid, "linux.namespaces names a kind twice")
        }
        uidMappings = try RuntimeSpec.list(linux["uidMappings"], "linux.uidMappings", RuntimeIDMapping.init)
        gidMappings = try RuntimeSpec.list(linux["gidMappings"], "linux.gidMappings", RuntimeIDMapping.init)
        devices = try RuntimeSpec.list(linux["devices"], "linux.devices", RuntimeDevice.init)
        cgroupsPath = linux["cgroupsPath"].string
        resources = try RuntimeResources(linux["resources"])
        sysctl = linux["sysctl"].stringPairs ?? []
        maskedPaths = linux["maskedPaths"].strings ?? []
        readonlyPaths = linux["readonlyPaths"].strings ?? []
        rootfsPropagation = linux["rootfsPropagation"].string
        seccomp = linux["seccomp"]
        hooks = try RuntimeHooks(json["hooks"])
        timeOffsets = []
        for (clock, offset) in linux["timeOffsets"].object?.members ?? [] {
            timeOffsets.append(try RuntimeTimeOffset(clock: clock, offset))
        }
        personality = try RuntimeSpec.personality(linux["personality"])
        annotations = json["annotations"].stringPairs ?? []
        try RuntimeSpec.refuse(linux)
    }

    /// What has no meaning here is refused: a container without it would not be what the spec asks for.
    private static func refuse(_ linux: JSON) throws(SkalaError) {
        for field in ["intelRdt", "netDevices", "memoryPolicy"] where !linux[field].isNull {
            if linux[field].object?.isEmpty == true { continue }
            throw SkalaError(.unsupported, "linux.\(field) is not supported")
        }
        if let label = linux["mountLabel"].string, !label.isEmpty {
            throw SkalaError(.unsupported, "linux.mountLabel '\(label)': SELinux is not supported")
        }
    }

    private static func personality(_ json: JSON) throws(SkalaError) -> Int64? {
        if json.isNull { return nil }
        let domains: [String: Int64] = ["LINUX": 0, "LINUX32": 8]
        guard let domain = domains[json["domain"].string ?? ""], json["flags"].array?.isEmpty ?? true else {
            throw SkalaError(.unsupported, "linux.personality: only the domains LINUX and LINUX32, without flags")
        }
        return domain
    }

    static func list<Element>(
        _ json: JSON, _ field: String, _ make: (JSON) throws(SkalaError) -> Element
    ) throws(SkalaError) -> [Element] {
        guard !json.isNull else { return [] }
        guard let array = json.array else { throw SkalaError(.invalid, "\(field) is not an array") }
        var elements: [Element] = []
        for element in array { elements.append(try make(element)) }
        return elements
    }

    /// The namespace of a kind, nil when the container shares the runtime's.
    public func namespace(_ kind: RuntimeNamespace.Kind) -> RuntimeNamespace? { namespaces.first { $0.kind == kind } }
}
