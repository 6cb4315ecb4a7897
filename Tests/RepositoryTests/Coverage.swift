import Base

@testable import DockerAPI
@testable import Engine

/// Writes docs/api-coverage.md: what Skala does of the Docker Engine API, from the router and the tables of the code.
struct Coverage {
    let router: Router
    /// `docker-api-routes.txt` and `docker-api-fields.txt`.
    let routes: [[String]]
    let fields: [[String]]

    init(router: Router, routes: String, fields: String) {
        self.router = router
        func rows(_ text: String) -> [[String]] {
            text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.split(separator: " ").map(String.init) }
        }
        self.routes = rows(routes)
        self.fields = rows(fields)
    }

    enum State: Equatable {
        case done
        case refused(String)
        case missing

        var text: String {
            switch self {
            case .done: "done"
            case .refused(let reason): "refused: " + reason.split(separator: "\n").joined(separator: " ")
            case .missing: "answered with 404"
            }
        }
    }

    func state(method: String, path: String) -> State {
        // A name in the place of each parameter.
        let example = path.split(separator: "/").map { $0.hasPrefix("{") ? "x" : String($0) }.joined(separator: "/")
        if let refusal = router.refusal(method: method, path: "/" + example) { return .refused(refusal.message) }
        return router.find(method: method, path: "/" + example) == nil ? .missing : .done
    }

    /// Routes of ours the API's description does not have.
    var beyond: [(method: String, pattern: String)] {
        func shape(_ path: String) -> String {
            path.split(separator: "/").map { $0.hasPrefix("{") ? "{}" : String($0) }.joined(separator: "/")
        }
        let known = Set(routes.map { $0[0] + shape($0[1]) })
        return router.list.filter { !known.contains($0.method + shape($0.pattern)) }
    }

    func state(object: String, field: String) -> State {
        let refused = RefusedFields.all.first { $0.object == object }?.fields.first { $0.key == field }
        if let refused { return .refused(refused.reason) }
        return .done
    }

    var text: String {
        var text = """
            # What Skala does of the Docker Engine API

            Version 1.50 of the API; older clients are answered down to \(APIVersion.oldest). This file is made by
            `make docs` from the router and the tables of the code, and a test fails when it is not current.


            """
        let states = routes.map { state(method: $0[0], path: $0[1]) }
        text += "## Routes\n\n\(states.count { $0 == .done }) of \(states.count) routes are done.\n"
        for group in routes.map({ $0[3] }).reduce(into: [String](), { if !$0.contains($1) { $0.append($1) } }) {
            text += "\n### \(group)\n\n| Route | Operation | State |\n| --- | --- | --- |\n"
            for (route, state) in zip(routes, states) where route[3] == group {
                text += "| `\(route[0]) \(route[1])` | \(route[2]) | \(state.text) |\n"
            }
        }
        if !beyond.isEmpty {
            text += "\n### Beyond the description\n\n| Route |\n| --- |\n"
            for route in beyond { text += "| `\(route.method) \(route.pattern)` |\n" }
        }
        text += "\n## Fields of requests\n\nA field that is refused gives an error when it is set; none is ignored.\n"
        for row in fields {
            let refused = row.dropFirst().map { ($0, state(object: row[0], field: $0)) }.filter { $0.1 != .done }
            text += "\n### \(row[0])\n\n\(row.count - 1 - refused.count) of \(row.count - 1) fields are done"
            if refused.isEmpty {
                text += ".\n"
                continue
            }
            text += "; these are refused:\n\n| Field | Reason |\n| --- | --- |\n"
            for (field, state) in refused {
                if case .refused(let reason) = state { text += "| `\(field)` | \(reason) |\n" }
            }
        }
        return text
    }
}
