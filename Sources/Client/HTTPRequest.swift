import Base

/// One request to the engine.
public struct HTTPRequest {
    public enum Body {
        case none
        case json(JSON)
        /// Sent in chunks; the closure answers the next bytes, none at the end.
        case stream(contentType: String, next: () throws -> [UInt8])
    }

    public var method: String
    /// With each segment encoded (`PercentEncoding.encode`), without the query.
    public var path: String
    public var query: [(name: String, value: String)]
    public var headers: [(name: String, value: String)] = []
    public var body: Body

    public init(
        _ method: String, _ path: String, query: [(name: String, value: String)] = [], body: Body = .none
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.body = body
    }

    public static func get(_ path: String, query: [(name: String, value: String)] = []) -> HTTPRequest {
        HTTPRequest("GET", path, query: query)
    }

    public static func post(
        _ path: String, query: [(name: String, value: String)] = [], _ body: JSON? = nil
    ) -> HTTPRequest {
        HTTPRequest("POST", path, query: query, body: body.map { .json($0) } ?? .none)
    }

    public static func delete(_ path: String, query: [(name: String, value: String)] = []) -> HTTPRequest {
        HTTPRequest("DELETE", path, query: query)
    }

    /// The request's head. `length` is the body's; nil when it goes in chunks.
    func head(length: Int?, upgrades: Bool) -> [UInt8] {
        var text = "\(method) \(path)"
        for (index, item) in query.enumerated() {
            text +=
                (index == 0 ? "?" : "&") + PercentEncoding.encode(item.name) + "=" + PercentEncoding.encode(item.value)
        }
        text += " HTTP/1.1\r\nHost: skala\r\nUser-Agent: skala\r\n"
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        switch body {
        case .none: break
        case .json: text += "Content-Type: application/json\r\n"
        case .stream(let contentType, _): text += "Content-Type: \(contentType)\r\n"
        }
        if let length {
            if length > 0 || method == "POST" || method == "PUT" { text += "Content-Length: \(length)\r\n" }
        } else {
            text += "Transfer-Encoding: chunked\r\n"
        }
        if upgrades { text += "Connection: Upgrade\r\nUpgrade: tcp\r\n" }
        return Array((text + "\r\n").utf8)
    }
}
