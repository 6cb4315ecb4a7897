public import Base
public import Planning

/// A service as the store keeps it.
public struct ServiceRecord: Sendable {
    public let id: String
    var version: DocumentVersion
    public var spec: ServiceSpec
    /// What it was before the last change, and a rollback goes back to.
    public var previous: ServiceSpec?
    /// Of the last change; nil before the first one.
    public var rollout: RolloutStatus?
    /// Of the task's specification: the same one has the same number, also when a rollback brings it back.
    public var templateVersion: UInt64 = 1
    var previousTemplateVersion: UInt64 = 1
    /// Of a job: raised to run it again, with the time it was.
    public var jobIteration: Int64
    public var jobExecuted: String
    /// The client's `X-Registry-Auth`, sealed by `SecretVault` and in base64; empty without.
    var registryAuth = ""
    /// It was removed, and only goes when its tasks have.
    var isRemoved: Bool

    init(spec: ServiceSpec, counter: VersionCounter) {
        id = ClusterIdentifier.make()
        version = DocumentVersion(counter)
        self.spec = spec
        jobIteration = 0
        jobExecuted = version.created.text
        isRemoved = false
    }

    public var name: String { spec.name }

    public var versionIndex: Int64 { version.index }

    init(json: JSON) throws(SkalaError) {
        id = json["ID"].string ?? ""
        version = try DocumentVersion(json: json)
        spec = try ServiceSpec(json: json["Spec"])
        previous = json["PreviousSpec"].isNull ? nil : try ServiceSpec(json: json["PreviousSpec"])
        rollout = try RolloutStatus(json: json["UpdateStatus"])
        jobIteration = json["JobStatus"]["JobIteration"]["Index"].int ?? 0
        jobExecuted = json["JobStatus"]["LastExecution"].string ?? version.created.text
        isRemoved = json["Skala"]["Removed"].bool ?? false
        registryAuth = json["Skala"]["RegistryAuth"].string ?? ""
        templateVersion = UInt64(clamping: json["Skala"]["Template"].int ?? 1)
        previousTemplateVersion = UInt64(clamping: json["Skala"]["PreviousTemplate"].int ?? 1)
    }

    /// In the store.
    var json: JSON {
        var json = document
        json["Skala"] = [
            "Removed": JSON(isRemoved), "RegistryAuth": JSON(registryAuth), "Template": JSON(templateVersion),
            "PreviousTemplate": JSON(previousTemplateVersion),
        ]
        return json
    }

    /// As the API shows it, without endpoint and status.
    public var document: JSON {
        var json = version.fields(id)
        json["Spec"] = spec.json
        if let previous { json["PreviousSpec"] = previous.json }
        if let rollout { json["UpdateStatus"] = rollout.json }
        if spec.mode.isJob {
            json["JobStatus"] = [
                "JobIteration": ["Index": JSON(jobIteration)], "LastExecution": JSON(jobExecuted),
            ]
        }
        return json
    }
}

extension RolloutStatus {
    /// The API's `UpdateStatus`; nil when there is none.
    init?(json: JSON) throws(SkalaError) {
        guard let state = State(rawValue: json["State"].string ?? "") else { return nil }
        self.init(
            state: state, startedAt: try Timestamp(parsing: json["StartedAt"].string ?? ""),
            completedAt: try json["CompletedAt"].string.map { (text) throws(SkalaError) in try Timestamp(parsing: text)
            },
            message: json["Message"].string ?? "")
    }

    var json: JSON {
        var json: JSON = ["State": JSON(state.rawValue), "StartedAt": JSON(startedAt.text)]
        if let completedAt { json["CompletedAt"] = JSON(completedAt.text) }
        json["Message"] = JSON(message)
        return json
    }
}
