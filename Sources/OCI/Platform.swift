public import Base

/// Chooses an image of a multi-platform index.
public struct Platform: Sendable, Hashable {
    public let os: String
    public let architecture: String
    public let variant: String?

    /// `linux/amd64`, `linux/arm/v7`, `arm64`.
    ///
    /// - Throws: `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        let parts = text.split(separator: "/").map(String.init)
        switch parts.count {
        case 1: (os, architecture, variant) = ("linux", Platform.normalize(parts[0]), nil)
        case 2: (os, architecture, variant) = (parts[0], Platform.normalize(parts[1]), nil)
        case 3: (os, architecture, variant) = (parts[0], Platform.normalize(parts[1]), parts[2])
        default: throw SkalaError(.invalid, "invalid platform: '\(text)'")
        }
    }

    /// The host's own, from the machine name of uname(2).
    public init(machine: String) {
        os = "linux"
        architecture = Platform.normalize(machine)
        variant = nil
    }

    private static func normalize(_ name: String) -> String {
        ["x86_64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386", "i686": "386"][name] ?? name
    }

    /// The descriptor of an index that fits; the first one when several do.
    public func choose(from manifests: [JSON]) -> JSON? {
        manifests.first { manifest in
            let platform = manifest["platform"]
            return fits(
                os: platform["os"].string ?? "", architecture: platform["architecture"].string ?? "",
                variant: platform["variant"].string)
        }
    }

    /// Whether an image of that platform is what was asked for.
    public func fits(os: String, architecture: String, variant: String?) -> Bool {
        os == self.os && architecture == self.architecture && (self.variant == nil || variant == self.variant)
    }

    public var text: String { [os, architecture, variant].compactMap { $0 }.joined(separator: "/") }
}
