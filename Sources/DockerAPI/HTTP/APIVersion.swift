import Base

/// A version of the Docker Engine API: `1.44`. Numbers, not text: 1.9 is older than 1.24.
struct APIVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    /// The newest version served, and the one meant by a path without a version.
    static let current = APIVersion(major: 1, minor: 50)
    static let oldest = APIVersion(major: 1, minor: 24)

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// The version a path segment `v1.44` names, or nil when the segment is no version.
    init?(segment: Substring) {
        guard segment.first == "v" else { return nil }
        let parts = segment.dropFirst().split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let major = Int(parts[0]), let minor = Int(parts[1])
        else { return nil }
        self.init(major: major, minor: minor)
    }

    var description: String { "\(major).\(minor)" }

    static func < (a: APIVersion, b: APIVersion) -> Bool { (a.major, a.minor) < (b.major, b.minor) }

    /// Takes the version prefix off a decoded path.
    ///
    /// - Throws: `SkalaError` `.invalid` in Docker's words when the version lies outside what is served.
    static func split(path: String) throws(SkalaError) -> (version: APIVersion, path: String) {
        guard path.utf8.first == UInt8(ascii: "/") else { return (.current, path) }
        let rest = path.dropFirst()
        let segment = rest.prefix { $0 != "/" }
        guard let version = APIVersion(segment: segment) else { return (.current, path) }
        if version > .current {
            throw SkalaError(
                .invalid,
                "client version \(version) is too new. Maximum supported API version is \(APIVersion.current)")
        }
        if version < .oldest {
            throw SkalaError(
                .invalid,
                "client version \(version) is too old. Minimum supported API version is \(APIVersion.oldest), "
                    + "please upgrade your client to a newer version")
        }
        let remainder = rest.dropFirst(segment.count)
        return (version, remainder.isEmpty ? "/" : String(remainder))
    }
}
