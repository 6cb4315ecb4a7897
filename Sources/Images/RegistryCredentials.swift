public import Base
import OCI

/// Who asks a registry.
public struct RegistryCredentials: Sendable {
    public let username: String
    public let password: String
    /// An OAuth2 refresh token in place of a password: exchanged for a token of each scope.
    public let identityToken: String
    /// A bearer token that is used as it is.
    public let registryToken: String
    public let serverAddress: String

    /// From the API's `AuthConfig`.
    public init(json: JSON) {
        username = json["username"].string ?? ""
        password = json["password"].string ?? ""
        identityToken = json["identitytoken"].string ?? ""
        registryToken = json["registrytoken"].string ?? ""
        serverAddress = json["serveraddress"].string ?? ""
    }

    /// From the `X-Registry-Auth` header: base64 of an `AuthConfig`. nil when it holds no credentials.
    public init?(header: String) {
        guard let bytes = Base64.decode(header), let json = try? JSON(parsing: bytes) else { return nil }
        self.init(json: json)
        if username.isEmpty, identityToken.isEmpty, registryToken.isEmpty { return nil }
    }

    /// The registry a server address names: `https://index.docker.io/v1/` is `docker.io`.
    public static func registry(of address: String) -> String {
        let host = address.split(separator: "/").first { $0 != "https:" && $0 != "http:" } ?? ""
        return host.hasSuffix("docker.io") ? Reference.defaultDomain : String(host)
    }

    /// The value of a Basic `Authorization` header.
    var basic: String { "Basic " + Base64.encode(Array("\(username):\(password)".utf8)) }
}
