import Base
import Kernel

extension NetworkManager {
    /// Frees everything a container has here. The kernel takes the interfaces down in the background; what cannot be
    /// removed now is tried again.
    public func destroySandbox(_ containerID: String) async {
        guard var one = attached.removeValue(forKey: containerID) else { return }
        one.wasBalanced = leaveServices(containerID)
        // Before anything is awaited: its ports are not free yet.
        releasing[one.id] = one
        // At once again, for a start that follows: a call that failed for a moment is no reason to refuse it.
        var isReleased = await release(one.id)
        if !isReleased { isReleased = await release(one.id) }
        if !isReleased {
            let id = one.id
            BackgroundRetry.start { [weak self] in await self?.release(id) ?? true }
        }
        guard case .namespace = one.place else { return }
        if !NetworkNamespaces.remove(at: folder + "/" + containerID) {
            leftNamespaces.insert(containerID)
            BackgroundRetry.start { [weak self] in await self?.removeNamespace(of: containerID) ?? true }
        }
    }

    /// Tries once more to remove what could not be removed.
    public func sweep() async {
        for id in releasing.keys.sorted() { await release(id) }
        for container in leftNamespaces.sorted() { removeNamespace(of: container) }
    }

    /// Takes the rules of an ended container away, then its ports and addresses: as long as the kernel leads packets to
    /// an address, nobody else may have it.
    @discardableResult
    private func release(_ id: UInt64) async -> Bool {
        guard let one = releasing[id] else { return true }
        // Two at a time could take away what has been published anew in between.
        guard !one.isBeingReleased else { return false }
        releasing[id]?.isBeingReleased = true
        defer { releasing[id]?.isBeingReleased = false }
        if !one.ports.isEmpty, let target = one.portTarget {
            do {
                try await firewall.unpublish(one.ports, from: target)
            } catch { return false }
        }
        if one.wasBalanced {
            do {
                try await balancer.apply()
                if case .member = one.place {} else { try await forgetConnections(to: one.endpoints) }
            } catch { return false }
        }
        guard let one = releasing.removeValue(forKey: id) else { return true }
        for endpoint in one.endpoints { free(endpoint, of: one.place) }
        return true
    }

    @discardableResult
    private func removeNamespace(of container: String) -> Bool {
        // A new start may have taken it, and then the path is its own.
        guard leftNamespaces.contains(container) else { return true }
        guard NetworkNamespaces.remove(at: folder + "/" + container) else { return false }
        leftNamespaces.remove(container)
        return true
    }
}
