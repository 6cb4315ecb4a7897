import Base
import Kernel

/// What every connection of a server shares.
struct Service: Sendable {
    let router: Router
    /// Told of errors that are ours, not the client's, with the request they came from.
    let report: @Sendable (SkalaError, String) -> Void
    /// The headers of every response, as text.
    let fixedHeaders: [UInt8]

    let limits: ServerLimits
    let date = DateHeader()
    let requests: RequestMetrics

    /// - Parameters:
    ///   - version: Skala's own, for the `Server` header.
    ///   - requests: counts what is answered.
    init(
        router: Router, version: String, limits: ServerLimits = ServerLimits(),
        requests: RequestMetrics = RequestMetrics(),
        report: @escaping @Sendable (SkalaError, String) -> Void
    ) {
        self.limits = limits
        self.router = router
        self.requests = requests
        self.report = report
        fixedHeaders = Array(
            ("Api-Version: \(APIVersion.current)\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
                + "Server: Skala/\(version) (linux)\r\n").utf8)
    }

    func respond(_ request: Request) async throws -> Response {
        let begin = SystemClock.monotonicNanoseconds()
        var pattern = ""
        var status = 0
        defer {
            // Methods that no route has are as many as clients make up.
            let route = RequestMetrics.Route(method: pattern.isEmpty ? "" : request.method, pattern: pattern)
            requests.count(route, status: status, nanoseconds: SystemClock.monotonicNanoseconds() - begin)
        }
        do {
            let response = try await router.respond(to: request, pattern: &pattern)
            status = response.status
            return response
        } catch {
            status = errorStatus(of: skalaError(from: error).code)
            throw error
        }
    }
}
