public import Base

/// Where tasks may run: the API's `Placement`.
public struct Placement: Sendable, Hashable {
    /// One of `Constraints`: `node.labels.disk==ssd`, `node.hostname!=a`.
    public struct Constraint: Sendable, Hashable {
        /// `node.id`, `node.hostname`, `node.role`, `node.platform.os`, `node.platform.arch`, `node.labels.…`,
        /// `engine.labels.…`.
        public let key: String
        public let isEqual: Bool
        public let value: String

        public init(key: String, isEqual: Bool, value: String) {
            self.key = key
            self.isEqual = isEqual
            self.value = value
        }

        public init(parsing text: String) throws(SkalaError) {
            // The first operator counts: a value may hold the other one.
            let characters = Array(text)
            let at = characters.indices.dropLast().first {
                characters[$0 + 1] == "=" && (characters[$0] == "=" || characters[$0] == "!")
            }
            guard let at else {
                throw SkalaError(
                    .invalid, "constraint expected one operator from ==, !=: '\(text)'")
            }
            key = Constraint.trimmed(characters[..<at])
            isEqual = characters[at] == "="
            value = Constraint.trimmed(characters[(at + 2)...])
            let known = ["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"]
            let isLabel = ["node.labels.", "engine.labels."].contains { key.hasPrefix($0) && key.count > $0.count }
            guard known.contains(key) || isLabel else {
                throw SkalaError(.invalid, "invalid placement constraint '\(text)': nodes have no \(key)")
            }
            guard !value.isEmpty else {
                throw SkalaError(.invalid, "invalid placement constraint '\(text)': it has no value")
            }
        }

        private static func trimmed(_ characters: ArraySlice<Character>) -> String {
            let tail = characters.drop { $0 == " " }
            return String(tail.prefix((tail.lastIndex { $0 != " " } ?? tail.startIndex - 1) - tail.startIndex + 1))
        }

        public var text: String { key + (isEqual ? "==" : "!=") + value }
    }

    public var constraints: [Constraint]
    /// The keys to spread over, the most important first: `node.labels.zone`.
    public var spread: [String]
    /// On one node; 0: without limit.
    public var maximumReplicas: Int
    /// As the client named them: `[{Architecture, OS}]`. One of them has to be the node's.
    public var platforms: JSON

    public init(
        constraints: [Constraint] = [], spread: [String] = [], maximumReplicas: Int = 0, platforms: JSON = .null
    ) {
        self.constraints = constraints
        self.spread = spread
        self.maximumReplicas = maximumReplicas
        self.platforms = platforms
    }

    init(json: JSON) throws(SkalaError) {
        constraints = []
        for entry in json["Constraints"].array ?? [] {
            guard let text = entry.string else {
                throw SkalaError(.invalid, "Placement.Constraints is an array of strings")
            }
            constraints.append(try Constraint(parsing: text))
        }
        spread = []
        for entry in json["Preferences"].array ?? [] {
            guard let key = entry["Spread"]["SpreadDescriptor"].string, !key.isEmpty else {
                throw SkalaError(.invalid, "a placement preference is Spread with a SpreadDescriptor")
            }
            spread.append(key)
        }
        maximumReplicas = Int(try json["MaxReplicas"].count("Placement.MaxReplicas") ?? 0)
        platforms = json["Platforms"]
    }

    public var json: JSON {
        var json: JSON = [:]
        if !constraints.isEmpty { json["Constraints"] = JSON(constraints.map(\.text)) }
        if !spread.isEmpty {
            json["Preferences"] = JSON(spread.map { ["Spread": ["SpreadDescriptor": JSON($0)]] })
        }
        if maximumReplicas != 0 { json["MaxReplicas"] = JSON(maximumReplicas) }
        if !platforms.isNull { json["Platforms"] = platforms }
        return json
    }
}
