public import Base

/// A load test: what is sent where, how much of it, and what counts as a failure.
public struct LoadPlan: Sendable {
    public var targets: [LoadTarget]
    public var profile: LoadProfile
    public var method = "GET"
    /// Names and values; `Host`, `Content-Length` and `Connection` are set where they are missing.
    public var headers: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// Connections are used for several requests.
    public var keepsAlive = true
    /// Certificates are not checked.
    public var isInsecure = false
    /// Nanoseconds from the sending of a request (or the wish for a connection) to the end of its answer.
    public var timeout: Int64 = 10_000_000_000
    /// The test ends after so many requests, however long it was to be.
    public var requestLimit: UInt64?
    /// Connections at most, in an open loop.
    public var connectionLimit = 10_000
    public var threads = 1
    /// Statuses that are no failures.
    public var expectedStatuses = StatusSet.successful
    /// The length of the series' intervals, in nanoseconds.
    public var interval: Int64 = 1_000_000_000

    public init(targets: [LoadTarget], profile: LoadProfile) {
        self.targets = targets
        self.profile = profile
    }

    /// - Throws: `SkalaError` `.invalid` for what no test can be made of.
    public func validate() throws(SkalaError) {
        guard !targets.isEmpty else { throw SkalaError(.invalid, "a load needs a URL") }
        guard profile.duration > 0, profile.highest > 0 else {
            throw SkalaError(.invalid, "the load is empty: its duration and its height must be above zero")
        }
        guard LoadPlan.isToken(method) else { throw SkalaError(.invalid, "invalid method '\(method)'") }
        for header in headers {
            guard LoadPlan.isToken(header.name), !header.value.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) else {
                throw SkalaError(.invalid, "invalid header '\(header.name): \(header.value)'")
            }
        }
    }

    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"\"(),/:;<=>?@[\\]{}".utf8.contains($0) }
    }

    /// The bytes of a request.
    func request(to target: LoadTarget) -> [UInt8] {
        var head = "\(method) \(target.path) HTTP/1.1\r\n"
        func has(_ name: String) -> Bool { headers.contains { $0.name.lowercased() == name } }
        if !has("host") { head += "Host: \(target.authority)\r\n" }
        if !has("user-agent") { head += "User-Agent: skala/\(ProductVersion.text)\r\n" }
        if !has("accept") { head += "Accept: */*\r\n" }
        if !has("connection"), !keepsAlive { head += "Connection: close\r\n" }
        let expectsBody = ["POST", "PUT", "PATCH"].contains(method)
        if !has("content-length"), !body.isEmpty || expectsBody { head += "Content-Length: \(body.count)\r\n" }
        for header in headers { head += "\(header.name): \(header.value)\r\n" }
        return Array((head + "\r\n").utf8) + body
    }

    /// A request may be sent a second time without doing twice what it does (RFC 9110, section 9.2.2).
    var isIdempotent: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"].contains(method) }
}

/// Ranges of HTTP statuses.
public struct StatusSet: Sendable, Hashable {
    private let ranges: [ClosedRange<Int>]

    public static let successful = StatusSet([100...399])

    private init(_ ranges: [ClosedRange<Int>]) { self.ranges = ranges }

    public func contains(_ status: Int) -> Bool { ranges.contains { $0.contains(status) } }

    /// - Parameter text: `200`, `2xx`, `200-299`, several with commas.
    public init(parsing text: String) throws(SkalaError) {
        var ranges: [ClosedRange<Int>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false)
            if part.count == 3, part.lowercased().hasSuffix("xx"), let first = Int(part.prefix(1)), first > 0 {
                ranges.append(first * 100...first * 100 + 99)
            } else if bounds.count <= 2, let low = Int(bounds[0]), let high = Int(bounds[bounds.count - 1]),
                (100...599).contains(low), (low...599).contains(high)
            {
                ranges.append(low...high)
            } else {
                throw SkalaError(.invalid, "invalid statuses '\(text)': expected such as 200, 2xx or 200-299,404")
            }
        }
        self.init(ranges)
    }
}
