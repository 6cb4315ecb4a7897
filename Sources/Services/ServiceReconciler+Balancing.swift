import Base
import Engine
import Kernel
import Networks
import Planning

/// Who gets a service's connections: its tasks that run, are healthy and stay.
///
///     running, healthy ──in──▶ member ──told to stop──▶ out ──▶ SIGTERM
extension ServiceReconciler {
    /// The label of a service that chooses how a connection's task is found: `round-robin`, `random`, `source-hash`.
    static let algorithmLabel = "skala.balance"

    /// Brings the kernel's rules in line with the tasks. What has not changed costs nothing.
    func balance() async {
        await balancing.withPlace {
            do {
                try await balance(service.spec)
            } catch {
                context.log.error(
                    "the connections of a service cannot be balanced", ["service": service.name, "error": "\(error)"])
                balanced = nil
            }
        }
    }

    /// The same for a specification that the service shall have.
    ///
    /// - Throws: when a port is another's, or a network has no address left; then nothing is changed.
    func tryBalance(_ spec: ServiceSpec) async throws {
        try await balancing.withPlace { try await balance(spec) }
    }

    private func balance(_ spec: ServiceSpec) async throws {
        // A step of its last task may end after that.
        guard !hasEndedBalancing else { return }
        let networks = context.engine.networks
        let members = tasks.values.filter(isServing).sorted { $0.created < $1.created }.map {
            // Whoever takes a slot over takes over the clients that a source hash led there.
            BalancedMember(id: $0.containerID, key: $0.slot == 0 ? "" : "\($0.slot)")
        }
        let wanted = try await balancedService(spec, members)
        if wanted.attachments.isEmpty, wanted.portRequests.isEmpty {
            guard balanced != nil || isFirstBalance else { return }
            isFirstBalance = false
            balanced = nil
            return try await networks.removeService(service.id)
        }
        if let balanced, balanced.isReached(as: wanted) {
            guard balanced.members != members else { return }
            try await networks.setMembers(of: service.id, members)
            noteMembers(balanced.members, members)
            self.balanced?.members = members
        } else {
            try await networks.setService(wanted)
            noteMembers(balanced?.members ?? [], members)
            balanced = wanted
        }
        isFirstBalance = false
    }

    /// Says from when on connections find other tasks than before: what came up serves now.
    private func noteMembers(_ before: [BalancedMember], _ after: [BalancedMember]) {
        func names(_ members: [BalancedMember], without others: [BalancedMember]) -> String {
            let slots = members.filter { !others.contains($0) }.map { member in
                tasks.values.first { $0.containerID == member.id }.map { name($0.id) } ?? "one that has gone"
            }
            return slots.joined(separator: ", ")
        }
        let (came, left) = (names(after, without: before), names(before, without: after))
        guard came != left else { return }
        let changes = [came.isEmpty ? "" : "\(came) in", left.isEmpty ? "" : "\(left) out"].filter { !$0.isEmpty }
        note("serving: \(after.count) (\(changes.joined(separator: "; ")))")
    }

    func isServing(_ task: TaskRecord) -> Bool {
        task.state == .running && task.isWanted && task.isHealthy && faults[task.id] == nil
    }

    private func balancedService(_ spec: ServiceSpec, _ members: [BalancedMember]) async throws -> BalancedService {
        var attachments: [BalancedService.Attachment] = []
        for target in spec.task.networks {
            let network = try await context.engine.networks.find(target.target)
            guard network.isBridged, network.name != "bridge" else { continue }
            attachments.append(
                BalancedService.Attachment(
                    networkID: network.id, names: [spec.name] + target.aliases, hasAddress: spec.endpoint.mode == .vip))
        }
        let ports = spec.endpoint.ports.filter { $0.publishMode == .ingress }.map { port in
            let published = UInt16(clamping: port.publishedPort)
            return PortRequest(
                hostIP: "", hostPorts: published == 0 ? nil : published...published,
                containerPort: UInt16(clamping: port.targetPort), protocol: port.transport.rawValue)
        }
        return BalancedService(
            id: service.id, attachments: attachments, ports: ports, algorithm: try Self.algorithm(of: spec),
            members: members)
    }

    /// - Throws: `.invalid` for a label that is none.
    static func algorithm(of spec: ServiceSpec) throws(SkalaError) -> BalancingAlgorithm {
        guard let text = spec.labels[algorithmLabel] else { return .roundRobin }
        guard let algorithm = BalancingAlgorithm(rawValue: text) else {
            let known = BalancingAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
            throw SkalaError(.invalid, "invalid label \(algorithmLabel)=\(text): expected \(known)")
        }
        return algorithm
    }

    /// Takes the service's addresses, ports and rules away.
    func endBalancing() async {
        await balancing.withPlace {
            hasEndedBalancing = true
            do {
                try await context.engine.networks.removeService(service.id)
            } catch {
                context.log.error(
                    "the rules of a service cannot be removed", ["service": service.name, "error": "\(error)"])
            }
            balanced = nil
        }
    }
}

extension BalancedService {
    /// Whether addresses, names, ports and algorithm are those.
    fileprivate func isReached(as other: BalancedService) -> Bool {
        func key(_ service: BalancedService) -> [String] {
            [service.algorithm.rawValue] + service.attachments.map { "\($0.networkID) \($0.names) \($0.hasAddress)" }
                + service.portRequests.map {
                    "\($0.hostPorts.map { "\($0)" } ?? "any"):\($0.containerPort)/\($0.protocol)"
                }
        }
        return key(self) == key(other)
    }
}
