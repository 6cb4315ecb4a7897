public import Base

/// What was measured of a service at one time.
public struct LoadSample: Sendable, Hashable {
    public var at: Timestamp
    /// That serve.
    public var tasks: Int
    /// Of those, the ones whose CPU, memory and pressure were measured; a new one has no measurement yet.
    public var measuredTasks: Int
    /// What is not known is not in it.
    public var values: [Signal: Double]
    /// CPU time that tasks waited for and did not get, in percent of what one may use, mean over those measured.
    public var waitedForCPU: Double
    /// Requests that wait for a first task.
    public var held: Int

    public init(
        at: Timestamp, tasks: Int, measuredTasks: Int? = nil, values: [Signal: Double], waitedForCPU: Double = 0,
        held: Int = 0
    ) {
        self.at = at
        self.tasks = tasks
        self.measuredTasks = min(measuredTasks ?? tasks, tasks)
        self.values = values
        self.waitedForCPU = waitedForCPU.isFinite ? max(0, waitedForCPU) : 0
        self.held = held
    }

    /// Whether nobody asks for anything; nil when that is not known.
    var isIdle: Bool? {
        let requests = [Signal.requestsPerSecond, .concurrency].compactMap { values[$0] }
        if held > 0 { return false }
        return requests.isEmpty ? nil : requests.allSatisfy { $0 <= 0 }
    }
}
