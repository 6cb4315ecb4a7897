import Base

/// A service whose requests are balanced, not its connections: chosen by host and path, tried again, counted.
public struct HTTPService: Sendable, Equatable {
    /// Where requests come in. Services share one when address, port and certificate are the same.
    public struct Listener: Sendable, Hashable {
        /// The host's address; empty for all.
        public let address: String
        public let port: UInt16
        /// Certificates and the private key (PEM): TLS. Empty: plain.
        public let certificate: String
        /// Requests are answered with the way to this port, where the service speaks TLS; 0: they are the service's.
        public let redirectsTo: UInt16

        public init(address: String = "", port: UInt16, certificate: String = "", redirectsTo: UInt16 = 0) {
            self.address = address
            self.port = port
            self.certificate = certificate
            self.redirectsTo = redirectsTo
        }
    }

    /// Which requests are the service's; what is empty matches all.
    public struct Route: Sendable, Hashable {
        /// `shop.example`, or `*.example` for all below.
        public let host: String
        /// `/api`: that path and those below it.
        public let path: String

        public init(host: String = "", path: String = "") {
            self.host = host
            self.path = path
        }
    }

    /// Who answers requests.
    public struct Member: Sendable, Hashable {
        public let id: String
        public let address: IPAddress
        public let port: UInt16
        /// Beside the others', 1 to 256.
        public var weight: Int

        public init(id: String, address: IPAddress, port: UInt16, weight: Int = 1) {
            self.id = id
            self.address = address
            self.port = port
            self.weight = min(max(1, weight), 256)
        }
    }

    public let id: String
    /// None: no new requests come, and those that came are finished.
    public var listeners: [Listener]
    public var routes: [Route]
    public var algorithm: BalancingAlgorithm
    /// A new member gets its full share after this many seconds; 0 is at once.
    public var slowStart: Int
    /// How often a connection to another member is tried when one does not accept it.
    public var retries: Int
    /// Also when a member breaks off without an answer, for requests that change nothing (GET, HEAD, OPTIONS). Each
    /// request is kept until its answer for that, which costs a sixth of the throughput.
    public var repeatsRequests: Bool
    /// Seconds that a request waits for a member when there is none; 0: it is refused at once.
    public var hold: Int
    public var members: [Member]

    public init(
        id: String, listeners: [Listener], routes: [Route] = [], algorithm: BalancingAlgorithm = .roundRobin,
        slowStart: Int = 0, retries: Int = 3, repeatsRequests: Bool = false, hold: Int = 0,
        members: [Member] = []
    ) {
        self.id = id
        self.listeners = listeners
        self.routes = routes
        self.algorithm = algorithm
        self.slowStart = min(max(0, slowStart), 3600)
        self.retries = min(max(0, retries), 10)
        self.repeatsRequests = repeatsRequests
        self.hold = min(max(0, hold), 3600)
        self.members = members
    }

    /// - Throws: `.invalid` for what could not be written into HAProxy's configuration.
    public func validate() throws(SkalaError) {
        guard !id.isEmpty else { throw SkalaError(.invalid, "an HTTP service needs an id") }
        for listener in listeners where !listener.address.isEmpty { _ = try IPAddress(parsing: listener.address) }
        for route in routes {
            let host = route.host.hasPrefix("*.") ? String(route.host.dropFirst(2)) : route.host
            guard host.utf8.allSatisfy({ HTTPService.isHostCharacter($0) }), host.utf8.count <= 253,
                !route.host.hasPrefix("*") || !host.isEmpty
            else { throw SkalaError(.invalid, "invalid host of a route: '\(route.host)'") }
            guard route.path.isEmpty || route.path.hasPrefix("/"), route.path.utf8.count <= 1024,
                route.path.utf8.allSatisfy({ HTTPService.isPathCharacter($0) })
            else { throw SkalaError(.invalid, "invalid path of a route: '\(route.path)'") }
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
    private static func isHostCharacter(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || "-._".utf8.contains(byte) }
    /// RFC 3986's path characters but for those that mean something in HAProxy's configuration.
    private static func isPathCharacter(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || "/-._~!*+,;=:@%".utf8.contains(byte)
    }
}

extension HTTPService {
    var json: JSON {
        [
            "id": JSON(id), "algorithm": JSON(algorithm.rawValue), "slowStart": JSON(slowStart),
            "retries": JSON(retries), "repeatsRequests": JSON(repeatsRequests),
            "hold": JSON(hold),
            "listeners": JSON(
                listeners.map { one -> JSON in
                    [
                        "address": JSON(one.address), "port": JSON(one.port), "certificate": JSON(one.certificate),
                        "redirectsTo": JSON(one.redirectsTo),
                    ]
                }),
            "routes": JSON(routes.map { one -> JSON in ["host": JSON(one.host), "path": JSON(one.path)] }),
            "members": JSON(members.map(\.json)),
        ]
    }

    init(json: JSON) throws(SkalaError) {
        var members: [Member] = []
        for member in json["members"].array ?? [] { members.append(try Member(json: member)) }
        self.init(
            id: json["id"].string ?? "",
            listeners: (json["listeners"].array ?? []).map {
                Listener(
                    address: $0["address"].string ?? "", port: UInt16(clamping: $0["port"].int ?? 0),
                    certificate: $0["certificate"].string ?? "",
                    redirectsTo: UInt16(clamping: $0["redirectsTo"].int ?? 0))
            },
            routes: (json["routes"].array ?? []).map {
                Route(host: $0["host"].string ?? "", path: $0["path"].string ?? "")
            },
            algorithm: json["algorithm"].string.flatMap(BalancingAlgorithm.init) ?? .roundRobin,
            slowStart: Int(json["slowStart"].int ?? 0), retries: Int(json["retries"].int ?? 3),
            repeatsRequests: json["repeatsRequests"].bool ?? false, hold: Int(json["hold"].int ?? 0), members: members)
        try validate()
    }
}

extension HTTPService.Member {
    var json: JSON {
        ["id": JSON(id), "address": JSON(address.description), "port": JSON(port), "weight": JSON(weight)]
    }

    init(json: JSON) throws(SkalaError) {
        self.init(
            id: json["id"].string ?? "", address: try IPAddress(parsing: json["address"].string ?? ""),
            port: UInt16(clamping: json["port"].int ?? 0), weight: Int(json["weight"].int ?? 1))
    }
}
