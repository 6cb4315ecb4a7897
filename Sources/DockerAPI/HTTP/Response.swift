import Base

/// What a handler answers.
struct Response: Sendable {
    enum Body: Sendable {
        case none
        case bytes([UInt8])
        /// Written piece by piece after the head has been sent; the response ends when the function returns. A thrown
        /// error breaks the connection, so that the client sees that the response is not whole.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
        /// The connection leaves HTTP: a raw stream in both directions, closed when the function returns. When
        /// the client goes, input ends after what it has sent, writing fails and `onClose` is called; the task is not
        /// cancelled, so that nothing sent before is lost.
        case hijack(contentType: String, @Sendable (HijackedConnection) async -> Void)
    }

    var status: Int
    var headers: [(name: String, value: String)]
    var body: Body

    init(status: Int = 200, headers: [(name: String, value: String)] = [], body: Body = .none) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    static func json(_ json: JSON, status: Int = 200) -> Response {
        var bytes = json.bytes
        bytes.append(UInt8(ascii: "\n"))
        return Response(status: status, headers: [("Content-Type", "application/json")], body: .bytes(bytes))
    }

    static func text(_ text: String, status: Int = 200) -> Response {
        Response(
            status: status, headers: [("Content-Type", "text/plain; charset=utf-8")], body: .bytes(Array(text.utf8)))
    }

    static let noContent = Response(status: 204)

    /// Docker's form of an error: `{"message":"..."}`.
    static func error(_ error: SkalaError) -> Response {
        let status = errorStatus(of: error.code)
        return status == 304 ? Response(status: 304) : json(["message": .string(error.message)], status: status)
    }

    /// A stream of `application/json` lines or another type, sent as it is produced.
    static func stream(
        contentType: String, _ write: @escaping @Sendable (ResponseWriter) async throws -> Void
    ) -> Response {
        Response(headers: [("Content-Type", contentType)], body: .stream(write))
    }
}

/// Answers one request.
typealias Handler = @Sendable (Request) async throws -> Response
