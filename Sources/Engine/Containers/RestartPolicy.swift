import Base

/// When an ended container is started again, and how long later. Pure.
struct RestartPolicy {
    /// In nanoseconds; doubled with every restart up to the ceiling, and reset once a container has run for a while.
    static let initialDelay: Int64 = 100_000_000
    static let maximumDelay: Int64 = 60_000_000_000
    static let resetAfter: Int64 = 10_000_000_000

    let name: String
    let maximumRetryCount: Int64

    init(_ json: JSON) {
        name = json["Name"].string ?? "no"
        maximumRetryCount = json["MaximumRetryCount"].int ?? 0
    }

    /// - Throws: `.invalid` with Docker's texts.
    static func validate(_ json: JSON) throws(SkalaError) {
        let name = json["Name"].string ?? ""
        let count = json["MaximumRetryCount"].int ?? 0
        guard ["", "no", "always", "on-failure", "unless-stopped"].contains(name) else {
            throw SkalaError(.invalid, "invalid restart policy: unknown policy '\(name)'")
        }
        if count < 0 || count > 0 && name != "on-failure" {
            throw SkalaError(
                .invalid, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
        }
    }

    /// - Parameter restarts: how often it was restarted already.
    func shouldRestart(exitCode: Int64, restarts: Int64, wasStoppedByUser: Bool) -> Bool {
        guard !wasStoppedByUser else { return false }
        switch name {
        case "always", "unless-stopped": return true
        case "on-failure": return exitCode != 0 && (maximumRetryCount == 0 || restarts < maximumRetryCount)
        default: return false
        }
    }

    /// Whether the daemon starts it when it comes up and finds it not running.
    func startsWithDaemon(wasRunning: Bool, wasStoppedByUser: Bool) -> Bool {
        switch name {
        case "always": true
        case "unless-stopped": !wasStoppedByUser
        case "on-failure": wasRunning && !wasStoppedByUser
        default: false
        }
    }

    /// The delay after the next restart.
    static func next(_ delay: Int64) -> Int64 { min(delay * 2, maximumDelay) }
}
