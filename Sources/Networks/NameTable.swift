import Synchronization

/// Who has which name on which network. Read by the name servers' threads.
final class NameTable: Sendable {
    /// Network id → name → addresses.
    private let entries = Mutex<[String: [String: [IPAddress]]]>([:])

    func add(_ endpoint: Endpoint) {
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                entries[endpoint.networkID, default: [:]][name.lowercased(), default: []] += endpoint.addresses
            }
        }
    }

    func remove(_ endpoint: Endpoint) {
        let own = endpoint.addresses
        entries.withLock { entries in
            for name in endpoint.dnsNames {
                entries[endpoint.networkID]?[name.lowercased()]?.removeAll { own.contains($0) }
                if entries[endpoint.networkID]?[name.lowercased()]?.isEmpty == true {
                    entries[endpoint.networkID]?[name.lowercased()] = nil
                }
            }
            if entries[endpoint.networkID]?.isEmpty == true { entries[endpoint.networkID] = nil }
        }
    }

    /// The addresses of a name; nil when nobody on the network has it.
    func addresses(of name: String, on network: String) -> [IPAddress]? {
        entries.withLock { $0[network]?[name.lowercased()] }
    }

    /// The first name of an address.
    func name(of address: IPAddress, on network: String) -> String? {
        entries.withLock { entries in
            entries[network]?.filter { $0.value.contains(address) }.map(\.key).min { $0.count > $1.count }
        }
    }
}

extension Endpoint {
    /// Its addresses of both families; the texts are our own, and parse.
    var addresses: [IPAddress] { [ipv4, ipv6].compactMap { try? IPAddress(parsing: $0) } }
}
