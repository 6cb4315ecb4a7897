import Base
public import Client
public import Planning

extension HostProfile {
    /// Where the engine keeps it.
    public static let path = "/skala/v1/host/profile"

    /// What the engine knows of its host; nil when it knows nothing.
    public static func stored(_ client: EngineClient) throws -> HostProfile? {
        do {
            return try HostProfile(json: try client.json(.get(path)))
        } catch let error as SkalaError where error.code == .notFound { return nil }
    }
}
