import Base
import Engine
import Images
import OCI

extension BuildRequest {
    /// From the query of `POST /build`. Each parameter is done or refused with the reason; `rm` and `forcerm` are met
    /// by there being no intermediate containers.
    ///
    /// - Parameter registryConfiguration: the `X-Registry-Config` header: base64 of credentials by registry.
    /// - Throws: `.invalid` or `.unsupported` naming the parameter.
    init(_ query: Query, registryConfiguration: String?) throws(SkalaError) {
        self.init()
        switch query.first("version") ?? "" {
        case "", "1": break
        case "2": throw SkalaError(.unsupported, "BuildKit builds are not supported: set DOCKER_BUILDKIT=0")
        case let other: throw SkalaError(.invalid, "invalid version '\(other)' of the builder")
        }
        try RefusedFields.check("ImageBuild", query)
        let isolation = query.first("isolation") ?? ""
        guard ["", "default"].contains(isolation) else {
            throw SkalaError(.unsupported, "building with the isolation \(isolation) is not supported: use default")
        }
        for name in query.all("t") where !name.isEmpty { tags.append(try Reference(parsing: name)) }
        if let path = query.first("dockerfile"), !path.isEmpty { dockerfile = path }
        arguments = try BuildRequest.strings(query, "buildargs")
        labels = try BuildRequest.strings(query, "labels")
        target = query.first("target") ?? ""
        usesCache = !query.flag("nocache")
        pullsAlways = query.flag("pull")
        network = query.first("networkmode") ?? ""
        guard ["", "default", "host", "none"].contains(network) else {
            throw SkalaError(
                .unsupported, "building on the network \(network) is not supported: use default, host or none")
        }
        if let text = query.first("platform"), !text.isEmpty { platform = try Platform(parsing: text) }
        // Docker's client repeats the parameter; others join the entries.
        extraHosts = query.all("extrahosts").flatMap { $0.split(separator: ",").map(String.init) }
        ulimits = try BuildRequest.ulimits(query)
        squashes = query.flag("squash")
        guard let text = registryConfiguration, let bytes = Base64.decode(text) else { return }
        for member in try JSON(parsing: bytes).object?.members ?? [] {
            credentials[RegistryCredentials.registry(of: member.key)] = RegistryCredentials(json: member.value)
        }
    }

    /// A JSON object of texts; null values are left out.
    private static func strings(_ query: Query, _ name: String) throws(SkalaError) -> [String: String] {
        guard let text = query.first(name), !text.isUnsetParameter else { return [:] }
        guard let members = try JSON(parsing: text).object?.members else {
            throw SkalaError(.invalid, "\(name) is no JSON object")
        }
        return Dictionary(
            members.compactMap { member in member.value.string.map { (member.key, $0) } }, uniquingKeysWith: { $1 })
    }

    /// `[{"Name": "nofile", "Soft": 1024, "Hard": 2048}]` as buildah has it: `nofile=1024:2048`.
    private static func ulimits(_ query: Query) throws(SkalaError) -> [String] {
        guard let text = query.first("ulimits"), !text.isUnsetParameter else { return [] }
        var limits: [String] = []
        for limit in try JSON(parsing: text).array ?? [] {
            guard let name = limit["Name"].string, let soft = limit["Soft"].int, let hard = limit["Hard"].int else {
                throw SkalaError(.invalid, "ulimits: \(limit.text) has no Name, Soft and Hard")
            }
            limits.append("\(name)=\(soft):\(hard)")
        }
        return limits
    }
}

extension RefusedFields {
    /// The same for parameters of a query.
    static func check(_ object: String, _ query: Query) throws(SkalaError) {
        let set = query.items.filter { !$0.value.isUnsetParameter }
        try check(object, .object(JSONObject(set.map { ($0.name, JSON($0.value)) })))
    }
}

extension String {
    /// What Docker's client sends for a parameter that was not given.
    var isUnsetParameter: Bool { ["", "0", "null", "[]", "{}", "false"].contains(self) }
}
