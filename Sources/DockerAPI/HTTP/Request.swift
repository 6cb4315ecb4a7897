import Base

/// One HTTP request, as handlers see it.
struct Request: Sendable {
    let method: String
    /// Decoded, without the version prefix and the query.
    let path: String
    let query: Query
    let headers: [(name: String, value: String)]
    let apiVersion: APIVersion
    let body: RequestBody
    /// What the `{name}` parts of the route matched.
    var parameters: [String: String] = [:]

    /// The first header of that name, in any case.
    func header(_ name: String) -> String? { headers.first { $0.name.equalsIgnoringCase(name) }?.value }

    /// A route's parameter; empty when the route has none of that name.
    func parameter(_ name: String) -> String { parameters[name] ?? "" }
}

extension String {
    /// Whether both are the same but for the case of ASCII letters.
    func equalsIgnoringCase(_ other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        return zip(utf8, other.utf8).allSatisfy { a, b in
            a == b || (a | 0x20 == b | 0x20 && (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(a | 0x20))
        }
    }
}
