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
        // All of a reference is ASCII; so below a character is a byte.
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw failure }
        if text.utf8.count == Identifier.length, Digest.isValid("sha256:" + text) {
            throw SkalaError(
                .invalid, "invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
        }
        var rest = text[...]
        var digest: String?
        if let at = rest.firstIndex(of: "@") {
            digest = String(rest[rest.index(after: at)...])
            guard digest.map(Digest.isValid) == true else { throw failure }
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            guard tag.map(Reference.isValid(tag:)) == true else { throw failure }
            rest = rest[..<colon]
        }
        let (domain, path) = Reference.split(rest)
        guard path == path.lowercased() else {
            throw SkalaError(.invalid, "invalid reference format: repository name (\(path)) must be lowercase")
        }
        guard Reference.isValid(domain: domain),
            path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Reference.isValid(component:))
        else { throw failure }
        guard path.utf8.count <= 255 else {
            throw SkalaError(.invalid, "repository name must not be more than 255 characters")
        }
        self.domain = domain
        self.path = path
        self.digest = digest
        self.tag = tag ?? (digest == nil ? "latest" : nil)
    }

    /// What stands before the first slash is a domain when it could be nothing else.
    private static func split(_ name: Substring) -> (domain: String, path: String) {
        let parts = name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let isDomain =
            parts.count == 2
            && (parts[0].contains(".") || parts[0].contains(":") || parts[0] == "localhost"
                || parts[0] != parts[0].lowercased())
        let path = isDomain ? parts[1] : String(name)
        guard !isDomain || parts[0] == defaultDomain || parts[0] == "index.docker.io" else { return (parts[0], path) }
        return (defaultDomain, path.contains("/") ? path : "library/" + path)
    }

    /// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
    private static func isValid(tag: String) -> Bool {
        tag.utf8.count <= 128 && !tag.isEmpty && !tag.hasPrefix(".") && !tag.hasPrefix("-")
            && tag.allSatisfy { $0.isLetter || $0.isNumber || "_.-".contains($0) }
    }

    /// Names between dots, of letters, digits and inner hyphens, or an IPv6 address in brackets; and a port.
    private static func isValid(domain: String) -> Bool {
        var host = domain[...]
        if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") {
            let port = host[host.index(after: colon)...]
            guard !port.isEmpty, port.allSatisfy(\.isNumber) else { return false }
            host = host[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            return host.dropFirst().dropLast().allSatisfy { $0.isHexDigit || $0 == ":" }
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { name in
            !name.isEmpty && !name.hasPrefix("-") && !name.hasSuffix("-")
                && name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" }
        }
    }

    /// Lower-case letters and digits, between which stand a dot, one or two underscores, or any number of hyphens.
    private static func isValid(component: Substring) -> Bool {
        func isWord(_ character: Character) -> Bool { character.isLetter || character.isNumber }
        guard let first = component.first, let last = component.last, isWord(first), isWord(last) else { return false }
        return component.split(whereSeparator: isWord).allSatisfy { separator in
            [".", "_", "__"].contains(separator) || separator.allSatisfy { $0 == "-" }
        }
    }

    /// Whether what a user wrote names one image of a repository; a name alone is `latest` or all of it, as the verb has it.
    public static func hasTagOrDigest(_ text: String) -> Bool {
        text.contains("@") || text.split(separator: "/").last?.contains(":") == true
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
