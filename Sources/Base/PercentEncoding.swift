/// Percent-encoding of URLs (RFC 3986, section 2.1).
public enum PercentEncoding {
    /// Decodes `%XX`, and with `plusIsSpace` (query strings) `+`.
    ///
    /// - Throws: `SkalaError` `.invalid` for an incomplete escape or bytes that are no UTF-8.
    public static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) throws(SkalaError) -> String {
        let bytes = Array(text.utf8)
        guard bytes.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }) else {
            return String(text)
        }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "%"):
                guard at + 2 < bytes.count, let high = Hexadecimal.value(of: bytes[at + 1]),
                    let low = Hexadecimal.value(of: bytes[at + 2])
                else { throw SkalaError(.invalid, "invalid URL escape in \"\(text)\"") }
                output.append(UInt8(high) << 4 | UInt8(low))
                at += 3
            case UInt8(ascii: "+") where plusIsSpace:
                output.append(UInt8(ascii: " "))
                at += 1
            default:
                output.append(bytes[at])
                at += 1
            }
        }
        guard let decoded = String(validating: output, as: UTF8.self) else {
            throw SkalaError(.invalid, "invalid UTF-8 in \"\(text)\"")
        }
        return decoded
    }

    /// Encodes one path segment or query component (RFC 3986: all but unreserved characters).
    public static func encode(_ text: String, keeping kept: String = "") -> String {
        var bytes: [UInt8] = []
        let kept = Array(kept.utf8)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default:
                if kept.contains(byte) {
                    bytes.append(byte)
                } else {
                    bytes.append(UInt8(ascii: "%"))
                    bytes.append(contentsOf: Hexadecimal.encode([byte]).uppercased().utf8)
                }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
