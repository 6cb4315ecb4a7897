public import Base
import Glibc
import Kernel
import Machines

/// Snapshots of whole pods: the memory of the VM, and with it of all that runs in it, and their disks.
extension Pods {
    /// The API's list, oldest first.
    public func snapshots(of reference: String) async throws -> [JSON] {
        try await find(reference).snapshot.snapshots.map(\.document)
    }

    /// Takes a snapshot of a pod that runs. Its containers stand still only while it is copied; a kill at any moment leaves none,
    /// or all of it. When this returns, it is on the host's disk.
    ///
    /// - Throws: `.conflict` when the pod does not run, one in it is paused, or the name is taken; `.invalid` when one uses folders of the
    ///   host.
    public func takeSnapshot(of reference: String, name: String?, report: ProgressReport) async throws -> String {
        let pod = try find(reference)
        let inside = await inhabitants(of: pod)
        return try await Pods.withLifecycles(of: inside) {
            var running: [Container] = []
            for container in inside {
                if try await container.isReadyForPodSnapshot() { running.append(container) }
            }
            guard !running.isEmpty else {
                throw SkalaError(.conflict, "pod \(pod.name) does not run: there is no memory to keep")
            }
            return try await pod.takeSnapshot(name: name, running, report: report)
        }
    }

    /// Takes a pod back to a snapshot. Whatever runs in it is killed; those that were in it then go on from there, the others are
    /// stopped.
    public func restore(_ reference: String, to name: String, report: @escaping ProgressReport) async throws {
        let pod = try find(reference)
        let inside = await inhabitants(of: pod)
        try await Pods.withLifecycles(of: inside) {
            let (snapshot, folder) = try await pod.loadable(name)
            var returning: [(container: Container, member: PodSnapshot.Member)] = []
            for member in snapshot.members {
                guard let container = inside.first(where: { $0.id == member.id }) else {
                    throw SkalaError(
                        .conflict, "container \(member.name) of snapshot '\(name)' is not in pod \(pod.name) any more")
                }
                try await container.checkReturnsToPod()
                returning.append((container, member))
            }
            report("Copying the files of snapshot \(name)")
            do {
                for (container, member) in returning {
                    try await container.stageDisk(from: PodSnapshot.disk(member, in: folder))
                }
                for container in inside { try await container.endForPod() }
                for (container, _) in returning { try await container.exchangeFiles() }
            } catch {
                for (container, _) in returning { await container.removeHalfMade() }
                await containers.lookForStalledMachines()
                throw error
            }
            report("Continuing from snapshot \(name)")
            var members: [(Pod.Member, Int)] = []
            for (container, member) in returning { members.append((try await container.podMember(), member.place)) }
            await pod.prepareReturn(PodReturn(folder: folder, snapshot: snapshot, members: members))
            do {
                for (container, _) in returning { try await container.returnToPod() }
                await pod.endReturn(to: name)
            } catch {
                for container in inside { try? await container.endForPod() }  // the first error is the one that tells
                await pod.endReturn(to: nil)
                throw error
            }
        }
    }

    public func removeSnapshot(_ name: String, of reference: String) async throws {
        try await find(reference).removeSnapshot(name)
    }

    private func inhabitants(of pod: Pod) async -> [Container] {
        var found: [Container] = []
        for id in members(of: pod).sorted() {
            if let container = await containers.existing(id) { found.append(container) }
        }
        return found
    }

    /// Nobody starts, stops or removes one of them meanwhile.
    private static func withLifecycles<Value>(
        of containers: [Container], isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
    ) async throws -> Value {
        guard let first = containers.first else { return try await body() }
        return try await first.lifecycle.withLock(isolation: isolation) {
            try await withLifecycles(of: Array(containers.dropFirst()), isolation: isolation, body)
        }
    }
}

/// What a pod's next VM continues from.
struct PodReturn: Sendable {
    let folder: String
    let snapshot: PodSnapshot
    /// With their places.
    let members: [(Pod.Member, Int)]
}
