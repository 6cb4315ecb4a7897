import Base
import Networks
import Planning

/// How a service's requests are balanced by HAProxy: what the labels `skala.http.*` of a service ask for.
struct HTTPPolicy: Sendable, Hashable {
    /// The labels of a service whose requests are balanced, all of them beginning so.
    static let prefix = "skala.http."
    /// What a request waits for a task of a service that sleeps, in seconds.
    static let wakingHold = 60

    /// Where its tasks answer requests; nil: the one port that is published.
    var port: Int?
    /// Of the requests that are for it; none: all.
    var hosts: [String] = []
    /// What the paths of its requests begin with; none: all.
    var paths: [String] = []
    /// A secret: certificates and private key (PEM). With it the published ports speak TLS.
    var certificate: String?
    /// The published port that only tells browsers to come with TLS.
    var redirect: Int?
    /// So many other tasks are tried when one does not accept a connection.
    var retries = 3
    /// A request that changes nothing is repeated when a task breaks off without an answer.
    var repeats = false
    /// Seconds until a new task has its full share of requests.
    var slowStart = 0
    /// Seconds that a request waits while there is no task; nil: none, and 60 for a service that may sleep.
    var hold: Int?
    /// Nanoseconds that a task which is told to stop may take for the requests it has.
    var drain: Int64 = 10_000_000_000

    /// The policy that a service's labels ask for; nil when they ask for none.
    ///
    /// - Throws: `.invalid` naming the label.
    init?(labels: [String: String]) throws(SkalaError) {
        let own = labels.filter { $0.key.hasPrefix(HTTPPolicy.prefix) }
        guard !own.isEmpty else { return nil }
        for (key, text) in own.sorted(by: { $0.key < $1.key }) {
            try set(key, String(key.dropFirst(HTTPPolicy.prefix.count)), text)
        }
        if redirect != nil, certificate == nil {
            throw SkalaError(.invalid, "label \(HTTPPolicy.prefix)redirect needs \(HTTPPolicy.prefix)certificate")
        }
        do {
            try HTTPService(id: "x", listeners: [.init(port: 1)], routes: routes).validate()
        } catch { throw SkalaError(.invalid, "labels \(HTTPPolicy.prefix)host and path: \(error.message)") }
    }

    private mutating func set(_ key: String, _ name: String, _ text: String) throws(SkalaError) {
        func invalid(_ expected: String) -> SkalaError {
            SkalaError(.invalid, "invalid label \(key)=\(text): expected \(expected)")
        }
        func number(_ range: ClosedRange<Int>, _ expected: String) throws(SkalaError) -> Int {
            guard let value = Int(text), range.contains(value) else { throw invalid(expected) }
            return value
        }
        func duration(_ most: Int64) throws(SkalaError) -> Int64 {
            // The text is told below.
            guard let value = try? DurationText.parse(text), (0...most * 1_000_000_000).contains(value) else {
                throw invalid("a duration such as 10s, at most \(most)s")
            }
            return value
        }
        func seconds(_ most: Int64) throws(SkalaError) -> Int {
            Int((try duration(most) + 999_999_999) / 1_000_000_000)
        }
        switch name {
        case "port": port = try number(1...65535, "a port of the container")
        case "host", "path":
            let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
                String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            guard !parts.contains(""), parts.count <= 100 else {
                throw invalid(name == "host" ? "names such as shop.example,*.shop.example" : "paths such as /api,/v2")
            }
            if name == "host" { hosts = parts.map { $0.lowercased() } } else { paths = parts }
        case "certificate":
            guard !text.isEmpty else { throw invalid("the name of a secret") }
            certificate = text
        case "redirect": redirect = try number(1...65535, "a published port")
        case "retries": retries = try number(0...10, "a number from 0 to 10")
        case "repeat":
            guard let flag = ["true": true, "false": false][text] else { throw invalid("true or false") }
            repeats = flag
        case "slow-start": slowStart = try seconds(3600)
        case "hold": hold = try seconds(300)
        case "drain": drain = try duration(300)
        default:
            let known = [
                "port", "host", "path", "certificate", "redirect", "retries", "repeat", "slow-start", "hold", "drain",
            ]
            throw SkalaError(.invalid, "unknown label \(key): known are \(known.joined(separator: ", "))")
        }
    }

    /// Every host with every path.
    var routes: [HTTPService.Route] {
        (hosts.isEmpty ? [""] : hosts).flatMap { host in
            (paths.isEmpty ? [""] : paths).map { HTTPService.Route(host: host, path: $0) }
        }
    }

    /// Where tasks answer.
    ///
    /// - Throws: `.invalid` when it is neither said nor plain.
    func targetPort(_ endpoint: EndpointSpec) throws(SkalaError) -> Int {
        if let port { return port }
        let targets = Set(HTTPPolicy.published(endpoint).map(\.targetPort))
        guard targets.count == 1, let only = targets.first else {
            throw SkalaError(
                .invalid,
                "a service with labels \(HTTPPolicy.prefix)* and not one published port needs the label "
                    + "\(HTTPPolicy.prefix)port=PORT")
        }
        return only
    }

    private static func published(_ endpoint: EndpointSpec) -> [ServicePort] {
        endpoint.ports.filter { $0.transport == .tcp && $0.publishMode == .ingress }
    }

    /// The published ports that requests come to.
    ///
    /// - Throws: `.invalid` when there is none, or one without a number.
    func ports(_ endpoint: EndpointSpec) throws(SkalaError) -> [Int] {
        let target = try targetPort(endpoint)
        let ports = HTTPPolicy.published(endpoint).filter { $0.targetPort == target }.map(\.publishedPort)
        guard !ports.isEmpty else {
            throw SkalaError(
                .invalid,
                "labels \(HTTPPolicy.prefix)*: port \(target) is not published: --publish 80:\(target), "
                    + "for instance")
        }
        guard !ports.contains(0) else {
            throw SkalaError(
                .invalid,
                "labels \(HTTPPolicy.prefix)*: a port that services may share is published under a number: "
                    + "--publish 80:\(target), for instance")
        }
        if let redirect, !ports.contains(redirect) || ports.count < 2 {
            throw SkalaError(
                .invalid,
                "label \(HTTPPolicy.prefix)redirect=\(redirect): that port, and another one for TLS, are to be "
                    + "published for port \(target)")
        }
        return ports
    }

    /// What the balancer is told, without members.
    ///
    /// - Parameters:
    ///   - pem: of the certificate.
    ///   - sleeps: it may have no task.
    func service(
        _ id: String, _ endpoint: EndpointSpec, algorithm: BalancingAlgorithm, pem: String, sleeps: Bool
    ) throws(SkalaError) -> HTTPService {
        let ports = try ports(endpoint)
        let secure = ports.first { $0 != redirect } ?? 0
        let listeners = ports.map { port in
            port == redirect
                ? HTTPService.Listener(port: UInt16(clamping: port), redirectsTo: UInt16(clamping: secure))
                : HTTPService.Listener(port: UInt16(clamping: port), certificate: pem)
        }
        let service = HTTPService(
            id: id, listeners: listeners, routes: routes, algorithm: algorithm, slowStart: slowStart, retries: retries,
            repeatsRequests: repeats, hold: hold ?? (sleeps ? HTTPPolicy.wakingHold : 0))
        try service.validate()
        return service
    }
}
