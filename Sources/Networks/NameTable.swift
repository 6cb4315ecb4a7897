import Synchronization

/// Who has which name on which network. Read by the name servers' threads.
final class NameTable: Sendable {
    /// Network id → name → addresses.
    private let entries = Mutex<[String: [String: [String]]]>([:])

    func add(_ endpoint: Endpoint) {
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                entries[endpoint.networkID, default: [:]][name.lowercased(), default: []].append(endpoint.ipv4)
            }
        }
    }

    func remove(_ endpoint: Endpoint) {
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                entries[endpoint.networkID]?[name.lowercased()]?.removeAll { $0 == endpoint.ipv4 }
                if entries[endpoint.networkID]?[name.lowercased()]?.isEmpty == true {
                    entries[endpoint.networkID]?[name.lowercased()] = nil
                }
            }
            if entries[endpoint.networkID]?.isEmpty == true { entries[endpoint.networkID] = nil }
        }
    }

    /// The addresses of a name; nil when nobody on the network has it.
    func addresses(of name: String, on network: String) -> [String]? {
        entries.withLock { $0[network]?[name.lowercased()] }
    }

    /// The first name of an address.
    func name(of address: String, on network: String) -> String? {
        entries.withLock { entries in
            entries[network]?.filter { $0.value.contains(address) }.map(\.key).min { $0.count > $1.count }
        }
    }
}
