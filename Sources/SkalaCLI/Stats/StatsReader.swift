import Base
import Client

/// Reads the statistics of containers one after the other over one connection.
struct StatsReader {
    let client: EngineClient
    private var before: [String: JSON] = [:]

    init(client: EngineClient) { self.client = client }

    /// The ids of the containers that run, or those named.
    func ids(_ names: [String], all: Bool) throws -> [String] {
        guard names.isEmpty else { return names }
        let query = all ? [(name: "all", value: "1")] : []
        return (try client.json(.get("/containers/json", query: query)).array ?? []).compactMap { $0["Id"].string }
    }

    /// One reading of each; what has gone meanwhile is left out, unless it was `named`.
    mutating func read(_ ids: [String], named: Bool) throws -> [StatsSample] {
        var samples: [StatsSample] = []
        var now: [String: JSON] = [:]
        for id in ids {
            do {
                let query = [(name: "stream", value: "0"), (name: "one-shot", value: "1")]
                let document = try client.json(.get(API.container(id, "/stats"), query: query))
                samples.append(StatsSample(document, before: before[id]))
                now[id] = document
            } catch let error as SkalaError where !named && [.notFound, .conflict].contains(error.code) {
                continue
            }
        }
        before = now
        return samples
    }
}
