import Base
import Client

extension GroupProcedure {
    /// What a trial works with.
    private struct Group {
        let workload: Workload
        let isolation: LabIsolation
        /// The value of the factor `allocation`.
        let way: String
        let count: Int
        let deadline: Deadline
        let fence: Fence?
        /// Bytes of the fence for each.
        let share: Int64

        func checkFence() throws(OutOfMemory) { if fence?.hasKilled == true { throw .fence } }
    }

    private enum OutOfMemory: Error {
        /// Something in the fence was killed.
        case fence
        /// The work was killed in a VM, which had less than it needs.
        case machine
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let workload = workloads.first(where: { $0.name == name }),
            let isolation = condition["isolation"].flatMap(LabIsolation.init)
        else { throw SkalaError(.invalid, "no such condition: \(condition)") }
        let count = copies(workload, condition["level"].flatMap { Double($0) } ?? levels[0])
        let group = Group(
            workload: workload, isolation: isolation, way: condition["allocation"] ?? allocations[0].rawValue,
            count: count,
            deadline: bench.deadline(workload.deadline),
            fence: try fence.map { try Fence(memory: $0.memory, engine: bench.client.address) },
            share: (fence?.memory ?? 0) / Int64(count))
        var instances: [any Instance] = []
        defer {
            for instance in instances { instance.remove() }
            bench.removePods()
            group.fence?.remove()
        }
        do {
            return try measure(group, &instances, bench)
        } catch let error as SkalaError where error.code == .cancelled {
            throw error
        } catch OutOfMemory.machine {
            return .killed("\(group.share >> 20) MiB were too little for a VM and its work")
        } catch {
            // Whatever it looked like from here: a start that failed, a connection that was lost.
            guard group.fence?.mayHaveKilled == true else { throw error }
            let memory = "\((fence?.memory ?? 0) >> 20) MiB"
            return .killed("\(count) instances did not get on with what they were given of the fence's \(memory)")
        }
    }

    private func measure(_ group: Group, _ instances: inout [any Instance], _ bench: Bench) throws -> Trial {
        let (workload, count) = (group.workload, group.count)
        let before = HostMemory.available()
        var spec = InstanceSpec(
            image: workload.image, program: workload.program, processors: workload.processors, memory: workload.memory,
            allocation: LabAllocation(rawValue: group.way) ?? .hard, role: "member")
        if let fence { fence.apply(group.way, share: group.share, to: &spec) }
        spec.cgroupParent = group.fence?.path
        if group.isolation == .pod, sharesPod {
            spec.annotations.append(("skala.pod", try bench.pod(for: spec, members: count)))
        }
        for number in 0..<count {
            spec.environment = GroupProcedure.environment(number, of: count, workload)
            instances.append(try bench.instance(spec, isolation: group.isolation))
        }
        if group.way == FenceSpec.Guests.balloon.rawValue {
            for case let instance as ContainerInstance in instances {
                try instance.shrink(to: group.share)
            }
        }
        for (number, instance) in instances.enumerated() {
            try group.checkFence()
            let environment = GroupProcedure.environment(number, of: count, workload)
            if let failure = try workload.makeReady(instance, environment: environment, group.deadline) {
                try group.checkFence()
                return group.deadline.hasPassed ? .unfinished(after: workload.deadline) : Trial(failure: failure)
            }
        }
        guard let values = try work(group, instances) else { return .unfinished(after: workload.deadline) }
        let used = try group.fence?.usage() ?? before - HostMemory.available()
        let mean = values.reduce(0, +) / Double(count)
        let slowest = isTotal(workload) ? (values.min() ?? 0) / mean : mean / (values.max() ?? 0)
        return Trial(values: [
            together(workload).name: isTotal(workload) ? mean * Double(count) : mean,
            "slowest": mean > 0 ? slowest : 0, "memory": Double(used) / Double(count) / Double(1 << 20),
        ])
    }

    /// By which instances may differ, and what each was promised, in MiB.
    private static func environment(_ number: Int, of count: Int, _ workload: Workload) -> [String] {
        ["NUMBER=\(number)", "COUNT=\(count)", "PROMISED=\(workload.memory >> 20)"]
    }

    /// Starts the work in all of them, and collects what they say at its end; nil when one does not end by the deadline.
    private func work(_ group: Group, _ instances: [any Instance]) throws -> [Double]? {
        let (workload, deadline) = (group.workload, group.deadline)
        guard case .inside(let script) = workload.work else { return nil }
        let seconds = max(1, workload.duration / 1_000_000_000)
        // A file of each container's own that is there when the work has ended.
        let job = "( (\n\(script)\n) >/tmp/lab.output 2>&1; echo $? >/tmp/lab.status ) >/dev/null 2>&1 </dev/null &"
        for (number, instance) in instances.enumerated() {
            let environment = ["DURATION=\(seconds)"] + GroupProcedure.environment(number, of: group.count, workload)
            let started = try instance.execute(job, environment: environment, until: deadline)
            guard started.status == 0 else {
                throw SkalaError(.system, "\(workload.name): its work did not begin: \(started.output.suffix(300))")
            }
        }
        try deadline.pause(workload.duration)
        var values: [Double] = []
        for instance in instances {
            let hasEnded = try deadline.wait(every: 100_000_000) {
                try group.checkFence()
                return try instance.execute("test -s /tmp/lab.status", environment: [], until: deadline).status == 0
            }
            guard hasEnded else { return nil }
            let end = "cat /tmp/lab.output; exit $(cat /tmp/lab.status)"
            let said = try instance.execute(end, environment: [], until: deadline)
            try group.checkFence()
            // By the guest's kernel.
            if said.status == 137, group.fence != nil { throw OutOfMemory.machine }
            guard said.status == 0 else {
                throw SkalaError(.system, "\(workload.name) ended with an error: \(said.output.suffix(300))")
            }
            guard let value = workload.measures[0].value(in: said) else {
                throw SkalaError(.invalid, "\(workload.name): no value in its output:\n\(said.output.suffix(1000))")
            }
            values.append(value)
        }
        return values
    }
}
