import Base

/// Finds the keys that leave a container to itself in what is typed; the keys themselves are not passed on.
struct DetachKeys: Sendable {
    /// Ctrl-P, Ctrl-Q.
    static let standard: [UInt8] = [0x10, 0x11]

    private let keys: [UInt8]
    private var matched = 0

    init(_ keys: [UInt8] = DetachKeys.standard) { self.keys = keys }

    /// Parses docker's form: `ctrl-p,ctrl-q`, `ctrl-@`, single characters.
    ///
    /// - Throws: `SkalaError` `.invalid` naming the text.
    init(parsing text: String) throws(SkalaError) {
        var keys: [UInt8] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let key = part.lowercased().hasPrefix("ctrl-") ? part.dropFirst(5) : part
            guard key.utf8.count == 1, let byte = key.utf8.first else {
                throw SkalaError(.invalid, "invalid detach keys '\(text)': expected keys such as ctrl-p,ctrl-q")
            }
            guard key.count < part.count else {
                keys.append(byte)
                continue
            }
            guard (0x40...0x5F).contains(byte & 0xDF) || (0x40...0x5F).contains(byte) else {
                throw SkalaError(.invalid, "invalid detach keys '\(text)': there is no '\(part)'")
            }
            keys.append(byte & 0x1F)
        }
        self.keys = keys
    }

    /// What of the typed bytes is passed on, and whether the keys were typed.
    mutating func take(_ bytes: [UInt8]) -> (passed: [UInt8], isDetached: Bool) {
        guard !keys.isEmpty else { return (bytes, false) }
        var passed: [UInt8] = []
        for byte in bytes {
            if byte == keys[matched] {
                matched += 1
                if matched == keys.count { return (passed, true) }
                continue
            }
            passed += keys[..<matched]
            matched = 0
            if byte == keys[0] { matched = 1 } else { passed.append(byte) }
        }
        return (passed, false)
    }
}
