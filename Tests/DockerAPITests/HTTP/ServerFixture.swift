import Base
import Glibc
import Kernel
import Testing

@testable import DockerAPI

/// A real server on a unix socket in a folder of its own.
final class ServerFixture: Sendable {
    struct Setup: Error {}

    let folder: String
    let path: String
    let server: HTTPServer
    let requests = RequestMetrics()
    let threads = WorkerThreads(limit: 8)

    /// Runs `body` with a listening server; afterwards the server is stopped and the folder removed.
    static func run(
        limits: ServerLimits = ServerLimits(), _ routes: (inout Router) -> Void,
        _ body: (ServerFixture) async throws -> Void
    ) async throws {
        var router = Router()
        router.get("/_ping") { _ in .text("OK") }
        router.head("/_ping") { _ in .text("OK") }
        routes(&router)
        let fixture = try ServerFixture(router, limits)
        defer { fixture.clean() }
        try await fixture.server.listen(on: .unix(path: fixture.path, group: nil))
        try await fixture.server.serve()
        do {
            try await body(fixture)
        } catch {
            await fixture.server.stop(within: .seconds(1))
            throw error
        }
        await fixture.server.stop(within: .seconds(5))
        #expect(fixture.server.connectionCount == 0)
    }

    private init(_ router: Router, _ limits: ServerLimits) throws {
        var template = Array("/tmp/skala-http-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Setup() }
        folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        path = folder + "/s"
        server = HTTPServer(
            service: Service(router: router, version: "1.2.3", limits: limits, requests: requests, report: { _, _ in }))
    }

    private func clean() {
        unlink(path)
        unlink(path + ".lock")
        rmdir(folder)
    }

    /// Runs a blocking client.
    func client<Value: Sendable>(_ body: @escaping @Sendable (RawClient) throws -> Value) async throws -> Value {
        let path = path
        return try await threads.run { try body(try RawClient(path)) }
    }

    /// One request on a connection of its own; returns head and body.
    func ask(_ text: String, method: String = "GET") async throws -> (head: String, body: String) {
        try await client { client in
            try client.send(text)
            return try client.receiveResponse(to: method)
        }
    }
}

/// Waits until `condition` holds, 10 s at most.
func eventually(_ condition: @Sendable () -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
        if condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// The resident memory of this process in bytes.
func residentMemory() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}
