/// What one probe of the host found.
struct Finding: Sendable {
    enum Level: String, Sendable {
        /// There, and tried.
        case ok
        /// Missing; containers run without it, at a cost.
        case limited
        /// Missing; containers do not run without it.
        case missing
    }

    let level: Level
    /// What was found.
    let detail: String
    /// What its absence costs.
    let cost: String
    /// How to mend it.
    let remedy: String

    static func ok(_ detail: String) -> Finding { Finding(level: .ok, detail: detail, cost: "", remedy: "") }

    static func limited(_ detail: String, costs cost: String, mend remedy: String) -> Finding {
        Finding(level: .limited, detail: detail, cost: cost, remedy: remedy)
    }

    static func missing(_ detail: String, costs cost: String, mend remedy: String) -> Finding {
        Finding(level: .missing, detail: detail, cost: cost, remedy: remedy)
    }
}
