import Synchronization

/// Who has which name on which network. Read by the name servers' threads.
final class NameTable: Sendable {
    /// Network id → name → addresses.
    private let entries = Mutex<[String: [String: [IPAddress]]]>([:])
    /// Network id → service id → its names.
    private let services = Mutex<[String: [String: ServiceNames]]>([:])
    /// Network id → address → container; who asks, asks on all of its networks.
    private let owners = Mutex<[String: [IPAddress: String]]>([:])

    func add(_ endpoint: Endpoint, of container: String) {
        owners.withLock { owners in
            for address in endpoint.addresses { owners[endpoint.networkID, default: [:]][address] = container }
        }
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                entries[endpoint.networkID, default: [:]][name.lowercased(), default: []] += endpoint.addresses
            }
        }
    }

    /// Takes away what one `add` added: containers of a pod may have added the same.
    func remove(_ endpoint: Endpoint) {
        let own = endpoint.addresses
        owners.withLock { owners in
            for address in own { owners[endpoint.networkID]?[address] = nil }
            if owners[endpoint.networkID]?.isEmpty == true { owners[endpoint.networkID] = nil }
        }
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                for address in own {
                    guard let index = entries[endpoint.networkID]?[name.lowercased()]?.firstIndex(of: address) else {
                        continue
                    }
                    entries[endpoint.networkID]?[name.lowercased()]?.remove(at: index)
                }
                if entries[endpoint.networkID]?[name.lowercased()]?.isEmpty == true {
                    entries[endpoint.networkID]?[name.lowercased()] = nil
                }
            }
            if entries[endpoint.networkID]?.isEmpty == true { entries[endpoint.networkID] = nil }
        }
    }

    /// Gives a service its names on a network, or takes them away with nil.
    func set(_ service: String, on network: String, _ names: ServiceNames?) {
        services.withLock { services in
            services[network, default: [:]][service] = names
            if services[network]?.isEmpty == true { services[network] = nil }
        }
    }

    /// The networks of a container that asks on one of them: that one first.
    func networks(of client: IPAddress, on network: String) -> [String] {
        owners.withLock { owners in
            guard let container = owners[network]?[client] else { return [network] }
            let others = owners.filter { $0.key != network && $0.value.values.contains(container) }
            return [network] + others.keys.sorted()
        }
    }

    /// The addresses of a name, each once; nil when nobody on the network has it. A service's name comes before a
    /// container's; `tasks.` and the name are its members.
    func addresses(of name: String, on network: String) -> [IPAddress]? {
        let service = services.withLock { services in
            services[network]?.sorted { $0.key < $1.key }.lazy.compactMap { $0.value.addresses(of: name) }.first
        }
        if let service { return service }
        guard let all = entries.withLock({ $0[network]?[name.lowercased()] }) else { return nil }
        return all.enumerated().filter { all.firstIndex(of: $0.element) == $0.offset }.map(\.element)
    }

    /// The first name of an address.
    func name(of address: IPAddress, on network: String) -> String? {
        let service = services.withLock { services in
            services[network]?.values.first { $0.own.contains(address) }?.names.first
        }
        if let service { return service }
        return entries.withLock { entries in
            entries[network]?.filter { $0.value.contains(address) }.map(\.key).min { $0.count > $1.count }
        }
    }
}

/// What a service's names lead to on one network.
struct ServiceNames: Sendable {
    /// Lower case.
    let names: [String]
    /// Its own addresses; empty when its names lead to its members.
    let own: [IPAddress]
    let members: [IPAddress]

    func addresses(of name: String) -> [IPAddress]? {
        let name = name.lowercased()
        if names.contains(name) { return own.isEmpty ? members : own }
        guard name.hasPrefix("tasks."), names.contains(String(name.dropFirst(6))) else { return nil }
        return members
    }
}

extension Endpoint {
    /// Its addresses of both families; the texts are our own, and parse.
    var addresses: [IPAddress] { [ipv4, ipv6].compactMap { try? IPAddress(parsing: $0) } }
}
