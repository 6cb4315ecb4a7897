import Base
import Networks

/// Published ports in the forms the API has them.
enum PortBindings {
    /// `80/tcp` → (80, tcp).
    static func parse(_ text: String) throws(SkalaError) -> (port: UInt16, protocol: String) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        let name = parts.count == 2 ? parts[1] : "tcp"
        guard let number = parts.first.flatMap(PortBindings.number), number > 0 else {
            throw SkalaError(.invalid, "invalid port specification: \"\(text)\"")
        }
        guard ["tcp", "udp"].contains(name) else {
            throw SkalaError(.invalid, "invalid port specification: \"\(text)\": protocol \(name) cannot be published")
        }
        return (number, name)
    }

    /// Digits only: UInt16's own parser takes a sign.
    private static func number(_ text: String) -> UInt16? { text.first?.isWholeNumber == true ? UInt16(text) : nil }

    /// `8080`, or a range to choose from, `8000-8010`; nil, any, for no text and 0.
    private static func hostPorts(_ text: String) throws(SkalaError) -> ClosedRange<UInt16>? {
        if text.isEmpty || text == "0" { return nil }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { number(String($0)) }
        guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first > 0, first <= last else {
            throw SkalaError(.invalid, "invalid port specification: \"\(text)\"")
        }
        return first...last
    }

    /// What is to be published: `PortBindings`, and with `PublishAllPorts` every exposed port.
    static func published(hostConfig: JSON, config: JSON) throws(SkalaError) -> [PortRequest] {
        var ports: [PortRequest] = []
        let bindings = hostConfig["PortBindings"].object?.members ?? []
        for (key, value) in bindings {
            let (port, name) = try parse(key)
            for binding in value.array ?? [] {
                let address = binding["HostIp"].string ?? ""
                if !address.isEmpty { _ = try IPAddress(parsing: address) }
                ports.append(
                    PortRequest(
                        hostIP: address,
                        hostPorts: try hostPorts(binding["HostPort"].string ?? ""), containerPort: port,
                        protocol: name))
            }
        }
        guard hostConfig["PublishAllPorts"].bool == true else { return ports }
        for key in config["ExposedPorts"].object?.keys ?? [] where !bindings.contains(where: { $0.key == key }) {
            let (port, name) = try parse(key)
            ports.append(PortRequest(hostIP: "", hostPorts: nil, containerPort: port, protocol: name))
        }
        return ports
    }

    /// The `Ports` of `NetworkSettings`: exposed ports with null, published ones with their bindings.
    static func settings(_ published: [PublishedPort], exposed: [String]) -> JSON {
        var ports: JSON = [:]
        for key in exposed { ports[key] = .null }
        for port in published {
            let key = "\(port.containerPort)/\(port.protocol)"
            let addresses = port.hostIP.isEmpty ? ["0.0.0.0"] : [port.hostIP]
            let bindings = addresses.map { address -> JSON in
                ["HostIp": JSON(address), "HostPort": JSON("\(port.hostPort)")]
            }
            ports[key] = JSON((ports[key].array ?? []) + bindings)
        }
        return ports
    }
}
