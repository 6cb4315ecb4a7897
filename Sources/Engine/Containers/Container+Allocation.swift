import Base
import Kernel

extension Container {
    /// The mode; it was checked when it was set.
    var allocation: Allocation { (try? Allocation(record.hostConfig)) ?? .shared }

    /// The cores the container is to start with, claimed for it; nil for all.
    func claimCores() async throws -> CPUSet? {
        let named = record.hostConfig["CpusetCpus"].string.flatMap { $0.isEmpty ? nil : $0 }
        let wanted = try named.map { (text) throws(SkalaError) in try CPUSet(parsing: text) }
        guard allocation == .dedicated else { return await containers.sharedCores(wanted: wanted) }
        let nano = record.hostConfig["NanoCpus"].int ?? 0
        let count = nano > 0 ? Int((nano + 999_999_999) / 1_000_000_000) : wanted?.cores.count ?? 1
        return try await containers.claimCores(id, count: count, wanted: wanted)
    }

    /// Changes the allocation of the container, at once when it runs.
    ///
    /// - Throws: `.exhausted` when the cores are not there; the container then keeps what it had.
    func setAllocation(_ name: String) async throws {
        let old = record.hostConfig["Annotations"]
        if old.isNull { record.hostConfig["Annotations"] = [:] }
        record.hostConfig["Annotations"][Allocation.annotation] = JSON(name)
        do {
            let allocation = try Allocation(record.hostConfig)
            if record.state.isAlive {
                if allocation != .dedicated { await containers.releaseCores(id) }
                _ = try await claimCores()
                await applyResources()
            }
        } catch {
            record.hostConfig["Annotations"] = old
            throw error
        }
    }

    /// Writes the container's limits again: its cores may be others than before.
    func applyResources() async {
        guard record.state.isAlive else { return }
        do {
            let all = await containers.onlineCores
            let cores = try await claimCores() ?? all
            var resources =
                record.isolation == .machine
                ? machineResources(record.hostConfig)
                : ContainerResources.spec(record.hostConfig, defaultPidsLimit: nil)
            allocation.adjust(&resources, cores: cores)
            if resources["cpu"]["shares"].isNull { resources["cpu"]["shares"] = 1024 }
            try await applyLimits(resources)
        } catch { engine.log.error("cannot set the cores of a container", ["container": id, "error": "\(error)"]) }
    }
}

extension Containers {
    func sharedCores(wanted: CPUSet?) -> CPUSet? { cores.shared(wanted: wanted) }
    var onlineCores: CPUSet { cores.online }

    func claimCores(_ id: String, count: Int, wanted: CPUSet?) throws -> CPUSet {
        let isNew = cores.dedicated[id] == nil
        let claimed = try cores.claim(id, count: count, wanted: wanted)
        if isNew { moveOthers(besides: id) }
        return claimed
    }

    func releaseCores(_ id: String) {
        if cores.release(id) { moveOthers(besides: id) }
    }

    func adoptCores(_ id: String, _ cores: CPUSet) { self.cores.adopt(id, cores) }
    func dedicatedCores(_ id: String) -> CPUSet? { cores.dedicated[id] }

    /// All running containers without cores of their own go to the cores that are left.
    private func moveOthers(besides id: String) {
        let others = all().filter { $0.id != id && cores.dedicated[$0.id] == nil }
        Task { for container in others { await container.applyResources() } }
    }
}
