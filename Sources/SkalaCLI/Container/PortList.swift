import Base

/// Published ports as text: `0.0.0.0:8080->80/tcp, 443/tcp`; runs of ports are drawn together.
enum PortList {
    private struct Port: Comparable {
        let ip: String
        let inside: Int64
        let outside: Int64?
        let type: String

        static func < (a: Port, b: Port) -> Bool {
            (a.type, a.ip, a.inside, a.outside ?? 0) < (b.type, b.ip, b.inside, b.outside ?? 0)
        }
    }

    static func text(_ ports: [JSON]) -> String {
        var groups: [(first: Port, last: Port)] = []
        let sorted = ports.map {
            Port(
                ip: $0["IP"].string ?? "", inside: $0["PrivatePort"].int ?? 0, outside: $0["PublicPort"].int,
                type: $0["Type"].string ?? "tcp")
        }.sorted()
        for port in sorted {
            if let last = groups.last?.last, last.ip == port.ip, last.type == port.type, last.inside + 1 == port.inside,
                last.outside.map({ $0 + 1 }) == port.outside
            {
                groups[groups.count - 1].last = port
            } else {
                groups.append((port, port))
            }
        }
        return groups.map { first, last in
            func range(_ a: Int64, _ b: Int64) -> String { a == b ? "\(a)" : "\(a)-\(b)" }
            let inside = range(first.inside, last.inside) + "/" + first.type
            guard let from = first.outside, let to = last.outside else { return inside }
            let address = first.ip.contains(":") ? "[\(first.ip)]" : first.ip
            return "\(address):\(range(from, to))->\(inside)"
        }.joined(separator: ", ")
    }
}
