import Kernel
import Machines
import Synchronization

/// VMs that have been cloned, warmed up and stopped, and wait for a container: a start from here saves the clone, and
/// under emulation most of what the guest does for the first time.
final class SpareMachines: Sendable {
    private struct State {
        var machines: [MachineShape: [VirtualMachine]] = [:]
        var preparing: [MachineShape: Int] = [:]
        /// When VMs of a shape were asked for, on the monotonic clock.
        var starts: [MachineShape: [Int64]] = [:]
        /// What is made for an older template must not come in.
        var generation = 0
    }

    /// As many are kept as were asked for in this time, up to the limit, in nanoseconds.
    private static let demandWindow: Int64 = 30_000_000_000
    /// Without a start for this long the spare ones end.
    private static let idleTime: Int64 = 300_000_000_000

    private static let refillDelay: UInt64 = 500_000_000

    private let limit: Int
    private let memory: Int64
    private let log: Log
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: spare VMs of each shape at most; 0 keeps none.
    ///   - memory: bytes that all of them may have together, counted as if they used all they are given.
    init(limit: Int, memory: Int64, log: Log) {
        self.limit = limit
        self.memory = memory
        self.log = log
    }

    /// One of them, when there is one that still runs; and those that were found ended, of which the caller removes what
    /// they left.
    func take(_ shape: MachineShape) -> (machine: VirtualMachine?, ended: [VirtualMachine]) {
        state.withLock { state in
            var ended: [VirtualMachine] = []
            while let machine = state.machines[shape]?.popLast() {
                if machine.isAlive { return (machine, ended) }
                ended.append(machine)
            }
            return (nil, ended)
        }
    }

    var count: Int { state.withLock { $0.machines.values.reduce(0) { $0 + $1.count } } }

    func removeAll() -> [VirtualMachine] {
        state.withLock { state in
            state.generation += 1
            defer { state.machines = [:] }
            return state.machines.values.flatMap { $0 }
        }
    }

    /// A VM of that shape has been asked for: makes as many as the demand of late suggests, one after the other.
    ///
    /// - Parameter settled: a VM that was made is kept from then on, or has gone.
    func refill(
        _ shape: MachineShape, _ make: @escaping @Sendable () async throws -> VirtualMachine,
        settled: @escaping @Sendable (VirtualMachine) async -> Void
    ) {
        let now = SystemClock.monotonicNanoseconds()
        let generation: Int? = state.withLock { state in
            state.starts[shape, default: []].append(now)
            state.starts[shape]?.removeAll { $0 < now - SpareMachines.demandWindow }
            return claimPlace(shape, &state)
        }
        guard let generation else { return }
        Task { [self] in
            do {
                // The start that asked for one goes first: both want the processor.
                try await Task.sleep(nanoseconds: SpareMachines.refillDelay)
                let machine = try await make()
                if !add(machine, shape, generation) { await machine.destroy() }
                await settled(machine)
                try await Task.sleep(nanoseconds: UInt64(SpareMachines.idleTime))
                for machine in removeIdle(shape) { await machine.destroy() }
            } catch {
                state.withLock { $0.preparing[shape, default: 1] -= 1 }
                log.error("cannot make a spare VM", ["error": "\(error)"])
            }
        }
    }

    /// The generation to make one for; nil when there are enough.
    private func claimPlace(_ shape: MachineShape, _ state: inout State) -> Int? {
        let wanted = min(limit, state.starts[shape]?.count ?? 0)
        let there = (state.machines[shape]?.count ?? 0) + state.preparing[shape, default: 0]
        guard there < wanted, SpareMachines.memory(of: state) + shape.memory <= memory else { return nil }
        state.preparing[shape, default: 0] += 1
        return state.generation
    }

    /// Bytes.
    private static func memory(of state: State) -> Int64 {
        state.machines.reduce(0) { $0 + $1.key.memory * Int64($1.value.count) }
            + state.preparing.reduce(0) { $0 + $1.key.memory * Int64($1.value) }
    }

    private func add(_ machine: VirtualMachine, _ shape: MachineShape, _ generation: Int) -> Bool {
        state.withLock { state in
            state.preparing[shape, default: 1] -= 1
            guard state.generation == generation else { return false }
            state.machines[shape, default: []].append(machine)
            return true
        }
    }

    private func removeIdle(_ shape: MachineShape) -> [VirtualMachine] {
        let now = SystemClock.monotonicNanoseconds()
        return state.withLock { state in
            guard (state.starts[shape]?.last ?? 0) <= now - SpareMachines.idleTime else { return [] }
            return state.machines.removeValue(forKey: shape) ?? []
        }
    }
}
