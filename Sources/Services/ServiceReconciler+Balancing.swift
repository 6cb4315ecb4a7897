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
                balancedHTTP = nil
                isFirstBalance = true
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
        let serving = tasks.values.filter(isServing).sorted { $0.created < $1.created }
        let http = try await httpService(spec, serving)
        let ports = Set(http?.listeners.map(\.port) ?? [])
        let members = serving.map {
            // Whoever takes a slot over takes over the clients that a source hash led there.
            BalancedMember(id: $0.containerID, key: $0.slot == 0 ? "" : "\($0.slot)")
        }
        // A port that changes hands is given up first.
        if balancedHTTP?.listeners.allSatisfy({ ports.contains($0.port) }) == false {
            try await balance(requests: http)
            try await balance(connections: spec, members, except: ports, patience: 40)
        } else {
            // A port may be that of another service, which is removed and just giving it up.
            try await balance(connections: spec, members, except: ports, patience: 10)
            try await balance(requests: http)
        }
        isFirstBalance = false
        noteMembers(serving.map(\.id))
    }

    /// - Parameters:
    ///   - http: published ports that are HAProxy's.
    ///   - patience: so many times a port that is in use is tried again.
    private func balance(
        connections spec: ServiceSpec, _ members: [BalancedMember], except http: Set<UInt16>, patience: Int
    ) async throws {
        let networks = context.engine.networks
        let wanted = try await balancedService(spec, members, except: http)
        // Of a removed service the rules of its members stay until those have gone.
        if wanted.attachments.isEmpty, wanted.portRequests.isEmpty, balanced == nil || !service.isRemoved {
            guard balanced != nil || isFirstBalance else { return }
            balanced = nil
            return try await networks.removeService(service.id)
        }
        if let balanced, balanced.isReached(as: wanted) {
            guard balanced.members != members else { return }
            try await networks.setMembers(of: service.id, members)
            self.balanced?.members = members
        } else {
            do {
                try await networks.setService(wanted)
                balanced = wanted
            } catch let error as SkalaError where error.code == .conflict && patience > 0 {
                // A process that gives a port up has it for a moment longer.
                try await Task.sleep(nanoseconds: 25_000_000)
                try await balance(connections: spec, members, except: http, patience: patience - 1)
            }
        }
    }

    /// Says since when other tasks than before are found: what came up serves now.
    private func noteMembers(_ serving: [String]) {
        guard serving != served else { return }
        func names(_ ids: [String], without others: [String]) -> String {
            ids.filter { !others.contains($0) }.map(name).joined(separator: ", ")
        }
        let (came, left) = (names(serving, without: served), names(served, without: serving))
        let changes = [came.isEmpty ? "" : "\(came) in", left.isEmpty ? "" : "\(left) out"].filter { !$0.isEmpty }
        note("serving: \(serving.count) (\(changes.joined(separator: "; ")))")
        served = serving
    }

    func isServing(_ task: TaskRecord) -> Bool {
        task.state == .running && task.isWanted && task.isHealthy && !task.isStalled && faults[task.id] == nil
    }

    /// A service that was removed gives its names and ports to whoever wants them; what it has under way goes on while
    /// its tasks stop, by the rules of its addresses and members.
    private func balancedService(
        _ spec: ServiceSpec, _ members: [BalancedMember], except http: Set<UInt16>
    ) async throws -> BalancedService {
        var attachments: [BalancedService.Attachment] = []
        for target in spec.task.networks {
            let network = try await context.engine.networks.find(target.target)
            guard network.isBridged, network.name != "bridge" else { continue }
            attachments.append(
                BalancedService.Attachment(
                    networkID: network.id, names: service.isRemoved ? [] : [spec.name] + target.aliases,
                    hasAddress: spec.endpoint.mode == .vip))
        }
        let asked = service.isRemoved ? [] : spec.endpoint.ports
        let ports = asked.filter {
            $0.publishMode == .ingress && !($0.transport == .tcp && http.contains(UInt16(clamping: $0.publishedPort)))
        }.map { port in
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
            do {
                try await context.http.remove(service.id)
            } catch {
                context.log.error("haproxy cannot forget a service", ["service": service.name, "error": "\(error)"])
            }
            balanced = nil
            balancedHTTP = nil
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
