import Base
import Testing

@testable import DockerAPI

struct RouterTests {
    private static func router() -> Router {
        var router = Router()
        for pattern in [
            "/containers/json", "/containers/{id}/json", "/images/json", "/images/{name:*}/json",
            "/images/{name:*}/get",
            "/images/get", "/images/{name:*}", "/networks", "/networks/{id}", "/a/{one}/x", "/a/b/{two}", "/a/{rest:*}",
        ] {
            router.get(pattern) { _ in .text(pattern) }
        }
        router.delete("/images/{name:*}") { _ in .text("delete") }
        return router
    }

    @Test(
        arguments: [
            ("/containers/json", "/containers/json", [:]),
            ("/containers/web/json", "/containers/{id}/json", ["id": "web"]),
            ("/images/json", "/images/json", [:]),
            ("/images/busybox/json", "/images/{name:*}/json", ["name": "busybox"]),
            ("/images/localhost:5000/a/b:1.0/json", "/images/{name:*}/json", ["name": "localhost:5000/a/b:1.0"]),
            ("/images/json/json", "/images/{name:*}/json", ["name": "json"]),
            ("/images/a/get", "/images/{name:*}/get", ["name": "a"]),
            ("/images/get", "/images/get", [:]),
            ("/images/other", "/images/{name:*}", ["name": "other"]),
            ("/networks", "/networks", [:]),
            ("/networks/x", "/networks/{id}", ["id": "x"]),
            ("/a/b/x", "/a/{one}/x", ["one": "b"]),
            ("/a/c/x", "/a/{one}/x", ["one": "c"]),
            ("/a/b/y", "/a/b/{two}", ["two": "y"]),
            ("/a/q/r/s", "/a/{rest:*}", ["rest": "q/r/s"]),
        ] as [(String, String, [String: String])])
    func routesAreFound(path: String, pattern: String, parameters: [String: String]) async throws {
        let request = request(path)
        guard let found = RouterTests.router().find(method: "GET", path: path) else {
            Issue.record("no route for \(path)")
            return
        }
        #expect(found.parameters == parameters)
        guard case .bytes(let body) = try await found.handler(request).body else {
            Issue.record("no body")
            return
        }
        // Two patterns fit /a/b/x with the same amount of text; the one registered first is taken.
        #expect(String(decoding: body, as: UTF8.self) == pattern)
    }

    @Test(arguments: [
        "", "/", "/images", "/images/", "/images//json", "/containers/a/b/json", "/containers//json", "nothing",
        "/networks/a/b",
    ])
    func nothingIsFound(path: String) {
        #expect(RouterTests.router().find(method: "GET", path: path) == nil || path == "/images/")
        #expect(RouterTests.router().find(method: "POST", path: path) == nil)
    }

    @Test func methodsAreApart() {
        #expect(RouterTests.router().find(method: "DELETE", path: "/images/a/b")?.parameters == ["name": "a/b"])
        #expect(RouterTests.router().find(method: "DELETE", path: "/containers/json") == nil)
    }

    private func request(_ path: String) -> Request {
        Request(
            method: "GET", path: path, query: Query(), headers: [], apiVersion: .current,
            body: RequestBody(pipe: BytePipe(demand: {}), length: 0))
    }
}

struct QueryTests {
    @Test func valuesAreDecoded() throws {
        let query = try Query(parsing: "names=a%2Fb&names=c+d%2B&empty=&bare&u=%C3%A9&=x")
        #expect(query.all("names") == ["a/b", "c d+"])
        #expect(query.first("names") == "a/b")
        #expect(query.first("empty") == "")
        #expect(query.first("bare") == "")
        #expect(query.first("u") == "é")
        #expect(query.first("none") == nil)
        #expect(throws: SkalaError.self) { try Query(parsing: "a=%") }
        #expect(throws: SkalaError.self) { try Query(parsing: "a=%ff") }
        #expect(throws: SkalaError.self) { try Query(parsing: String(repeating: "a&", count: 5000)) }
    }

    @Test(arguments: [
        ("f=1", true), ("f=true", true), ("f=True", true), ("f=anything", true), ("f", false), ("f=", false),
        ("f=0", false),
        ("f=no", false), ("f=FALSE", false), ("f=none", false), ("f=+0+", false),
    ]) func flagsFollowDockersRules(text: String, expected: Bool) throws {
        #expect(try Query(parsing: text).flag("f", default: !expected) == expected)
    }

    @Test func missingFlagsAndNumbers() throws {
        let query = try Query(parsing: "n=-5&bad=1x&e=")
        #expect(query.flag("missing") == false)
        #expect(query.flag("missing", default: true))
        #expect(try query.int("n") == -5)
        #expect(try query.int("e") == nil)
        #expect(try query.int("missing") == nil)
        #expect(throws: SkalaError.self) { try query.int("bad") }
    }

    @Test func versionsCompareAsNumbers() throws {
        #expect(try APIVersion.split(path: "/v1.44/info").path == "/info")
        #expect(try APIVersion.split(path: "/v1.44").path == "/")
        #expect(try APIVersion.split(path: "/version").path == "/version")
        #expect(try APIVersion.split(path: "/info").version == .current)
        #expect(throws: SkalaError.self) { try APIVersion.split(path: "/v1.9/info") }
        #expect(throws: SkalaError.self) { try APIVersion.split(path: "/v2.0/info") }
    }
}
