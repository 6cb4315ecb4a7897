import Base
import Glibc
import Kernel

/// The work of several instances, begun at the same moment.
struct SimultaneousWork {
    struct Member {
        let workload: Workload
        let instance: any Instance
        /// Of its script, beside DURATION.
        var environment: [String] = []
    }

    /// A work was killed: there was too little memory for it.
    struct Killed: Error, CustomStringConvertible {
        let description: String
    }

    let members: [Member]
    /// Called again and again while it is waited for the ends.
    var check: () throws -> Void = {}

    /// Does it.
    ///
    /// - Returns: the value of each one's first measure; nil when one has not ended by the deadline.
    /// - Throws: when a work ends with an error, or says no value; `Killed`; `.cancelled` when the user stops.
    func values(until deadline: Deadline) throws -> [Double]? {
        // To start a script takes some milliseconds: those begun first wait for the last.
        let start = SystemClock.monotonicNanoseconds() + Int64(members.count) * 40_000_000
        for member in members { try begin(member, start, deadline) }
        try deadline.pause(members.map(\.workload.duration).max() ?? 0)
        var values: [Double] = []
        for member in members {
            guard let value = try end(member, deadline) else { return nil }
            values.append(value)
        }
        return values
    }

    private func begin(_ member: Member, _ start: Int64, _ deadline: Deadline) throws {
        guard case .inside(let script) = member.workload.work else { return }
        let wait = max(0, start - SystemClock.monotonicNanoseconds()) / 1_000_000
        let fraction = "\(1000 + wait % 1000)".dropFirst()
        // Files of each container's own, which are there when the work has ended.
        let job =
            "( sleep \(wait / 1000).\(fraction); ( \n\(script)\n) >/tmp/lab.output 2>&1; echo $? >/tmp/lab.status )"
            + " >/dev/null 2>&1 </dev/null &"
        let seconds = max(1, member.workload.duration / 1_000_000_000)
        let started = try member.instance.execute(
            job, environment: member.environment + ["DURATION=\(seconds)"], until: deadline)
        guard started.status == 0 else {
            throw SkalaError(
                .system, "\(member.workload.name): its work did not begin: \(started.output.suffix(300))")
        }
    }

    private func end(_ member: Member, _ deadline: Deadline) throws -> Double? {
        let (instance, workload) = (member.instance, member.workload)
        let hasEnded = try deadline.wait(every: 50_000_000) {
            try check()
            return try instance.execute("test -s /tmp/lab.status", environment: [], until: deadline).status == 0
        }
        guard hasEnded else { return nil }
        let said = try instance.execute(
            "cat /tmp/lab.output; exit $(cat /tmp/lab.status)", environment: [], until: deadline)
        try check()
        if said.status == 128 + SIGKILL { throw Killed(description: "\(workload.name) was killed") }
        guard said.status == 0 else {
            throw SkalaError(.system, "\(workload.name) ended with an error: \(said.output.suffix(300))")
        }
        guard let value = workload.measures[0].value(in: said) else {
            throw SkalaError(.invalid, "\(workload.name): no value in its output:\n\(said.output.suffix(1000))")
        }
        return value
    }
}
