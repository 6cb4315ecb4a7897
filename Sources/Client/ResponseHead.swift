/// Status and headers of a response.
public struct ResponseHead: Sendable {
    public let status: Int
    public let headers: [(name: String, value: String)]

    /// The first header of that name, in any case.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }
}
