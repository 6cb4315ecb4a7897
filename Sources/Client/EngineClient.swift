import Base

/// The engine's API over connections that are kept and used again.
///
/// Not `Sendable`: one thread uses it.
public final class EngineClient {
    public let address: EngineAddress
    private var idle: HTTPConnection?

    public init(_ address: EngineAddress) { self.address = address }

    /// Sends a request and answers with its response once the head is there.
    ///
    /// - Throws: `SkalaError` with the engine's message for a status of 400 and more.
    public func send(_ request: HTTPRequest) throws -> HTTPResponse {
        let connection = try takeConnection()
        try connection.send(request)
        let head = try connection.readHead()
        try check(head, connection)
        return HTTPResponse(head, connection) { [weak self] in self?.keep($0) }
    }

    /// Sends a request whose answer is one JSON document, or nothing.
    @discardableResult
    public func json(_ request: HTTPRequest) throws -> JSON { try send(request).json() }

    /// A request whose head is awaited later, by `finish`, on a connection of its own: several can be under way.
    public func begin(_ request: HTTPRequest, upgrades: Bool = false) throws -> HTTPConnection {
        let connection = try HTTPConnection(address)
        try connection.send(request, upgrades: upgrades)
        return connection
    }

    public func finish(_ connection: HTTPConnection) throws -> HTTPResponse {
        let head = try connection.readHead()
        try check(head, connection)
        return HTTPResponse(head, connection) { [weak self] in self?.keep($0) }
    }

    /// The stream after the answer to an upgrade request.
    public func finishUpgrade(_ connection: HTTPConnection) throws -> HijackedStream {
        let head = try connection.readHead()
        try check(head, connection)
        guard head.status == 101 else {
            throw SkalaError(.invalid, "the engine did not switch to a raw stream (status \(head.status))")
        }
        return HijackedStream(descriptor: connection.descriptor, earlyBytes: connection.takeEarlyBytes())
    }

    private func takeConnection() throws -> HTTPConnection {
        defer { idle = nil }
        if let idle, idle.isIdle { return idle }
        return try HTTPConnection(address)
    }

    private func keep(_ connection: HTTPConnection) { if idle == nil, connection.isIdle { idle = connection } }

    private func check(_ head: ResponseHead, _ connection: HTTPConnection) throws {
        guard head.status >= 400 else { return }
        let body = try connection.readAll(limit: 1 << 20)
        keep(connection)
        // A body that is no JSON is shown as it is.
        let message = (try? JSON(parsing: body))?["message"].string ?? String(decoding: body, as: UTF8.self)
        throw SkalaError(
            EngineClient.code(of: head.status), message.isEmpty ? "the engine answered \(head.status)" : message)
    }

    /// What the API's status means.
    static func code(of status: Int) -> SkalaError.Code {
        switch status {
        case 400: .invalid
        case 401: .unauthorized
        case 403: .forbidden
        case 404: .notFound
        case 409: .conflict
        case 501: .unsupported
        case 503: .unavailable
        case 504: .timedOut
        case 507: .exhausted
        default: .system
        }
    }
}
