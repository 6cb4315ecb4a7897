public import Base

/// How many tasks a service wants, and whether they go on or end.
public enum ServiceMode: Sendable, Hashable {
    /// So many tasks that run on, anywhere.
    case replicated(replicas: Int)
    /// One task on every node that fits.
    case global
    /// Tasks that end, until so many have completed; at most `maximumConcurrent` at a time.
    case replicatedJob(maximumConcurrent: Int, totalCompletions: Int)
    /// One task that ends, on every node that fits.
    case globalJob

    /// More tasks than any node runs: a slip of the finger.
    public static let maximumReplicas = 1_000_000

    public init(json: JSON) throws(SkalaError) {
        let given = ["Replicated", "Global", "ReplicatedJob", "GlobalJob"].filter { !json[$0].isNull }
        guard given.count <= 1 else {
            throw SkalaError(.invalid, "a service has one mode, not \(given.joined(separator: " and "))")
        }
        switch given.first {
        case "Global": self = .global
        case "GlobalJob": self = .globalJob
        case "ReplicatedJob":
            let job = json["ReplicatedJob"]
            let total = try ServiceMode.number(job["TotalCompletions"], "ReplicatedJob.TotalCompletions")
            let concurrent = try ServiceMode.number(job["MaxConcurrent"], "ReplicatedJob.MaxConcurrent")
            self = .replicatedJob(
                maximumConcurrent: concurrent ?? total ?? 1, totalCompletions: total ?? concurrent ?? 1)
        default:
            self = .replicated(
                replicas: try ServiceMode.number(json["Replicated"]["Replicas"], "Replicated.Replicas") ?? 1)
        }
    }

    private static func number(_ json: JSON, _ field: String) throws(SkalaError) -> Int? {
        guard let value = try json.count(field) else { return nil }
        guard value <= maximumReplicas else {
            throw SkalaError(.invalid, "\(field) is at most \(maximumReplicas), not \(value)")
        }
        return Int(value)
    }

    public var json: JSON {
        switch self {
        case .replicated(let replicas): ["Replicated": ["Replicas": JSON(replicas)]]
        case .global: ["Global": [:]]
        case .replicatedJob(let concurrent, let total):
            ["ReplicatedJob": ["MaxConcurrent": JSON(concurrent), "TotalCompletions": JSON(total)]]
        case .globalJob: ["GlobalJob": [:]]
        }
    }

    /// As the filter `mode` of the API names it.
    public var name: String {
        switch self {
        case .replicated: "replicated"
        case .global: "global"
        case .replicatedJob: "replicated-job"
        case .globalJob: "global-job"
        }
    }

    public var isJob: Bool {
        switch self {
        case .replicatedJob, .globalJob: true
        case .replicated, .global: false
        }
    }

    public var isGlobal: Bool { self == .global || self == .globalJob }
}
