/// The lines of a request's head.
extension RequestParser {
    /// Parses a complete head, whose lines all end with CRLF.
    static func parseHead(_ bytes: [UInt8]) throws(Failure) -> RequestHead {
        var lines: [ArraySlice<UInt8>] = []
        var start = 0
        for at in bytes.indices where bytes[at] == UInt8(ascii: "\n") {
            lines.append(bytes[start..<at - 1])
            start = at + 1
        }
        guard let first = lines.first else { throw Failure(status: 400, message: "empty request") }
        let (method, target, minorVersion) = try requestLine(first)
        var headers: [RequestHead.Header] = []
        for line in lines.dropFirst() where !line.isEmpty {
            guard headers.count < maximumHeaderCount else {
                throw Failure(status: 431, message: "more than \(maximumHeaderCount) headers")
            }
            headers.append(try header(line))
        }
        if minorVersion == 1, headers.count(where: { $0.name.equalsIgnoringCase("Host") }) > 1 {
            throw Failure(status: 400, message: "more than one Host header")
        }
        let length = try bodyLength(headers, minorVersion: minorVersion)
        return RequestHead(
            method: method, target: target, minorVersion: minorVersion, headers: headers, bodyLength: length)
    }

    private static func requestLine(_ line: ArraySlice<UInt8>) throws(Failure) -> (String, String, Int) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(isToken), !parts[1].isEmpty,
            parts[1].allSatisfy({ $0 > 0x20 && $0 != 0x7F })
        else { throw Failure(status: 400, message: "malformed request line") }
        let version = String(decoding: parts[2], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            let isHTTP = version.hasPrefix("HTTP/")
            throw Failure(
                status: isHTTP ? 505 : 400, message: isHTTP ? "unsupported HTTP version" : "malformed request line")
        }
        guard let target = String(validating: parts[1], as: UTF8.self) else {
            throw Failure(status: 400, message: "request target is not UTF-8")
        }
        return (String(decoding: parts[0], as: UTF8.self), target, version == "HTTP/1.1" ? 1 : 0)
    }

    private static func header(_ line: ArraySlice<UInt8>) throws(Failure) -> RequestHead.Header {
        // A folded line starts with a space and so has no valid name.
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(isToken)
        else { throw Failure(status: 400, message: "malformed header") }
        let value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 == UInt8(ascii: "\t") || ($0 >= 0x20 && $0 != 0x7F) }) else {
            throw Failure(status: 400, message: "control character in a header")
        }
        return RequestHead.Header(
            name: String(decoding: line[..<colon], as: UTF8.self),
            value: String(decoding: value, as: UTF8.self).trimmingSpaces())
    }

    private static func bodyLength(
        _ headers: [RequestHead.Header], minorVersion: Int
    ) throws(Failure) -> RequestHead.BodyLength {
        let encodings = headers.filter { $0.name.equalsIgnoringCase("Transfer-Encoding") }
        let lengths = headers.filter { $0.name.equalsIgnoringCase("Content-Length") }.map(\.value)
        if !encodings.isEmpty {
            guard lengths.isEmpty, minorVersion == 1 else {
                throw Failure(status: 400, message: "Transfer-Encoding beside Content-Length or in HTTP/1.0")
            }
            guard encodings.count == 1, encodings[0].value.equalsIgnoringCase("chunked") else {
                throw Failure(status: 501, message: "unsupported transfer encoding \"\(encodings[0].value)\"")
            }
            return .chunked
        }
        guard let length = lengths.first else { return .none }
        let isNumber = !length.isEmpty && length.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let count = Int64(length), lengths.allSatisfy({ $0 == length }) else {
            throw Failure(status: 400, message: "invalid Content-Length \"\(length)\"")
        }
        return count == 0 ? .none : .bytes(count)
    }

    /// The characters of method and header names (RFC 9110, section 5.6.2).
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
