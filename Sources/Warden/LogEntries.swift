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
        endings[Int(channel) - 1].withUnsafeBufferPointer { copy($0, 0, $0.count) }
    }

    private mutating func addText(_ line: UnsafeBufferPointer<UInt8>, _ kinds: UnsafeBufferPointer<ByteKind>) {
        var start = 0
        var index = 0
        while index < line.count {
            let byte = line[index]
            let kind = kinds[Int(byte)]
            if kind == .plain {
                index += 1
                continue
            }
            let length = kind == .multibyte ? LogEntries.characterLength(line, index) : 1
            let isSeparator = length == 3 && byte == 0xE2 && line[index + 1] == 0x80 && line[index + 2] & 0xFE == 0xA8
            if kind == .multibyte, length > 0, !isSeparator {
                index += length
                continue
            }
            copy(line, start, index)
            if isSeparator {
                put("\\u202")
                put(Hexadecimal.digits[Int(line[index + 2] & 0xF)])
            } else if kind == .multibyte {
                put("\\ufffd")
            } else {
                escape(byte)
            }
            index += max(1, length)
            start = index
        }
        copy(line, start, line.count)
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\n"): put("\\n")
        case UInt8(ascii: "\r"): put("\\r")
        case UInt8(ascii: "\\"), UInt8(ascii: "\""):
            put(UInt8(ascii: "\\"))
            put(byte)
        default:
            put("\\u00")
            put(Hexadecimal.digits[Int(byte >> 4)])
            put(Hexadecimal.digits[Int(byte & 15)])
        }
    }

    private mutating func put(_ byte: UInt8) {
        buffer[count] = byte
        count += 1
    }

    private mutating func put(_ text: StaticString) {
        memcpy(buffer + count, text.utf8Start, text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    private mutating func copy(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) {
        guard end > start, let base = bytes.baseAddress else { return }
        memcpy(buffer + count, base + start, end - start)
        count += end - start
    }

    /// The length of the well-formed character at `index` (Unicode, table 3-7); 0 for a byte that begins none.
    private static func characterLength(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int) -> Int {
        func follows(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            index + offset < bytes.count && range.contains(bytes[index + offset])
        }
        switch bytes[index] {
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

    /// What becomes of a byte.
    private enum ByteKind: UInt8 {
        case plain, escaped, multibyte

        static let table: [ByteKind] = (UInt8.min...UInt8.max).map { byte in
            // Docker escapes what HTML would take for markup, too.
            if byte < 0x20 || "\"\\<>&".utf8.contains(byte) { return .escaped }
            return byte < 0x80 ? .plain : .multibyte
        }
    }
}
