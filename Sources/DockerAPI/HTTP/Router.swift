import Base

/// Finds the handler of a request.
///
/// A pattern is a path whose segments are text, `{name}` (one segment) or, once, `{name:*}` (one or more segments: image
/// names hold slashes). Where several patterns fit, the one with more text wins, and `{name}` wins over `{name:*}`.
struct Router: Sendable {
    private struct Route {
        let method: String
        let pattern: [Segment]
        let handler: Handler
        let rank: Int
        let refusal: SkalaError?

        /// As it is registered.
        var text: String {
            let segments = pattern.map { segment in
                switch segment {
                case .text(let text): String(text)
                case .one(let name): "{\(name)}"
                case .many(let name): "{\(name):*}"
                }
            }
            return "/" + segments.joined(separator: "/")
        }
    }

    private enum Segment: Equatable {
        case text(Substring)
        case one(String)
        case many(String)
    }

    /// By the first segment, which is text in every pattern.
    private var routes: [Substring: [Route]] = [:]

    mutating func get(_ pattern: String, _ handler: @escaping Handler) { add("GET", pattern, handler) }
    mutating func head(_ pattern: String, _ handler: @escaping Handler) { add("HEAD", pattern, handler) }
    mutating func post(_ pattern: String, _ handler: @escaping Handler) { add("POST", pattern, handler) }
    mutating func put(_ pattern: String, _ handler: @escaping Handler) { add("PUT", pattern, handler) }
    mutating func delete(_ pattern: String, _ handler: @escaping Handler) { add("DELETE", pattern, handler) }

    /// Registers a route of the API that is answered with an error, always: what Skala does not do, and why.
    mutating func refuse(_ method: String, _ pattern: String, _ error: SkalaError) {
        add(method, pattern, refusal: error) { _ in throw error }
    }

    /// Registers a handler. Patterns are written by programmers: a malformed or repeated one stops the program.
    mutating func add(_ method: String, _ pattern: String, _ handler: @escaping Handler) {
        add(method, pattern, refusal: nil, handler)
    }

    private mutating func add(
        _ method: String, _ pattern: String, refusal: SkalaError?, _ handler: @escaping Handler
    ) {
        let segments = Router.segments(of: pattern).map(Router.segment)
        guard case .text(let first)? = segments.first else {
            preconditionFailure("a route starts with a text segment: \(pattern)")
        }
        let wildcards = segments.count { if case .many = $0 { true } else { false } }
        precondition(wildcards <= 1, "at most one {name:*} in a route: \(pattern)")
        let texts = segments.count { if case .text = $0 { true } else { false } }
        let route = Route(
            method: method, pattern: segments, handler: handler, rank: texts * 2 - wildcards, refusal: refusal)
        precondition(
            !(routes[first] ?? []).contains { $0.method == method && $0.pattern == segments },
            "registered twice: \(method) \(pattern)")
        routes[first, default: []].append(route)
        routes[first]?.sort { $0.rank > $1.rank }
    }

    /// The error a path is always answered with; nil when the route does something, or there is none.
    func refusal(method: String, path: String) -> SkalaError? { route(method: method, path: path)?.route.refusal }

    /// Every route, sorted: `GET`, `/images/{name:*}/json`.
    var list: [(method: String, pattern: String)] {
        let all = routes.values.joined().map { (method: $0.method, pattern: $0.text) }
        return all.sorted { ($0.pattern, $0.method) < ($1.pattern, $1.method) }
    }

    /// The handler of a path, what its parameters matched, and the route's pattern; nil when no route fits, also when only
    /// the method differs (Docker answers 404 to both).
    func find(method: String, path: String) -> (handler: Handler, parameters: [String: String], pattern: String)? {
        route(method: method, path: path).map { ($0.route.handler, $0.parameters, $0.route.text) }
    }

    private func route(method: String, path: String) -> (route: Route, parameters: [String: String])? {
        let segments = Router.segments(of: path)
        guard let first = segments.first, let candidates = routes[first] else { return nil }
        for route in candidates where route.method == method {
            if let parameters = Router.match(route.pattern, segments) { return (route, parameters) }
        }
        return nil
    }

    /// Answers a request by its route.
    ///
    /// - Parameter pattern: set to the route's, once there is one.
    /// - Throws: what the handler throws; `.notFound` in Docker's words when there is no route.
    func respond(to request: Request, pattern: inout String) async throws -> Response {
        guard let found = find(method: request.method, path: request.path) else {
            throw SkalaError(.notFound, "page not found")
        }
        pattern = found.pattern
        var request = request
        request.parameters = found.parameters
        return try await found.handler(request)
    }

    private static func segments(of path: String) -> [Substring] {
        guard path.utf8.first == UInt8(ascii: "/") else { return [] }
        return path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    }

    private static func segment(_ text: Substring) -> Segment {
        guard text.hasPrefix("{"), text.hasSuffix("}") else { return .text(text) }
        let name = text.dropFirst().dropLast()
        return name.hasSuffix(":*") ? .many(String(name.dropLast(2))) : .one(String(name))
    }

    private static func match(_ pattern: [Segment], _ path: [Substring]) -> [String: String]? {
        let extra = path.count - pattern.count
        guard extra >= 0 else { return nil }
        var parameters: [String: String] = [:]
        var at = 0
        for segment in pattern {
            switch segment {
            case .text(let text):
                guard path[at] == text else { return nil }
                at += 1
            case .one(let name):
                guard !path[at].isEmpty else { return nil }
                parameters[name] = String(path[at])
                at += 1
            case .many(let name):
                let matched = path[at...at + extra]
                guard matched.allSatisfy({ !$0.isEmpty }) else { return nil }
                parameters[name] = matched.joined(separator: "/")
                at += extra + 1
            }
        }
        return at == path.count ? parameters : nil
    }
}
