import Base

/// An application that runs: its instances, at one isolation or by one peer.
final class RunningApplication {
    private var instances: [(name: String, instance: any Instance)] = []
    /// Why it does not work; nil once all are ready.
    private(set) var failure: String?

    /// Starts one after the other, each when those above are ready.
    ///
    /// - Parameters:
    ///   - deadline: until when all must be ready.
    /// - Throws: `.cancelled` when the user stops, or why one could not be made; nothing is left then.
    init(_ spec: ApplicationSpec, by runner: Runner, in bench: Bench, until deadline: Deadline) throws {
        let pod = runner == .skala(.pod) ? bench.newName() : nil
        do {
            for member in spec.members where failure == nil {
                try start(member, runner, pod: pod, bench, deadline)
            }
        } catch {
            remove()
            throw error
        }
    }

    private func start(
        _ member: ApplicationSpec.Member, _ runner: Runner, pod: String?, _ bench: Bench, _ deadline: Deadline
    ) throws {
        // Those of a pod are one host: its address is not that of a neighbour.
        let addresses = Dictionary(
            uniqueKeysWithValues: instances.map { ($0.name, pod == nil ? $0.instance.address : "127.0.0.1") })
        let environment = member.environment.map { "\($0.key)=\(AddressTemplate.fill($0.value, addresses))" }
        var instance = InstanceSpec(
            image: member.image, program: member.program, processors: member.processors, memory: member.memory,
            environment: environment, allocation: .hard, role: member.name)
        if let pod { instance.annotations = [("skala.pod", pod)] }
        let made = try bench.instance(instance, by: runner)
        instances.append((member.name, made))
        guard try made.isUp(until: deadline) else {
            failure = "\(member.name) did not boot in time"
            return
        }
        guard let ready = member.ready else { return }
        if try !made.isReady(ready, environment: environment, until: deadline) {
            failure = "\(member.name) was not ready in time: \(made.log().suffix(300))"
        }
    }

    /// Where the ports of an instance are reached from the host.
    func address(of name: String) -> String? { instances.first { $0.name == name }?.instance.address }

    /// What ended although nobody wanted it, for people.
    func ended() throws -> [String] {
        try instances.compactMap { name, instance in
            try instance.isRunning() ? nil : "\(name) ended meanwhile: \(instance.log().suffix(200))"
        }
    }

    /// Takes all of it away, the last first.
    func remove() {
        for (_, instance) in instances.reversed() { instance.remove() }
        instances = []
    }
}
