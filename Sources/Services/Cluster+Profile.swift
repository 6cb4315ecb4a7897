public import Base
import Kernel
public import Planning
import Store

extension Cluster {
    private static let kind = "host-profile"

    /// Takes in what a run of the lab found on this host, entry by entry; tasks that are placed from now on are placed by it.
    ///
    /// - Parameter force: lets a shortened run replace what a full one found.
    /// - Returns: all that is known now, and how many of the new entries were left out for better ones.
    public func take(
        profile new: HostProfile, force: Bool
    ) async throws -> (profile: HostProfile, leftOut: Int) {
        try await turn.withPlace {
            let merged = hostProfile?.merging(new, force: force) ?? (profile: new, leftOut: 0)
            guard merged.profile.entries.count <= HostProfile.maximumEntries else {
                throw SkalaError(.exhausted, "a host profile has at most \(HostProfile.maximumEntries) entries")
            }
            try await context.store.put(Cluster.kind, "host", merged.profile.json)
            adopt(merged.profile)
            return merged
        }
    }

    public func forgetProfile() async throws {
        try await turn.withPlace {
            guard hostProfile != nil else { throw Cluster.noProfile }
            try await context.store.remove(Cluster.kind, "host")
            adopt(nil)
        }
    }

    public static let noProfile = SkalaError(
        .notFound, "nothing has been measured of this host: 'skala lab run' does")

    func restoreProfile() async throws {
        guard let json = try await context.store.get(Cluster.kind, "host") else { return }
        do { hostProfile = try HostProfile(json: json) } catch {
            // Of another version, say: it can be measured again, and services must not wait for it.
            context.log.warning("the stored host profile cannot be read: it is not used", ["error": "\(error)"])
        }
    }

    private func adopt(_ profile: HostProfile?) {
        hostProfile = profile
        guard let node else { return }
        scheduler.set(description(of: node))
        // VMs may cost less than they were thought to.
        for service in waiting { reconcilers[service]?.ring() }
    }

    /// A node as the scheduler sees it.
    func description(of node: NodeRecord) -> NodeDescription {
        var description = node.description
        if let hostProfile, hostProfile.entries.contains(where: { $0.key.kind == .loss }) {
            description.interference = Interference(hostProfile)
        }
        for isolation in description.isolations.keys where isolation != "container" {
            // What is not sure to be anything at all is no reason to promise more than before.
            guard let entry = hostProfile?.memory(isolation), entry.isProved, let bytes = entry.value else { continue }
            description.isolations[isolation] = .init(memoryBytes: Int64(bytes))
        }
        return description
    }

    /// Tasks that run live on something else from now on.
    func relabel(_ tasks: [String], _ profile: Resource?) {
        for task in tasks { if let seat = seats[task] { seats[task] = scheduler.set(profile, of: seat) } }
    }

    /// What a task loses by its neighbours, for people; empty when nothing is known.
    func interference(of task: String) -> String {
        guard let seat = seats[task], let loss = scheduler.predictedLoss(of: seat), let node = scheduler.node(of: seat)
        else { return "" }
        let present = Resource.allCases.compactMap { resource -> String? in
            let count = scheduler.tasks(livingOn: resource, on: node)
            return count > 0 ? "\(count) on \(resource.rawValue)" : nil
        }
        return "; beside the tasks there (\(present.joined(separator: ", "))) it is predicted to lose "
            + "\(Int((loss * 100).rounded())) %"
    }
}
