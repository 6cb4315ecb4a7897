import Base

/// Where the engine's API listens.
public struct EngineAddress: Sendable, Hashable {
    public static let defaultPath = "/run/skala/skala.sock"

    /// The path of the unix socket.
    public let path: String

    public init(path: String) { self.path = path }

    /// Parses `unix:///path` or an absolute path.
    ///
    /// - Throws: `SkalaError` `.unsupported` for TCP, `.invalid` for anything else.
    public init(parsing text: String) throws(SkalaError) {
        let path = text.hasPrefix("unix://") ? String(text.dropFirst("unix://".count)) : text
        if path.hasPrefix("tcp://") || path.hasPrefix("ssh://") || path.hasPrefix("http") {
            throw SkalaError(
                .unsupported,
                "host '\(text)': skala speaks to a unix socket only; forward one with 'ssh -L /tmp/s.sock:\(EngineAddress.defaultPath)'"
            )
        }
        guard path.hasPrefix("/") else {
            throw SkalaError(.invalid, "invalid host '\(text)': expected unix:///path")
        }
        self.path = path
    }

    /// The option's value, else `SKALA_HOST`, else `DOCKER_HOST`, else the standard socket.
    public static func choose(
        option: String?, environment: (String) -> String?
    ) throws(SkalaError) -> EngineAddress {
        for candidate in [option, environment("SKALA_HOST"), environment("DOCKER_HOST")] {
            if let candidate, !candidate.isEmpty { return try EngineAddress(parsing: candidate) }
        }
        return EngineAddress(path: defaultPath)
    }

    public var text: String { "unix://" + path }
}
