import Base
import Glibc
import Kernel
import Testing

@testable import DockerAPI

/// TCP with mutual TLS, asked by curl with certificates openssl makes for the test.
@Suite(
    .timeLimit(.minutes(1)), .enabled(if: access("/usr/bin/curl", X_OK) == 0 && access("/usr/bin/openssl", X_OK) == 0))
struct TLSTests {
    @Test func onlyClientsWithACertificateOfTheAuthorityGetIn() async throws {
        let threads = WorkerThreads(limit: 2)
        try await ServerFixture.run({ router in
            router.post("/echo") { request in
                Response(body: .bytes(try await request.body.collect(upTo: 4 << 20)))
            }
        }) { fixture in
            let folder = fixture.folder
            let files =
                ["ca", "other", "server", "client", "stranger"].flatMap { ["\($0).key", "\($0).pem"] } + [
                    "body", "out",
                ]
            defer { for file in files { unlink(folder + "/" + file) } }
            try await threads.run { try TLSTests.makeCertificates(folder) }
            let tls = TLSFiles(
                certificate: folder + "/server.pem", key: folder + "/server.key", authority: folder + "/ca.pem")
            guard let port = try await fixture.server.listen(on: .tcp(host: "127.0.0.1", port: 0, tls: tls)) else {
                Issue.record("no port")
                return
            }
            let common = ["-sS", "--max-time", "10", "--cacert", folder + "/ca.pem", "-o", folder + "/out"]
            let address = "https://localhost:\(port)/v1.44"
            func curl(_ arguments: [String]) async throws -> Int32 {
                try await threads.run { try run(["/usr/bin/curl"] + common + arguments) }
            }
            let own = ["--cert", folder + "/client.pem", "--key", folder + "/client.key"]
            #expect(try await curl(own + [address + "/_ping"]) == 0)
            #expect(try text(folder + "/out") == "OK")
            // A body of several TLS records each way.
            let body = String(repeating: "0123456789abcdef", count: 100_000)
            if let file = fopen(folder + "/body", "w") {
                fputs(body, file)
                fclose(file)
            }
            #expect(try await curl(own + ["--data-binary", "@\(folder)/body", address + "/echo"]) == 0)
            #expect(try text(folder + "/out") == body)

            unlink(folder + "/out")
            let strange = ["--cert", folder + "/stranger.pem", "--key", folder + "/stranger.key"]
            #expect(try await curl(strange + [address + "/_ping"]) != 0)
            #expect(try await curl([address + "/_ping"]) != 0)
            #expect(try await curl(own + ["http://localhost:\(port)/_ping"]) != 0)
            let leaked = access(folder + "/out", F_OK) == 0 ? try text(folder + "/out") : ""
            #expect(leaked.isEmpty)
            #expect(try await eventually { fixture.server.connectionCount == 0 })
        }
    }

    @Test func unusableFilesAreNamed() {
        let files = TLSFiles(
            certificate: "/nonexistent/a.pem", key: "/nonexistent/a.key", authority: "/nonexistent/ca.pem")
        let error = #expect(throws: SkalaError.self) { try TLSListener(files, helloDeadline: .seconds(1)) }
        #expect(error?.code == .invalid)
        #expect(error?.message.contains("/nonexistent/a.pem") == true)
    }

    private static func makeCertificates(_ folder: String) throws {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        for authority in ["ca", "other"] {
            try expect(
                run(
                    ["/usr/bin/openssl", "req", "-x509"] + key + [
                        "-subj", "/CN=\(authority)", "-keyout", "\(folder)/\(authority).key", "-out",
                        "\(folder)/\(authority).pem",
                    ]))
        }
        for (name, authority) in [("server", "ca"), ("client", "ca"), ("stranger", "other")] {
            try expect(
                run(
                    ["/usr/bin/openssl", "req", "-x509"] + key + [
                        "-CA", "\(folder)/\(authority).pem", "-CAkey", "\(folder)/\(authority).key", "-subj",
                        "/CN=\(name)", "-addext", "subjectAltName=DNS:localhost", "-addext",
                        "basicConstraints=critical,CA:FALSE", "-keyout", "\(folder)/\(name).key", "-out",
                        "\(folder)/\(name).pem",
                    ]))
        }
    }

    private static func expect(_ status: Int32) throws {
        guard status == 0 else { throw SkalaError(.system, "openssl failed: \(status)") }
    }
}

/// Runs a program without output and waits for it; returns its exit code, or -1.
private func run(_ arguments: [String]) throws -> Int32 {
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for text in argv { free(text) } }
    var envp: [UnsafeMutablePointer<CChar>?] = [nil]
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 0...2 as ClosedRange<Int32> {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    var child = pid_t()
    let failed = posix_spawn(&child, arguments[0], &actions, nil, &argv, &envp)
    guard failed == 0 else { throw KernelError("posix_spawn", arguments[0], errno: failed) }
    var status: Int32 = 0
    guard waitpid(child, &status, 0) == child else { return -1 }
    return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
}

private func text(_ path: String) throws -> String {
    guard let file = fopen(path, "r") else { throw KernelError("fopen", path, errno: errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while case let count = fread(&piece, 1, piece.count, file), count > 0 { bytes += piece.prefix(count) }
    return String(decoding: bytes, as: UTF8.self)
}
