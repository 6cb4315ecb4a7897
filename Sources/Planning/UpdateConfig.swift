public import Base

/// How tasks are replaced when the service changes: the API's `UpdateConfig` and `RollbackConfig`.
public struct UpdateConfig: Sendable, Hashable {
    public enum FailureAction: String, Sendable, Hashable, CaseIterable { case pause, `continue`, rollback }

    public enum Order: String, Sendable, Hashable, CaseIterable {
        case stopFirst = "stop-first"
        case startFirst = "start-first"
    }

    /// As many at a time; 0: all.
    public var parallelism: Int
    /// Nanoseconds between one batch and the next.
    public var delay: Int64
    public var failureAction: FailureAction
    /// Nanoseconds that a new task is watched for, after it runs.
    public var monitor: Int64
    /// The part of the tasks that may fail, 0 to 1, before `failureAction` is taken.
    public var maximumFailureRatio: Double
    public var order: Order

    /// The defaults are Docker's.
    public init(
        parallelism: Int = 1, delay: Int64 = 0, failureAction: FailureAction = .pause, monitor: Int64 = 5_000_000_000,
        maximumFailureRatio: Double = 0, order: Order = .stopFirst
    ) {
        self.parallelism = parallelism
        self.delay = delay
        self.failureAction = failureAction
        self.monitor = monitor
        self.maximumFailureRatio = maximumFailureRatio
        self.order = order
    }

    /// Nil when there is none.
    init?(json: JSON, _ field: String) throws(SkalaError) {
        guard json.object != nil else { return nil }
        self.init()
        parallelism = Int(try json["Parallelism"].count("\(field).Parallelism") ?? 0)
        delay = try json["Delay"].count("\(field).Delay") ?? delay
        if let monitor = try json["Monitor"].count("\(field).Monitor"), monitor > 0 { self.monitor = monitor }
        if let text = json["FailureAction"].string, !text.isEmpty {
            guard let action = FailureAction(rawValue: text), field == "UpdateConfig" || action != .rollback else {
                throw SkalaError(.invalid, "\(field): unrecognized update failure action \(text)")
            }
            failureAction = action
        }
        if let ratio = json["MaxFailureRatio"].double { maximumFailureRatio = ratio }
        guard (0...1).contains(maximumFailureRatio) else {
            throw SkalaError(.invalid, "\(field).MaxFailureRatio lies between 0 and 1, not \(maximumFailureRatio)")
        }
        if let text = json["Order"].string, !text.isEmpty {
            guard let order = Order(rawValue: text) else {
                throw SkalaError(.invalid, "\(field): unrecognized update order \(text)")
            }
            self.order = order
        }
    }

    public var json: JSON {
        [
            "Parallelism": JSON(parallelism), "Delay": JSON(delay), "FailureAction": JSON(failureAction.rawValue),
            "Monitor": JSON(monitor), "MaxFailureRatio": JSON(maximumFailureRatio), "Order": JSON(order.rawValue),
        ]
    }
}
