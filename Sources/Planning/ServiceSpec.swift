public import Base

/// What a service wants: the `ServiceSpec` of the Docker Engine API (v1.50), decoded, checked and completed.
///
/// `init(json:)` and `json` are inverse but for defaults: what a client left out stays left out in `json`, so that
/// `service inspect` shows what was asked for, and what applies is told by the properties.
public struct ServiceSpec: Sendable, Hashable {
    public static let maximumNameLength = 63

    public var name: String
    public var labels: [String: String]
    /// What each task is. A change of it replaces the tasks; a change of anything else does not.
    public var task: TaskSpec
    public var mode: ServiceMode
    /// Nil: the defaults, `update`.
    public var givenUpdate: UpdateConfig?
    /// Nil: the defaults, `rollback`.
    public var givenRollback: UpdateConfig?
    public var endpoint: EndpointSpec

    public var update: UpdateConfig { givenUpdate ?? UpdateConfig() }
    public var rollback: UpdateConfig { givenRollback ?? UpdateConfig() }

    public init(
        name: String, labels: [String: String] = [:], task: TaskSpec, mode: ServiceMode = .replicated(replicas: 1),
        update: UpdateConfig? = nil, rollback: UpdateConfig? = nil, endpoint: EndpointSpec = EndpointSpec()
    ) {
        self.name = name
        self.labels = labels
        self.task = task
        self.mode = mode
        givenUpdate = update
        givenRollback = rollback
        self.endpoint = endpoint
    }

    /// Decodes a client's specification.
    ///
    /// - Throws: `.invalid` naming the field and value; `.unsupported` for what Skala does not do.
    public init(json: JSON) throws(SkalaError) {
        guard json.object != nil else { throw SkalaError(.invalid, "a service specification is an object") }
        name = json["Name"].string ?? ""
        try ServiceSpec.check(name: name)
        labels = try json["Labels"].labels("Labels")
        task = try TaskSpec(json: json["TaskTemplate"])
        // Older clients name the networks beside the task.
        if task.networks.isEmpty { task.networks = try NetworkTarget.list(json["Networks"], "Networks") }
        mode = try ServiceMode(json: json["Mode"])
        givenUpdate = try UpdateConfig(json: json["UpdateConfig"], "UpdateConfig")
        givenRollback = try UpdateConfig(json: json["RollbackConfig"], "RollbackConfig")
        endpoint = try EndpointSpec(json: json["EndpointSpec"])
        if mode.isJob {
            for key in ["UpdateConfig", "RollbackConfig"] where !json[key].isNull {
                throw SkalaError(.invalid, "\(key) is not allowed for jobs: they are not updated gradually")
            }
            if task.restart.condition == .any, !task.restart.isConditionDefault {
                throw SkalaError(.invalid, "a job's restart condition is none or on-failure, not any")
            }
            if !endpoint.ports.isEmpty { throw SkalaError(.invalid, "jobs publish no ports") }
        }
        if mode.isGlobal, task.placement.maximumReplicas > 0 {
            throw SkalaError(.invalid, "a limit of replicas per node is for replicated services, not global ones")
        }
    }

    /// As the API shows it.
    public var json: JSON {
        var json: JSON = [
            "Name": JSON(name), "Labels": JSON(labels), "TaskTemplate": task.json, "Mode": mode.json,
        ]
        if let givenUpdate { json["UpdateConfig"] = givenUpdate.json }
        if let givenRollback { json["RollbackConfig"] = givenRollback.json }
        json["EndpointSpec"] = endpoint.json
        return json
    }

    private static func check(name: String) throws(SkalaError) {
        guard !name.isEmpty else {
            throw SkalaError(.invalid, "the service has no name")
        }
        let isWord = { (character: Character) in character.isASCII && (character.isLetter || character.isNumber) }
        // As hosts: the name is found by on networks.
        guard name.count <= maximumNameLength, name.allSatisfy({ isWord($0) || "-_.".contains($0) }),
            name.first.map(isWord) == true, name.last.map(isWord) == true
        else {
            throw SkalaError(
                .invalid,
                "invalid service name \"\(name)\": up to \(maximumNameLength) letters, digits, '-', '_' and '.', "
                    + "beginning and ending with a letter or digit")
        }
    }
}

extension JSON {
    /// An object of strings; empty when it is missing.
    func labels(_ field: String) throws(SkalaError) -> [String: String] {
        if isNull { return [:] }
        guard let labels = stringDictionary else { throw SkalaError(.invalid, "\(field) is an object of strings") }
        return labels
    }

    /// A number that is not negative; nil when it is missing.
    func count(_ field: String) throws(SkalaError) -> Int64? {
        if isNull { return nil }
        guard let value = int, value >= 0 else {
            throw SkalaError(.invalid, "\(field) is a number of at least 0, not \(self.text)")
        }
        return value
    }
}
