/// What a node has, and what its tasks hold of it, together: a placement reads and writes all of it.
struct NodeLoad: Sendable {
    var cpuCapacity: Int64 = 0
    var memoryCapacity: Int64 = 0
    /// Reserved, and what sandboxes cost.
    var sharedCPU: Int64 = 0
    var sharedMemory: Int64 = 0
    var dedicatedCPU: Int64 = 0
    var dedicatedMemory: Int64 = 0
    var cpuPercent: Int32 = 100
    var memoryPercent: Int32 = 100
    var tasks: Int32 = 0
    /// None while the node takes no tasks.
    var maximumTasks: Int32 = 0

    /// One divided by the budgets; 0 when there is nothing to promise.
    private var perCPU: Float = 0
    private var perMemory: Float = 0

    /// What may be promised: the capacity times the overcommit ratio. What is dedicated counts as often.
    var cpuBudget: Int64 { cpuCapacity * Int64(cpuPercent) / 100 }
    var memoryBudget: Int64 { memoryCapacity * Int64(memoryPercent) / 100 }
    var cpuUsed: Int64 { sharedCPU + (dedicatedCPU * Int64(cpuPercent) + 99) / 100 }
    var memoryUsed: Int64 { sharedMemory + (dedicatedMemory * Int64(memoryPercent) + 99) / 100 }

    /// What another task may reserve.
    var freeCPU: Int64 { cpuBudget - cpuUsed }
    var freeMemory: Int64 { memoryBudget - memoryUsed }

    /// What another task may have for itself. A core stays for all others, unless there is only one.
    var freeDedicatedCPU: Int64 {
        let core = cpuCapacity > Demand.core ? Demand.core : 0
        return min(cpuCapacity - core - dedicatedCPU, freeCPU * 100 / Int64(cpuPercent))
    }

    var freeDedicatedMemory: Int64 { freeMemory * 100 / Int64(memoryPercent) }

    /// The larger share that is promised, 0 to 1.
    var share: Float { min(1, max(Float(cpuUsed) * perCPU, Float(memoryUsed) * perMemory)) }

    /// Takes, or with a sign of -1 gives back.
    mutating func take(_ demand: Demand, sign: Int64) {
        tasks += Int32(sign)
        if demand.isDedicated {
            dedicatedCPU += sign * demand.cpu
            dedicatedMemory += sign * demand.memory
        } else {
            sharedCPU += sign * demand.cpu
            sharedMemory += sign * demand.memory
        }
    }

    mutating func take(_ sandboxes: Int64, of overhead: TaskResources.Amounts) {
        sharedCPU += sandboxes * overhead.nanoCPUs
        sharedMemory += sandboxes * overhead.memoryBytes
    }

    /// New ratios and capacity; what is used keeps its meaning.
    mutating func adopt(_ node: NodeDescription) {
        cpuCapacity = node.capacity.nanoCPUs
        memoryCapacity = node.capacity.memoryBytes
        cpuPercent = Int32(clamping: node.overcommit.cpuPercent)
        memoryPercent = Int32(clamping: node.overcommit.memoryPercent)
        perCPU = cpuBudget > 0 ? 1 / Float(cpuBudget) : 0
        perMemory = memoryBudget > 0 ? 1 / Float(memoryBudget) : 0
        maximumTasks = node.isOpen ? Int32(clamping: node.maximumTasks) : 0
    }
}
