import Base
import Glibc
public import Kernel

/// What is known of the containers' networks.
extension NetworkManager {
    public func endpoints(of container: String) -> [Endpoint] { attached[container]?.endpoints ?? [] }

    public func endpoints(on network: String) -> [(container: String, endpoint: Endpoint)] {
        attached.sorted { $0.key < $1.key }.flatMap { id, one in
            one.endpoints.filter { $0.networkID == network }.map { (id, $0) }
        }
    }

    public func publishedPorts(of container: String) -> [PublishedPort] { attached[container]?.ports ?? [] }

    /// The traffic of a container's interfaces, as the container sees it.
    public func counters(containerID: String) async -> [InterfaceCounters] {
        switch attached[containerID]?.place {
        case nil: return []
        case .namespace(_, let socket):
            // A container that just ended has none.
            let links = (try? await threads.run { try socket.links().map(\.counters) }) ?? []
            return links.filter { $0.interface != "lo" }
        case .member(let pod): return await counters(containerID: pod)
        case .machine(let taps):
            let netlink = netlink
            // None when the VM has just ended.
            let links = (try? await threads.run { try netlink.links().map(\.counters) }) ?? []
            return endpoints(of: containerID).compactMap { endpoint in
                links.first { $0.interface == taps[endpoint.endpointID] }?.seen(from: endpoint.interface)
            }
        }
    }

    /// The host's ends of a VM's cards, by endpoint.
    public func taps(of container: String) -> [String: String] {
        guard case .machine(let taps)? = attached[container]?.place else { return [:] }
        return taps
    }

    /// The container's /etc/resolv.conf; nil to take the host's.
    public func resolvConf(for container: String) -> String? {
        let named = attached[container]?.endpoints.first { $0.networkName != "bridge" }
        guard let named, let gateway = networks[named.networkID]?.subnet(.v4)?.gateway else { return nil }
        return "nameserver \(gateway)\noptions ndots:0\n"
    }
}
