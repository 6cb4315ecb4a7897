import Base
import Client
import Glibc
import Kernel

/// Docker's configuration file, as far as credentials of registries go: `auths`, `credsStore` and `credHelpers`.
struct CredentialStore {
    /// The key Docker keeps Docker Hub's credentials under.
    static let hubKey = "https://index.docker.io/v1/"

    let path: String
    private(set) var document: JSON

    /// The user's own file: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    static func standard() throws -> CredentialStore {
        let folder = Environment.value("DOCKER_CONFIG") ?? (Environment.value("HOME") ?? "/root") + "/.docker"
        let path = folder + "/config.json"
        do { return try CredentialStore(path: path, document: JSON(parsing: FileContents.read(path))) } catch let error
            as KernelError where error.asSkalaError.code == .notFound
        {
            return CredentialStore(path: path, document: [:])
        } catch { throw SkalaError(.invalid, "\(path): \(CommandFailure.text(error))") }
    }

    /// The value of `X-Registry-Auth` for a registry, nil when nothing is known of it.
    func header(for registry: String) throws -> String? {
        guard var credentials = try credentials(for: registry) else { return nil }
        credentials["serveraddress"] = JSON(CredentialStore.key(registry))
        // The header takes the URL-safe alphabet.
        return Base64.encode(credentials.bytes).map { $0 == "+" ? "-" : $0 == "/" ? "_" : "\($0)" }.joined()
    }

    /// The API's `AuthConfig`.
    func credentials(for registry: String) throws -> JSON? {
        let key = CredentialStore.key(registry)
        if let helper = helper(for: registry) {
            return try CredentialHelper(helper).credentials(for: key)
        }
        let entries = document["auths"].object?.members ?? []
        guard let entry = entries.first(where: { CredentialStore.host(of: $0.key) == CredentialStore.host(of: key) })
        else { return nil }
        if let token = entry.value["identitytoken"].string, !token.isEmpty { return ["identitytoken": JSON(token)] }
        guard let text = entry.value["auth"].string, let bytes = Base64.decode(text) else { return nil }
        let pair = String(decoding: bytes, as: UTF8.self)
        guard let colon = pair.firstIndex(of: ":") else { return nil }
        return [
            "username": JSON(String(pair[..<colon])), "password": JSON(String(pair[pair.index(after: colon)...])),
        ]
    }

    private func helper(for registry: String) -> String? {
        let host = CredentialStore.host(of: CredentialStore.key(registry))
        let own = document["credHelpers"].stringPairs?.first { CredentialStore.host(of: $0.key) == host }?.value
        return own ?? document["credsStore"].string.flatMap { $0.isEmpty ? nil : $0 }
    }

    // MARK: changes

    /// Keeps credentials that a registry has accepted, and says where.
    mutating func store(_ credentials: JSON, for registry: String) throws -> String {
        let key = CredentialStore.key(registry)
        if let helper = helper(for: registry) {
            try CredentialHelper(helper).store(credentials, for: key)
            return "the credential helper '\(helper)'"
        }
        let token = credentials["identitytoken"].string ?? ""
        let password = token.isEmpty ? credentials["password"].string ?? "" : ""
        let pair = (credentials["username"].string ?? "") + ":" + password
        var entry: JSON = ["auth": JSON(Base64.encode(Array(pair.utf8)))]
        if !token.isEmpty { entry["identitytoken"] = JSON(token) }
        document["auths"][key] = entry
        try write()
        return path
    }

    /// Forgets a registry's credentials; false when there were none.
    mutating func erase(_ registry: String) throws -> Bool {
        let key = CredentialStore.key(registry)
        if let helper = helper(for: registry) { try CredentialHelper(helper).erase(key) }
        var auths = document["auths"].object ?? JSONObject()
        let keys = auths.keys.filter { CredentialStore.host(of: $0) == CredentialStore.host(of: key) }
        for key in keys { auths[key] = nil }
        guard !keys.isEmpty else { return helper(for: registry) != nil }
        document["auths"] = .object(auths)
        try write()
        return true
    }

    private func write() throws {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try FileContents.makeDirectories(folder, mode: 0o700)
        try FileContents.replace(path, with: Array((document.pretty(indent: 4) + "\n").utf8), mode: 0o600)
    }

    // MARK: names

    static func key(_ registry: String) -> String {
        [ImageName.hub, "index.docker.io", "registry-1.docker.io", hubKey].contains(registry) ? hubKey : registry
    }

    /// The host of a key, which may be a URL.
    static func host(of key: String) -> String {
        var text = key[...]
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { text = text.dropFirst(scheme.count) }
        return String(text.prefix { $0 != "/" })
    }
}
