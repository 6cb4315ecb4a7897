import Base

/// What every connection of a server shares.
struct Service: Sendable {
    let router: Router
    /// Told of errors that are ours, not the client's, with the request they came from.
    let report: @Sendable (SkalaError, String) -> Void
    /// The headers of every response, as text.
    let fixedHeaders: [UInt8]

    let limits: ServerLimits
    let date = DateHeader()

    /// - Parameter version: Skala's own, for the `Server` header.
    init(
        router: Router, version: String, limits: ServerLimits = ServerLimits(),
        report: @escaping @Sendable (SkalaError, String) -> Void
    ) {
        self.limits = limits
        self.router = router
        self.report = report
        fixedHeaders = Array(
            ("Api-Version: \(APIVersion.current)\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
                + "Server: Skala/\(version) (linux)\r\n").utf8)
    }

    func respond(_ request: Request) async throws -> Response { try await router.respond(to: request) }
}
