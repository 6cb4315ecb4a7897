import Base

/// What `-p` says: `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]:80:80`, `8000-8002:80-82`.
struct PortSpec: Sendable, Hashable {
    let hostIP: String
    /// A port, a range the engine chooses from, or empty: any.
    let hostPort: String
    let containerPort: Int
    let `protocol`: String

    /// The key of the API's port maps: `80/tcp`.
    var key: String { "\(containerPort)/\(`protocol`)" }

    /// - Throws: `SkalaError` `.invalid` naming the text.
    static func parse(_ text: String) throws(SkalaError) -> [PortSpec] {
        let failure = SkalaError(
            .invalid, "invalid port '\(text)': expected [[ADDRESS:]PORT:]PORT[/tcp|/udp], such as 8080:80")
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        let name = halves.count == 2 ? halves[1].lowercased() : "tcp"
        guard halves.count <= 2, ["tcp", "udp", "sctp"].contains(name) else { throw failure }
        var rest = halves[0]
        var address = ""
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { throw failure }
            address = String(rest[rest.index(after: rest.startIndex)..<close])
            rest = rest[rest.index(after: close)...]
            guard rest.first == ":" else { throw failure }
            rest = rest.dropFirst()
        }
        let fields = rest.split(separator: ":", omittingEmptySubsequences: false)
        guard fields.count <= (address.isEmpty ? 3 : 2), let target = fields.last, let inside = range(target) else {
            throw failure
        }
        if fields.count == 3 { address = String(fields[0]) }
        let hostText = fields.count >= 2 ? fields[fields.count - 2] : ""
        if hostText.isEmpty {
            return inside.map { PortSpec(hostIP: address, hostPort: "", containerPort: $0, protocol: name) }
        }
        guard let outside = range(hostText) else { throw failure }
        if inside.count == 1, outside.count > 1 {
            return [
                PortSpec(
                    hostIP: address, hostPort: String(hostText), containerPort: inside.lowerBound, protocol: name)
            ]
        }
        guard inside.count == outside.count else { throw failure }
        return zip(outside, inside).map {
            PortSpec(hostIP: address, hostPort: String($0), containerPort: $1, protocol: name)
        }
    }

    /// The API's `PortBindings`.
    static func bindings(_ texts: [String]) throws(SkalaError) -> JSON {
        var bindings: JSON = [:]
        for text in texts {
            for port in try parse(text) {
                let binding: JSON = ["HostIp": JSON(port.hostIP), "HostPort": JSON(port.hostPort)]
                bindings[port.key] = JSON((bindings[port.key].array ?? []) + [binding])
            }
        }
        return bindings
    }

    /// What `--expose` says: `80`, `80/udp`, `8000-8002`.
    static func keys(exposed text: String) throws(SkalaError) -> [String] {
        guard !text.contains(":") else { throw SkalaError(.invalid, "invalid port '\(text)' to expose") }
        return try parse(text).map(\.key)
    }

    private static func range(_ text: Substring) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], (1...65535).contains(first),
            (first...65535).contains(max(first, last)), last >= first
        else { return nil }
        return first...last
    }
}
