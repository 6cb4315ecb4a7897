public import Base

/// Which isolation and allocation to choose, and why.
public struct Advice: Sendable, Hashable {
    public struct Choice: Sendable, Hashable {
        public var isolation: String
        public var allocation: String

        public init(_ isolation: String, _ allocation: String) {
            self.isolation = isolation
            self.allocation = allocation
        }
    }

    public var choice: Choice
    /// The most important first; each with what was measured.
    public var reasons: [String]
    /// What else it could be, and why it is not.
    public var runnerUp: (choice: Choice, why: String)
    /// What to type.
    public var commands: [String]
    /// What must be known to read the figures.
    public var remarks: [String]

    public static func == (left: Advice, right: Advice) -> Bool { left.json == right.json }

    public func hash(into hasher: inout Hasher) { hasher.combine(json) }

    public var json: JSON {
        [
            "Isolation": JSON(choice.isolation), "Allocation": JSON(choice.allocation), "Reasons": JSON(reasons),
            "RunnerUp": [
                "Isolation": JSON(runnerUp.choice.isolation), "Allocation": JSON(runnerUp.choice.allocation),
                "Why": JSON(runnerUp.why),
            ],
            "Commands": JSON(commands), "Remarks": JSON(remarks),
        ]
    }

    public var text: String {
        var text = "\(choice.isolation), \(choice.allocation)\n\nWhy:\n"
        for reason in reasons { text += "  - \(reason)\n" }
        text += "\nNot \(runnerUp.choice.isolation), \(runnerUp.choice.allocation): \(runnerUp.why)\n"
        if !commands.isEmpty { text += "\nType:\n" + commands.map { "  \($0)\n" }.joined() }
        if !remarks.isEmpty { text += "\nMind:\n" + remarks.map { "  - \($0)\n" }.joined() }
        return text
    }
}
