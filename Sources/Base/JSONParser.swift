extension JSON {
    /// Parses one JSON document.
    ///
    /// - Parameters:
    ///   - maximumDepth: arrays and objects nested deeper are refused, so that hostile input cannot exhaust the stack.
    /// - Throws: `SkalaError` with code `.invalid`, naming the byte offset.
    public init(parsing bytes: [UInt8], maximumDepth: Int = 64) throws(SkalaError) {
        var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
        self = try parser.document()
    }

    public init(parsing text: String) throws(SkalaError) { try self.init(parsing: Array(text.utf8)) }
}

private struct JSONParser {
    let bytes: [UInt8]
    let maximumDepth: Int
    var at = 0

    init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    mutating func document() throws(SkalaError) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard at == bytes.count else { throw failure("unexpected data after the value") }
        return value
    }

    private func failure(_ what: String) -> SkalaError { SkalaError(.invalid, "invalid JSON at byte \(at): \(what)") }

    private mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
    }

    private mutating func value(depth: Int) throws(SkalaError) -> JSON {
        skipSpace()
        guard at < bytes.count else { throw failure("unexpected end") }
        guard depth <= maximumDepth else { throw failure("nested deeper than \(maximumDepth)") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(SkalaError) -> JSON {
        let end = at + text.utf8CodeUnitCount
        let matches = text.withUTF8Buffer { end <= bytes.count && bytes[at..<end].elementsEqual($0) }
        guard matches else { throw failure("unknown word") }
        at = end
        return value
    }

    private mutating func object(depth: Int) throws(SkalaError) -> JSON {
        at += 1
        var members: [(key: String, value: JSON)] = []
        skipSpace()
        if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
            at += 1
            return .object(JSONObject())
        }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw failure("expected a key") }
            let key = try string()
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw failure("expected ':'") }
            at += 1
            let value = try value(depth: depth + 1)
            members.append((key, value))
            if try endOfList(UInt8(ascii: "}")) { return .object(JSONObject(members)) }
        }
    }

    private mutating func array(depth: Int) throws(SkalaError) -> JSON {
        at += 1
        var elements: [JSON] = []
        skipSpace()
        if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
            at += 1
            return .array([])
        }
        while true {
            elements.append(try value(depth: depth + 1))
            if try endOfList(UInt8(ascii: "]")) { return .array(elements) }
        }
    }

    private mutating func endOfList(_ close: UInt8) throws(SkalaError) -> Bool {
        skipSpace()
        guard at < bytes.count else { throw failure("unexpected end") }
        defer { at += 1 }
        if bytes[at] == close { return true }
        guard bytes[at] == UInt8(ascii: ",") else { throw failure("expected ','") }
        return false
    }

    private mutating func string() throws(SkalaError) -> String {
        at += 1
        let start = at
        // The common case has no escapes: one scan, one copy.
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
            at += 1
        }
        guard at < bytes.count else { throw failure("unterminated string") }
        if bytes[at] == UInt8(ascii: "\"") {
            defer { at += 1 }
            return String(decoding: bytes[start..<at], as: UTF8.self)
        }
        var text = Array(bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure("control character in a string")
            default: text.append(byte)
            }
        }
        throw failure("unterminated string")
    }

    private mutating func escape(into text: inout [UInt8]) throws(SkalaError) {
        guard at < bytes.count else { throw failure("unterminated escape") }
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = try hexadecimal()
            if (0xD800..<0xDC00).contains(scalar) {
                // A surrogate pair; a lone half becomes U+FFFD, as Go and JavaScript readers do.
                if at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
                    at += 2
                    let low = try hexadecimal()
                    scalar =
                        (0xDC00..<0xE000).contains(low) ? 0x10000 + ((scalar - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD
                } else {
                    scalar = 0xFFFD
                }
            }
            text.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
        default: throw failure("unknown escape")
        }
    }

    private mutating func hexadecimal() throws(SkalaError) -> UInt32 {
        guard at + 4 <= bytes.count else { throw failure("unterminated escape") }
        var value: UInt32 = 0
        for byte in bytes[at..<at + 4] {
            guard let digit = Hexadecimal.value(of: byte) else { throw failure("invalid \\u escape") }
            value = value << 4 | UInt32(digit)
        }
        at += 4
        return value
    }

    private mutating func number() throws(SkalaError) -> JSON {
        let start = at
        var isInteger = true
        if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
        let digits = at
        scan: while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"), UInt8(ascii: "-"):
                isInteger = false
            default: break scan
            }
            at += 1
        }
        guard at > digits, (0x30...0x39).contains(bytes[digits]) else {
            at = start
            throw failure("expected a value")
        }
        if bytes[digits] == 0x30, at > digits + 1, (0x30...0x39).contains(bytes[digits + 1]) {
            throw failure("a number starts with 0")
        }
        // Swift's parser takes `1.` and `1.e5`, which JSON has not.
        let dot = bytes[start..<at].firstIndex(of: UInt8(ascii: "."))
        if let dot, dot + 1 == at || !(0x30...0x39).contains(bytes[dot + 1]) { throw failure("invalid number") }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else { throw failure("invalid number") }
        return .double(value)
    }
}
