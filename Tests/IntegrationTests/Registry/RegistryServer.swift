import Base
import Glibc
import Kernel
import Testing

/// A docker-registry on loopback and proxies in front of it (`registry.py`), with a folder of their own.
struct RegistryServer {
    /// Host and port: the registry's own first, then of the fronts in the order asked for.
    let addresses: [String]
    private let process: BackgroundProcess

    /// Starts it for `body` and ends it; images of its repositories are removed. Skips, with the reason printed, where
    /// there is none.
    ///
    /// - Parameter fronts: `basic`, `bearer`, `faulty`.
    static func with(_ fronts: String..., body: (Session, [String]) async throws -> Void) async throws {
        guard ProcessEnvironment.find("docker-registry") != nil else {
            return skip("registry", "the package docker-registry is not installed")
        }
        try await Session.run { t in
            let server = try RegistryServer(t, fronts)
            var failure: (any Error)?
            do { try await body(t, server.addresses) } catch { failure = error }
            for address in server.addresses {
                // By name: the image itself may be one that others use.
                try await t.sh(
                    """
                    docker images --filter reference='\(address)/*' --filter reference='\(address)/*/*' --format '{{.Repository}}:{{.Tag}}' |
                        grep -v '<none>' | xargs -r docker rmi -f
                    docker image prune -f; docker logout \(address)
                    """)
            }
            server.end()
            if let failure { throw failure }
        }
    }

    private init(_ t: Session, _ fronts: [String]) throws {
        process = try BackgroundProcess(
            ["python3", EngineFixture.supportFolder + "registry.py", t.folder + "/registry"] + fronts,
            environment: ProcessEnvironment.inherited, folder: t.folder)
        var line: [UInt8] = []
        let limit = SystemClock.monotonicNanoseconds() + 30_000_000_000
        while line.last != UInt8(ascii: "\n") {
            var poller = pollfd(fd: process.output.raw, events: Int16(POLLIN), revents: 0)
            let left = (limit - SystemClock.monotonicNanoseconds()) / 1_000_000
            guard left > 0, poll(&poller, 1, Int32(left)) > 0 else {
                throw SkalaError(.unavailable, "the registry does not start in time")
            }
            let bytes = try Pipe.read(process.output.raw, upTo: 1024)
            guard !bytes.isEmpty else {
                let text = try Pipe.read(process.error.raw, upTo: 4096)
                throw SkalaError(.unavailable, "the registry does not start: \(String(decoding: text, as: UTF8.self))")
            }
            line += bytes
        }
        addresses = String(decoding: line.dropLast(), as: UTF8.self).split(separator: " ").map(String.init)
    }

    private func end() {
        process.input.close()
        _ = process.end(killing: false, by: SystemClock.monotonicNanoseconds() + 10_000_000_000)
    }
}
