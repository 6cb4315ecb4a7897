import Base
import Synchronization

/// The balancer's rules in the kernel, in tables of their own: those of networks and ports are made anew by each daemon,
/// and connections to services go on meanwhile.
///
/// Wanted and applied rules are told apart: a change writes what differs. Changes may come from several callers at once.
final class Balancer: Sendable {
    private struct State {
        var wanted: [String: ResolvedService] = [:]
        var applied: [String: BalancingRules] = [:]
        /// Services whose rules may not be what is wanted.
        var changed: Set<String> = []
        var hasTables = false
        /// nil until it is known whether the kernel can lead bridged packets to the host.
        var keepsClients: Bool?
    }

    private let firewall: Firewall
    private let state = Mutex(State())
    let tables: String

    init(firewall: Firewall) {
        self.firewall = firewall
        tables = firewall.table + "_services"
    }

    /// False when the clients of a service on its own networks are seen under the gateway's address; nil until there has
    /// been a service.
    var keepsClients: Bool? { state.withLock { $0.keepsClients } }

    /// What is wanted from now on; `apply` makes it so.
    func want(_ id: String, _ service: ResolvedService?) {
        state.withLock {
            $0.wanted[id] = service
            $0.changed.insert(id)
        }
    }

    /// Makes the rules what is wanted, in one transaction. Without any service there are no tables.
    func apply() async throws {
        try await firewall.perform { [self] run in
            let (now, changed) = state.withLock { state in
                defer { state.changed = [] }
                return (state, state.changed)
            }
            do {
                guard !now.wanted.isEmpty else {
                    if now.hasTables { try remove(run) }
                    return
                }
                guard now.hasTables, let keepsClients = now.keepsClients else { return try write(run) }
                var rules = now.applied
                for id in changed {
                    rules[id] = now.wanted[id]?.rules(keepsClients: keepsClients)
                    if let old = now.applied[id] { rules[id]?.keepSlots(of: old) }
                }
                let commands = Balancer.changes(of: changed, from: now.applied, to: rules, tables: tables)
                guard !commands.isEmpty else { return }
                do {
                    try run(commands)
                    state.withLock { $0.applied = rules }
                } catch {
                    // Somebody else has changed something.
                    try write(run)
                }
            } catch {
                state.withLock { $0.changed.formUnion(changed) }
                throw error
            }
        }
    }

    /// Writes all rules anew: after a start of the daemon, or when somebody has deleted them.
    func rewrite() async throws {
        try await firewall.perform { [self] run in
            if state.withLock({ $0.wanted.isEmpty }) { try remove(run) } else { try write(run) }
        }
    }

    private func remove(_ run: Firewall.Run) throws {
        do {
            try run(BalancingRules.removal(tables, keepsClients: true))
        } catch {
            // A kernel without tables for bridges.
            try run(BalancingRules.removal(tables, keepsClients: false))
        }
        state.withLock {
            $0.applied = [:]
            $0.hasTables = false
        }
    }

    private func write(_ run: Firewall.Run) throws {
        let (wanted, known) = state.withLock { ($0.wanted, $0.keepsClients) }
        func attempt(_ keepsClients: Bool) throws {
            let rules = wanted.mapValues { $0.rules(keepsClients: keepsClients) }
            let changes = Balancer.changes(of: Set(rules.keys), from: [:], to: rules, tables: tables)
            try run(BalancingRules.emptyTables(tables, keepsClients: keepsClients) + changes)
            state.withLock {
                $0.applied = rules
                $0.hasTables = true
                $0.keepsClients = keepsClients
            }
        }
        do {
            try attempt(known ?? true)
        } catch {
            guard known == nil else { throw error }
            try attempt(false)
        }
    }

    private static func changes(
        of ids: Set<String>, from old: [String: BalancingRules], to new: [String: BalancingRules], tables: String
    ) -> String {
        ids.sorted().map { id in
            BalancingRules.change(
                from: old[id] ?? BalancingRules(), to: new[id] ?? BalancingRules(), tables: tables
            ) { element in new.contains { $0.key != id && $0.value.elements[element] != nil } }
        }.joined()
    }
}
