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

        func checkFence() throws(OutOfMemory) { if fence?.hasKilled == true { throw OutOfMemory() } }
    }

    /// Something in the fence was killed.
    private struct OutOfMemory: Error {}

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
        } catch is SimultaneousWork.Killed where group.fence?.hasKilled == false {
            // By the guest's kernel.
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
        var members: [SimultaneousWork.Member] = []
        for number in 0..<count {
            // By which they may differ, and what each was promised, in MiB.
            spec.environment = ["NUMBER=\(number)", "COUNT=\(count)", "PROMISED=\(workload.memory >> 20)"]
            let instance = try bench.instance(spec, isolation: group.isolation)
            instances.append(instance)
            members.append(.init(workload: workload, instance: instance, environment: spec.environment))
        }
        if group.way == FenceSpec.Guests.balloon.rawValue {
            for case let instance as ContainerInstance in instances {
                try instance.shrink(to: group.share)
            }
        }
        var deadline = group.deadline
        for instance in instances {
            guard let later = try instance.deadlineOnceUp(deadline) else { return Trial(failure: "did not boot") }
            deadline = later
        }
        for member in members {
            try group.checkFence()
            if let failure = try workload.makeReady(
                member.instance, environment: member.environment, deadline)
            {
                try group.checkFence()
                return deadline.hasPassed ? .unfinished(after: workload.deadline) : Trial(failure: failure)
            }
        }
        let work = SimultaneousWork(members: members, check: group.checkFence)
        guard let values = try work.values(until: deadline) else {
            return .unfinished(after: workload.deadline)
        }
        let used = try group.fence?.usage() ?? before - HostMemory.available()
        let mean = values.reduce(0, +) / Double(count)
        let slowest = isTotal(workload) ? (values.min() ?? 0) / mean : mean / (values.max() ?? 0)
        return Trial(values: [
            together(workload).name: isTotal(workload) ? mean * Double(count) : mean,
            "slowest": mean > 0 ? slowest : 0, "memory": Double(used) / Double(count) / Double(1 << 20),
        ])
    }
}
