public import Base

/// What follows the end of a task: the API's `RestartPolicy` of a task.
public struct TaskRestartPolicy: Sendable, Hashable {
    public enum Condition: String, Sendable, Hashable {
        case none, any
        case onFailure = "on-failure"
    }

    /// Nil: not said.
    public var givenCondition: Condition?
    /// Nanoseconds before a new task is started; nil: not said, so that the planner may start the first one at once and
    /// back off only when tasks keep ending.
    public var delay: Int64?
    /// 0: without limit.
    public var maximumAttempts: Int64
    /// Nanoseconds over which attempts count; 0: without end.
    public var window: Int64

    public var condition: Condition { givenCondition ?? .any }
    public var isConditionDefault: Bool { givenCondition == nil }

    public init(condition: Condition? = nil, delay: Int64? = nil, maximumAttempts: Int64 = 0, window: Int64 = 0) {
        givenCondition = condition
        self.delay = delay
        self.maximumAttempts = maximumAttempts
        self.window = window
    }

    init(json: JSON) throws(SkalaError) {
        let text = json["Condition"].string ?? ""
        givenCondition = Condition(rawValue: text)
        guard text.isEmpty || givenCondition != nil else {
            throw SkalaError(.invalid, "RestartPolicy.Condition is none, on-failure or any, not \(text)")
        }
        delay = try json["Delay"].count("RestartPolicy.Delay")
        maximumAttempts = try json["MaxAttempts"].count("RestartPolicy.MaxAttempts") ?? 0
        window = try json["Window"].count("RestartPolicy.Window") ?? 0
    }

    public var json: JSON {
        var json: JSON = [:]
        if let givenCondition { json["Condition"] = JSON(givenCondition.rawValue) }
        if let delay { json["Delay"] = JSON(delay) }
        json["MaxAttempts"] = JSON(maximumAttempts)
        if window != 0 { json["Window"] = JSON(window) }
        return json
    }
}
