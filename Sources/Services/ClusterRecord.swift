import Base
import Engine

/// The swarm as the store keeps it and the API shows it.
struct ClusterRecord: Sendable {
    static let defaultHistoryLimit = 5

    let id: String
    var version: DocumentVersion
    var labels: [String: String]
    /// Ended tasks that are kept of each slot.
    var historyLimit: Int

    init(spec: JSON, counter: VersionCounter) throws(SkalaError) {
        id = ClusterIdentifier.make()
        version = DocumentVersion(counter)
        labels = [:]
        historyLimit = ClusterRecord.defaultHistoryLimit
        try take(spec)
    }

    init(json: JSON) throws(SkalaError) {
        id = json["ID"].string ?? ""
        version = try DocumentVersion(json: json)
        labels = [:]
        historyLimit = ClusterRecord.defaultHistoryLimit
        try take(json["Spec"])
    }

    /// Takes a client's `SwarmSpec` over.
    mutating func take(_ spec: JSON) throws(SkalaError) {
        try RefusedFields.check("SwarmSpec", spec)
        if spec["EncryptionConfig"]["AutoLockManagers"].bool == true {
            throw SkalaError(
                .unsupported, "AutoLockManagers is not supported: the key of the secrets lies in a file of the host")
        }
        labels = spec["Labels"].stringDictionary ?? labels
        if let limit = spec["Orchestration"]["TaskHistoryRetentionLimit"].int {
            guard (0...1000).contains(limit) else {
                throw SkalaError(.invalid, "TaskHistoryRetentionLimit lies between 0 and 1000, not \(limit)")
            }
            historyLimit = Int(limit)
        }
    }

    var document: JSON {
        var json = version.fields(id)
        json["Spec"] = [
            "Name": "default", "Labels": JSON(labels),
            "Orchestration": ["TaskHistoryRetentionLimit": JSON(historyLimit)],
            "Raft": [:], "Dispatcher": [:], "CAConfig": [:], "TaskDefaults": [:],
            "EncryptionConfig": ["AutoLockManagers": false],
        ]
        json["TLSInfo"] = [:]
        json["RootRotationInProgress"] = false
        // One node: nobody can join, and a client that prints this says so.
        json["JoinTokens"] = ["Worker": JSON(ClusterRecord.noToken), "Manager": JSON(ClusterRecord.noToken)]
        return json
    }

    private static let noToken = "none-this-swarm-has-one-node"
}
