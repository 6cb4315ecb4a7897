/// What HAProxy has counted of a service.
public struct HTTPMetrics: Sendable, Equatable {
    /// Requests and answers with a server's error since HAProxy's start.
    public var requests = 0
    public var serverErrors = 0
    /// Requests that got no answer from a member: none was there, none could be reached, or it broke off.
    public var failures = 0
    public var retries = 0
    /// In the last second.
    public var requestsPerSecond = 0
    /// Being answered now, and waiting for a member.
    public var concurrency = 0
    public var queued = 0
    /// Of the last 1024 requests, from the request to the answer's head, on average.
    public var responseMilliseconds = 0
    /// Of those of about the last second (up to 5 s where they are few): waiting for a member and for its answer's head,
    /// a request in so many percent at most. Exact up to 200 requests a second, else of a random sample of 1 in 25.
    public var latencyMilliseconds: [Int: Int] = [:]
    /// Member id → requests being answered now.
    public var concurrencyOfMembers: [String: Int] = [:]

    /// Reads `show stat`: a line of names, then a line for each front, backend and server.
    ///
    /// - Returns: by backend; those of servers by their name.
    static func parse(_ text: String) -> [String: (metrics: HTTPMetrics, servers: [String: Int])] {
        let lines = text.split(separator: "\n")
        guard let head = lines.first, head.hasPrefix("# ") else { return [:] }
        let names = head.dropFirst(2).split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let columns = Dictionary(names.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
        var result: [String: (metrics: HTTPMetrics, servers: [String: Int])] = [:]
        for line in lines.dropFirst() {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            func number(_ name: String) -> Int {
                guard let column = columns[name], fields.indices.contains(column) else { return 0 }
                return Int(fields[column]) ?? 0
            }
            guard fields.count > 2, fields[1] != "FRONTEND" else { continue }
            let backend = String(fields[0])
            if fields[1] == "BACKEND" {
                var metrics = HTTPMetrics()
                metrics.requests = number("req_tot")
                metrics.serverErrors = number("hrsp_5xx")
                metrics.failures = number("econ") + number("eresp")
                metrics.retries = number("wretr")
                metrics.requestsPerSecond = number("rate")
                metrics.concurrency = number("scur")
                metrics.queued = number("qcur")
                metrics.responseMilliseconds = number("rtime")
                result[backend, default: (HTTPMetrics(), [:])].metrics = metrics
            } else {
                result[backend, default: (HTTPMetrics(), [:])].servers[String(fields[1])] = number("scur")
            }
        }
        return result
    }
}
