import Base
import Engine
import Kernel
public import Networks
import Planning

extension Cluster {
    /// Longer than the grace of tasks that are told to stop.
    private static let releaseDeadline: Int64 = 60_000_000_000

    /// Waits until no task is on the network, before it is removed.
    ///
    /// - Throws: `.forbidden` with Docker's text while a service is on it; `.timedOut` when its last tasks do not end.
    public func release(_ network: Network) async throws {
        guard isActive else { return }
        for service in try await services() {
            guard service.spec.task.networks.contains(where: { [network.id, network.name].contains($0.target) }) else {
                continue
            }
            throw SkalaError(
                .forbidden,
                "rpc error: code = FailedPrecondition desc = network \(network.id) is in use by service \(service.id)")
        }
        let deadline = SystemClock.monotonicNanoseconds() + Cluster.releaseDeadline
        while try await isLeft(network) {
            guard SystemClock.monotonicNanoseconds() < deadline else {
                throw SkalaError(.timedOut, "network \(network.name) is in use by tasks that do not end")
            }
            try await Task.sleep(nanoseconds: 20_000_000)
        }
    }

    /// Whether a service that was removed, or a task that was told to stop, is still on the network.
    private func isLeft(_ network: Network) async throws -> Bool {
        let names = [network.id, network.name]
        for reconciler in reconcilers.values {
            let spec = await reconciler.service.spec
            if spec.task.networks.contains(where: { names.contains($0.target) }) { return true }
        }
        return try await tasks().contains { task in
            task.state.isActive && task.spec.networks.contains { names.contains($0.target) }
        }
    }
}
