/// Content digests: `sha256:` and 64 lower-case hexadecimal digits. Others are refused.
public enum Digest {
    public static func isValid(_ text: String) -> Bool {
        text.utf8.count == 71 && text.hasPrefix("sha256:")
            && text.utf8.dropFirst(7).allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The part after `sha256:`.
    public static func hexadecimal(_ digest: String) -> String { String(digest.dropFirst(7)) }
}
