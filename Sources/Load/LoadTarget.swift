public import Base

/// What is asked for: a URL of `http` or `https`, taken apart.
public struct LoadTarget: Sendable, Hashable {
    public let text: String
    public let isSecure: Bool
    /// A name or an address, without brackets.
    public let host: String
    public let port: UInt16
    /// Path and query.
    public let path: String

    /// Where connections lead: requests of one origin share them.
    struct Origin: Sendable, Hashable {
        let isSecure: Bool
        let host: String
        let port: UInt16
    }

    var origin: Origin { Origin(isSecure: isSecure, host: host, port: port) }

    /// What stands in the Host header.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// - Throws: `SkalaError` `.invalid` naming the text. A scheme may be missing: `localhost:8080/a` is of `http`.
    public init(parsing text: String) throws(SkalaError) {
        func failure(_ reason: String) -> SkalaError { SkalaError(.invalid, "invalid URL '\(text)': \(reason)") }
        self.text = text
        var rest = text[...]
        if let end = rest.firstRange(of: "://") {
            switch rest[..<end.lowerBound].lowercased() {
            case "http": isSecure = false
            case "https": isSecure = true
            default: throw failure("expected http:// or https://")
            }
            rest = rest[end.upperBound...]
        } else {
            isSecure = false
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let path = rest[authority.endIndex...].prefix { $0 != "#" }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw failure("spaces and other characters beyond ASCII must be percent-encoded")
        }
        guard !authority.contains("@") else {
            throw failure("a name and password belong into --header 'Authorization: …'")
        }
        var name = authority
        var portText: Substring?
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            name = authority[authority.index(after: authority.startIndex)..<end]
            let behind = authority[authority.index(after: end)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { throw failure("expected a port behind the address") }
            portText = behind.isEmpty ? nil : behind.dropFirst()
        } else if let colon = authority.lastIndex(of: ":") {
            name = authority[..<colon]
            portText = authority[authority.index(after: colon)...]
            guard !name.contains(":") else { throw failure("an IPv6 address stands in brackets") }
        }
        guard !name.isEmpty else { throw failure("expected a host") }
        port = portText.map { UInt16($0) ?? 0 } ?? (isSecure ? 443 : 80)
        guard port > 0 else { throw failure("expected a port from 1 to 65535") }
        host = String(name)
        self.path = path.hasPrefix("/") ? String(path) : "/" + path
    }
}
