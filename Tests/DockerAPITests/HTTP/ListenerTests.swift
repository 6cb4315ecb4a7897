import Base
import Glibc
import Testing

@testable import DockerAPI

@Suite(.timeLimit(.minutes(1)))
struct ListenerTests {
    @Test func theSocketIsForOwnerAndGroupOnly() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            var status = stat()
            #expect(lstat(fixture.path, &status) == 0)
            #expect(status.st_mode == S_IFSOCK | 0o660)
        }
    }

    @Test func aSecondDaemonDoesNotTakeThePath() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let second = HTTPServer(service: Service(router: Router(), version: "0", report: { _, _ in }))
            let error = await #expect(throws: SkalaError.self) {
                try await second.listen(on: .unix(path: fixture.path, group: nil))
            }
            #expect(error?.code == .conflict)
            await second.stop(within: .zero)
            let pong = try await fixture.ask("GET /_ping HTTP/1.1\r\n\r\n").body
            #expect(pong == "OK")
        }
    }

    @Test func aForeignListenerIsLeftAlone() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            // Without its lock file the first server looks like a foreign one.
            unlink(fixture.path + ".lock")
            let second = HTTPServer(service: Service(router: Router(), version: "0", report: { _, _ in }))
            let error = await #expect(throws: SkalaError.self) {
                try await second.listen(on: .unix(path: fixture.path, group: nil))
            }
            #expect(error?.message.contains("another program") == true)
            await second.stop(within: .zero)
            let pong = try await fixture.ask("GET /_ping HTTP/1.1\r\n\r\n").body
            #expect(pong == "OK")
        }
    }

    @Test func aStaleSocketIsReplacedAndAFileIsNot() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let stale = fixture.folder + "/stale"
            let left = try UnixListener(path: stale, group: "0")
            _ = close(left.takeSocket())
            #expect(access(stale, F_OK) == 0)
            // The lock is still held by `left`: a new daemon must wait for its end.
            #expect(throws: SkalaError.self) { try UnixListener(path: stale, group: nil) }
            left.close()
            let orphan = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(stale.utf8)) }
            let size = socklen_t(MemoryLayout<sockaddr_un>.size)
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(orphan, $0, size) }
            }
            #expect(bound == 0)
            _ = close(orphan)
            let listener = try UnixListener(path: stale, group: nil)
            listener.close()
            #expect(access(stale, F_OK) != 0)

            let file = fopen(stale, "w")
            if let file { fclose(file) }
            #expect(throws: SkalaError.self) { try UnixListener(path: stale, group: nil) }
            #expect(access(stale, F_OK) == 0)
            unlink(stale)
            unlink(stale + ".lock")
        }
    }

    @Test func tcpWithoutTLSIsRefused() async throws {
        let server = HTTPServer(service: Service(router: Router(), version: "0", report: { _, _ in }))
        let error = await #expect(throws: SkalaError.self) {
            try await server.listen(on: .tcp(host: "127.0.0.1", port: 0, tls: nil))
        }
        #expect(error?.code == .invalid)
        #expect(error?.message.contains("without TLS") == true)
        await server.stop(within: .zero)
    }

    @Test func unusablePathsAreNamed() async {
        for path in ["", String(repeating: "x", count: 200), "a\u{0}b"] {
            let error = #expect(throws: SkalaError.self) { try UnixListener(path: path, group: nil) }
            #expect(error?.code == .invalid)
            #expect(access(path + ".lock", F_OK) != 0)
        }
        #expect(throws: SkalaError.self) { try UnixListener(path: "/nonexistent/folder/socket", group: nil) }
        #expect(throws: SkalaError.self) { try UnixListener(path: "/tmp/skala-no-group", group: "no such group") }
        #expect(access("/tmp/skala-no-group", F_OK) != 0)
        unlink("/tmp/skala-no-group.lock")
    }
}
