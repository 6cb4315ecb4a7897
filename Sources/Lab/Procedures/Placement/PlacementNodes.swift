import Base

/// Runs tasks on shares of this host's processors, all at the same time.
struct PlacementNodes {
    /// The processors of each node, in the form of cpuset(7).
    let shares: [String]
    let processors: Int
    let isolation: LabIsolation
    let bench: Bench

    /// Fresh instances for all, which are removed at the end.
    ///
    /// - Returns: what each one's first measure said; nil when one did not finish by its deadline.
    func run(_ tasks: [(workload: Workload, node: Int)]) throws -> [Double]? {
        let deadline = bench.deadline(tasks.map(\.workload.deadline).max() ?? 0)
        var members: [SimultaneousWork.Member] = []
        defer { for member in members { member.instance.remove() } }
        for task in tasks {
            let workload = task.workload
            // Equal weights within the node's processors, as tasks of services have them.
            let spec = InstanceSpec(
                image: workload.image, program: workload.program, processors: Double(processors),
                memory: workload.memory, environment: ["PROCESSORS=\(processors)"], allocation: .shared,
                processorSet: shares[task.node], role: "task")
            members.append(
                .init(
                    workload: workload, instance: try bench.instance(spec, isolation: isolation),
                    environment: spec.environment))
        }
        for member in members {
            if let failure = try member.workload.makeReady(member.instance, deadline) {
                throw SkalaError(.system, "\(member.workload.name) \(failure)")
            }
        }
        return try SimultaneousWork(members: members).values(until: deadline)
    }
}
