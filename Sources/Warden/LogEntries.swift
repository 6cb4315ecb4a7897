import Base
import Glibc

/// Entries of a log on their way to the file: one JSON object a line, byte for byte as Docker's json-file driver writes
/// them.
///
/// A container that prints is held back by how fast this is: no allocation a line, runs of plain bytes copied whole.
struct LogEntries {
    /// Room for what one read of a pipe (64 KiB) gives in lines of common length, so that it is one write.
    private static let capacity = 256 << 10
    /// `\u0000`, the longest form of a byte.
    private static let longestEscape = 6

    private let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: LogEntries.capacity)
    private(set) var count = 0
    /// What follows the text, of stdout and stderr.
    private let endings: [[UInt8]]

    /// - Parameter time: of all entries.
    init(time: Timestamp) {
        endings = ["stdout", "stderr"].map { Array("\",\"stream\":\"\($0)\",\"time\":\"\(time.text)\"}\n".utf8) }
    }

    /// To be called once, in place of a deinit.
    func free() { buffer.deallocate() }

    var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: buffer, count: count) }

    mutating func removeAll() { count = 0 }

    /// Whether any line of so many bytes fits.
    func hasRoom(for length: Int) -> Bool { count + length * LogEntries.longestEscape + 256 <= LogEntries.capacity }

    /// Adds the entry of one line, for which there is room.
    mutating func add(_ line: UnsafeBufferPointer<UInt8>, channel: UInt8) {
        precondition(hasRoom(for: line.count), "a log entry beyond the buffer")
        put(#"{"log":""#)
        ByteKind.table.withUnsafeBufferPointer { addText(line, $0) }
        endings[Int(channel) - 1].withUnsafeBufferPointer { ending in
            guard let base = ending.baseAddress else { return }
            memcpy(buffer + count, base, ending.count)
            count += ending.count
        }
    }

    /// Over pointers of its own: fields of `self` would be read anew after each byte that is written.
    private mutating func addText(_ line: UnsafeBufferPointer<UInt8>, _ kinds: UnsafeBufferPointer<ByteKind>) {
        guard let base = line.baseAddress, let kinds = kinds.baseAddress else { return }
        var next = base
        let end = base + line.count
        var output = buffer + count
        while next < end {
            var kind = kinds[Int(next.pointee)]
            if kind == .plain {
                let start = next
                repeat { next += 1 } while next < end && kinds[Int(next.pointee)] == .plain
                LogEntries.copy(start, next - start, to: &output)
                continue
            }
            var length = 1
            if kind == .multibyte {
                length = LogEntries.characterLength(next, end - next)
                if length == 0 { (kind, length) = (.invalid, 1) }
            }
            switch kind {
            case .escaped, .plain: LogEntries.escape(next.pointee, to: &output)
            case .invalid: LogEntries.put(0x6466_6666_755C, 6, to: &output)  // \ufffd
            case .multibyte:
                // U+2028 and U+2029, which end a line in JavaScript.
                if length == 3, next[0] == 0xE2, next[1] == 0x80, next[2] & 0xFE == 0xA8 {
                    LogEntries.put(UInt64(next[2] & 1) << 40 | 0x3832_3032_755C, 6, to: &output)  // \u2028
                } else {
                    LogEntries.copy(next, length, to: &output)
                }
            }
            next += length
        }
        count = output - buffer
    }

    private static func escape(_ byte: UInt8, to output: inout UnsafeMutablePointer<UInt8>) {
        switch byte {
        case UInt8(ascii: "\n"): put(0x6E5C, 2, to: &output)
        case UInt8(ascii: "\r"): put(0x725C, 2, to: &output)
        case UInt8(ascii: "\\"), UInt8(ascii: "\""): put(UInt64(byte) << 8 | 0x5C, 2, to: &output)
        default:
            let low = byte & 15
            let digits = UInt64(0x30 + (byte >> 4)) | UInt64(low < 10 ? 0x30 + low : 0x57 + low) << 8
            put(digits << 32 | 0x3030_755C, 6, to: &output)  // \u00 and two digits
        }
    }

    /// Up to eight bytes, the lowest first, as one store. What it writes beyond them is written over: `add` has seen to
    /// more room than it needs.
    private static func put(_ bytes: UInt64, _ count: Int, to output: inout UnsafeMutablePointer<UInt8>) {
        UnsafeMutableRawPointer(output).storeBytes(of: bytes.littleEndian, as: UInt64.self)
        output += count
    }

    private static func copy(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, to output: inout UnsafeMutablePointer<UInt8>
    ) {
        // Between the escapes of binary output runs are short, and a call costs more than they do.
        if count < 8 {
            for index in 0..<count { output[index] = bytes[index] }
        } else {
            memcpy(output, bytes, count)
        }
        output += count
    }

    private mutating func put(_ text: StaticString) {
        memcpy(buffer + count, text.utf8Start, text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    /// The length of the well-formed character at the start (Unicode, table 3-7); 0 for a byte that begins none.
    private static func characterLength(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        func follows(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            offset < count && range.contains(bytes[offset])
        }
        switch bytes[0] {
        case 0xC2...0xDF: return follows(1) ? 2 : 0
        case 0xE0: return follows(1, 0xA0...0xBF) && follows(2) ? 3 : 0
        case 0xED: return follows(1, 0x80...0x9F) && follows(2) ? 3 : 0
        case 0xE1...0xEF: return follows(1) && follows(2) ? 3 : 0
        case 0xF0: return follows(1, 0x90...0xBF) && follows(2) && follows(3) ? 4 : 0
        case 0xF1...0xF3: return follows(1) && follows(2) && follows(3) ? 4 : 0
        case 0xF4: return follows(1, 0x80...0x8F) && follows(2) && follows(3) ? 4 : 0
        default: return 0
        }
    }

    /// The longest entry that is taken from others: one of 16 KiB of text, all of it escaped, and its ending.
    static let longestEntry = 16384 * longestEscape + 256

    /// Whether a line, with its newline, is an entry as it is written here: an object with the text, the stream and a time,
    /// all of it in valid JSON and UTF-8. Of a guest nothing else is taken.
    static func isEntry(_ line: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = line.baseAddress, line.count <= longestEntry else { return false }
        var next = base
        let end = base + line.count
        func skip(_ text: StaticString) -> Bool {
            guard end - next >= text.utf8CodeUnitCount, memcmp(next, text.utf8Start, text.utf8CodeUnitCount) == 0 else {
                return false
            }
            next += text.utf8CodeUnitCount
            return true
        }
        guard skip(#"{"log":""#) else { return false }
        while next < end, next.pointee != UInt8(ascii: "\"") {
            let length = textLength(next, end - next)
            guard length > 0 else { return false }
            next += length
        }
        guard skip(#"","stream":"std"#), skip("out") || skip("err"), skip(#"","time":""#) else { return false }
        let time = next
        while next < end, next - time < 40, isTime(next.pointee) { next += 1 }
        return next - time >= 20 && skip("\"}\n") && next == end
    }

    private static func isTime(_ byte: UInt8) -> Bool {
        (0x30...0x3A).contains(byte) || "-.+TZ".utf8.contains(byte)
    }

    /// The length of the character or escape at the start of a JSON string's text; 0 when there is none.
    private static func textLength(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        switch bytes[0] {
        case 0..<0x20: return 0
        case UInt8(ascii: "\\"):
            guard count >= 2 else { return 0 }
            if "\"\\/bfnrt".utf8.contains(bytes[1]) { return 2 }
            let isUnicode =
                bytes[1] == UInt8(ascii: "u") && count >= 6
                && (2..<6).allSatisfy { Hexadecimal.value(of: bytes[$0]) != nil }
            return isUnicode ? 6 : 0
        case 0x20..<0x80: return 1
        default: return characterLength(bytes, count)
        }
    }

    /// What becomes of a byte.
    private enum ByteKind: UInt8 {
        case plain, escaped
        /// Begins a character of several bytes, if they follow; or begins none.
        case multibyte, invalid

        static let table: [ByteKind] = (UInt8.min...UInt8.max).map { byte in
            // Docker escapes what HTML would take for markup, too.
            if byte < 0x20 || "\"\\<>&".utf8.contains(byte) { return .escaped }
            return byte < 0x80 ? .plain : (0xC2...0xF4).contains(byte) ? .multibyte : .invalid
        }
    }
}
