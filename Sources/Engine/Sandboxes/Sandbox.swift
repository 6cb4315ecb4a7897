import Base

/// A kernel with a warden on it: the host's, or a VM's. What is asked of it is in docs/warden-protocol.md.
protocol Sandbox: Sendable {
    /// Counts the wardens that served here: what was started under an earlier one has died with it.
    var generation: Int { get }

    /// Sends one request to the warden and waits for its answer.
    ///
    /// - Throws: the warden's `SkalaError`, `.unavailable` when it is gone.
    @discardableResult
    func request(_ operation: String, _ fields: JSON) async throws -> JSON

    /// Gives a stream its number, to pass to `attach`.
    func open(_ stream: WardenStream) throws
}

extension Sandbox {
    @discardableResult
    func request(_ operation: String) async throws -> JSON { try await request(operation, [:]) }
}

/// A sandbox that does not run (yet, or any more).
struct NoSandbox: Sandbox {
    let generation = 0

    func request(_ operation: String, _ fields: JSON) async throws -> JSON { throw WardenClient.gone }

    func open(_ stream: WardenStream) throws { throw WardenClient.gone }
}
