import Base
import Machines

/// Limits of a running container: on the host, and in its VM.
extension Container {
    /// Changes `linux.resources` of the running container.
    func applyLimits(_ resources: JSON) async throws {
        guard let machine else {
            try await sandbox.request("update", ["id": JSON(id), "resources": resources])
            return
        }
        let (host, guest) = MachineLimits.part(resources)
        // A pod's QEMU works for others, too: limits of one container hold inside.
        if host.object?.isEmpty == false, record.isolation == .microvm {
            try await engine.warden.request("update", ["id": JSON(machine.id), "resources": host])
        }
        try await sandbox.request("update", ["id": JSON(id), "resources": guest])
    }

    /// Checks new limits for the container's VM; see `MachineLimits.check`.
    func checkMachineUpdate(_ changes: JSON) throws -> [String] {
        guard record.isolation == .microvm, machine != nil, record.state.isAlive else { return [] }
        try requireAwake()
        return try MachineLimits.check(
            changes, memory: record.machineMemory, processors: record.machineProcessors)
    }

    /// `Machine` of `inspect`: what the container's VM has, and what it costs the host.
    func machineDocument() async -> JSON {
        guard let machine, record.state.isAlive else { return .null }
        // It ends just now: then there is nothing to tell.
        let host = (try? await engine.warden.request("stats", ["id": JSON(machine.id)])) ?? [:]
        let limit = record.hostConfig["Memory"].int ?? 0
        let usable = record.machineMemory - MachineShape.overhead
        return [
            "Id": JSON(machine.id), "Memory": JSON(record.machineMemory),
            "Processors": JSON(record.machineProcessors),
            "UsableMemory": JSON(limit > 0 ? min(limit, usable) : usable),
            "Host": ["CpuUsage": host["cpu"]["usage"], "MemoryUsage": host["memory"]["usage"]],
        ]
    }
}
