public import Base

/// An image reference (distribution specification): `[domain/]path[:tag][@digest]`.
public struct Reference: Sendable, Hashable {
    /// `docker.io`, `localhost:5000`.
    public let domain: String
    /// `library/nginx`.
    public let path: String
    public let tag: String?
    /// `sha256:…`.
    public let digest: String?

    public static let defaultDomain = "docker.io"

    /// Parses what users write: without a domain it is Docker Hub's, without tag and digest it is `latest`.
    ///
    /// - Throws: `.invalid` with Docker's texts.
    public init(parsing text: String) throws(SkalaError) {
        let failure = SkalaError(.invalid, "invalid reference format")
        var rest = text[...]
        var digest: String?
        if let at = rest.firstIndex(of: "@") {
            digest = String(rest[rest.index(after: at)...])
            guard digest.map(Digest.isValid) == true else { throw failure }
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            let name = rest[rest.index(after: colon)...]
            let isValid =
                (1...128).contains(name.count)
                && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
            guard isValid, let first = name.first, first != ".", first != "-" else { throw failure }
            tag = String(name)
            rest = rest[..<colon]
        }
        let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let first = parts.first ?? ""
        let hasDomain = parts.count == 2 && (first.contains(".") || first.contains(":") || first == "localhost")
        var path = hasDomain ? String(parts[1]) : String(rest)
        domain =
            hasDomain ? (first == "index.docker.io" ? Reference.defaultDomain : String(first)) : Reference.defaultDomain
        if domain == Reference.defaultDomain, !path.contains("/") { path = "library/" + path }
        guard path == path.lowercased() else {
            throw SkalaError(.invalid, "invalid reference format: repository name (\(path)) must be lowercase")
        }
        guard Reference.isValid(path: path), text.utf8.count <= 512 else { throw failure }
        self.path = path
        self.digest = digest
        self.tag = tag ?? (digest == nil ? "latest" : nil)
    }

    private static func isValid(path: String) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.first, let last = part.last else { return false }
            return part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
                && !"._-".contains(first) && !"._-".contains(last)
        }
    }

    /// `docker.io/library/nginx`.
    public var repository: String { domain + "/" + path }

    /// The repository as users write it: `nginx`, `localhost:5000/nginx`.
    public var familiarRepository: String {
        guard domain == Reference.defaultDomain else { return repository }
        return path.hasPrefix("library/") ? String(path.dropFirst("library/".count)) : path
    }

    /// `nginx:latest`, `nginx@sha256:…`.
    public var familiar: String {
        familiarRepository + (digest.map { "@" + $0 } ?? ":" + (tag ?? "latest"))
    }
}
