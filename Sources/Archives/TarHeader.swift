import Base
import CLinux
import Glibc

/// The blocks in front of an entry's data: POSIX.1-2001's `ustar` header, and before it a pax header for what that cannot
/// hold (long names, large numbers, fractions of seconds, extended attributes).
enum TarHeader {
    static let blockSize = 512
    /// What a pax header may hold: a hundred extended attributes of the largest size.
    static let maximumExtension: Int64 = 8 << 20
    static let attributePrefix = Array("SCHILY.xattr.".utf8)

    static let kinds: [(kind: TarEntry.Kind, flag: UInt8)] = [
        (.file, UInt8(ascii: "0")), (.hardLink, UInt8(ascii: "1")), (.symbolicLink, UInt8(ascii: "2")),
        (.characterDevice, UInt8(ascii: "3")), (.blockDevice, UInt8(ascii: "4")), (.folder, UInt8(ascii: "5")),
        (.pipe, UInt8(ascii: "6")),
    ]
    static let extensionFlag = UInt8(ascii: "x")

    /// A field of the header: where it is, and its length.
    struct Field {
        let start: Int
        let count: Int

        static let name = Field(start: 0, count: 100)
        static let mode = Field(start: 100, count: 8)
        static let user = Field(start: 108, count: 8)
        static let group = Field(start: 116, count: 8)
        static let size = Field(start: 124, count: 12)
        static let modified = Field(start: 136, count: 12)
        static let sum = Field(start: 148, count: 8)
        static let target = Field(start: 157, count: 100)
        static let magic = Field(start: 257, count: 8)
        static let major = Field(start: 329, count: 8)
        static let minor = Field(start: 337, count: 8)
        static let prefix = Field(start: 345, count: 155)

        static let flag = 156

        var range: Range<Int> { start..<start + count }
        /// The largest number that fits, in octal digits and a zero.
        var maximum: Int64 { 1 << (3 * (count - 1)) - 1 }
    }

    static let magic: [UInt8] = Array("ustar".utf8) + [0] + Array("00".utf8)

    // MARK: writing

    /// The blocks of an entry.
    static func encode(_ entry: TarEntry) -> [UInt8] {
        var records: [UInt8] = []
        var block = [UInt8](repeating: 0, count: blockSize)
        func put(_ bytes: some Collection<UInt8>, _ field: Field) {
            block.replaceSubrange(
                field.start..<field.start + min(bytes.count, field.count), with: bytes.prefix(field.count))
        }
        func number(_ value: Int64, _ field: Field, _ key: String) {
            let fits = (0...field.maximum).contains(value)
            if !fits { records += record(key, Array(String(value).utf8)) }
            put(octal(fits ? value : 0, digits: field.count - 1), field)
        }
        if let (prefix, name) = split(entry.path) {
            put(name, .name)
            put(prefix, .prefix)
        } else {
            put(entry.path, .name)
            records += record("path", entry.path)
        }
        if entry.target.count > Field.target.count { records += record("linkpath", entry.target) }
        put(entry.target, .target)
        put(octal(Int64(entry.mode & 0o7777), digits: 7), .mode)
        number(Int64(entry.user), .user, "uid")
        number(Int64(entry.group), .group, "gid")
        number(entry.size, .size, "size")
        let seconds = Int64(entry.modified.tv_sec)
        let isWhole = entry.modified.tv_nsec == 0 && (0...Field.modified.maximum).contains(seconds)
        if !isWhole { records += record("mtime", Array(decimal(entry.modified).utf8)) }
        put(octal(min(max(0, seconds), Field.modified.maximum), digits: 11), .modified)
        put(octal(Int64(gnuMajor(entry.device)), digits: 7), .major)
        put(octal(Int64(gnuMinor(entry.device)), digits: 7), .minor)
        put(magic, .magic)
        block[Field.flag] = kinds.first { $0.kind == entry.kind }?.flag ?? 0
        for attribute in entry.attributes {
            records += record(attributePrefix + attribute.name, attribute.value)
        }
        seal(&block)
        return records.isEmpty ? block : extended(records, of: entry) + block
    }

    /// The pax header with these records.
    private static func extended(_ records: [UInt8], of entry: TarEntry) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: blockSize)
        let base = entry.path.split(separator: UInt8(ascii: "/")).last ?? []
        let name = Array("PaxHeaders/".utf8) + base.prefix(80)
        block.replaceSubrange(0..<name.count, with: name)
        for (field, value) in [
            (Field.mode, 0o644), (.user, 0), (.group, 0), (.size, Int64(records.count)), (.modified, 0),
        ] {
            block.replaceSubrange(
                field.start..<field.start + field.count - 1, with: octal(value, digits: field.count - 1))
        }
        block.replaceSubrange(Field.magic.range, with: magic)
        block[Field.flag] = extensionFlag
        seal(&block)
        return block + records + padding(Int64(records.count))
    }

    /// What fills the last block of that much data.
    static func padding(_ size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((Int64(blockSize) - size % Int64(blockSize)) % Int64(blockSize)))
    }

    private static func octal(_ value: Int64, digits: Int) -> [UInt8] {
        (0..<digits).map { UInt8(ascii: "0") + UInt8(value >> (3 * Int64(digits - 1 - $0)) & 7) }
    }

    /// Sets the sum.
    private static func seal(_ block: inout [UInt8]) {
        block.replaceSubrange(Field.sum.range, with: octal(sum(block), digits: 6) + [0, 0x20])
    }

    /// The sum of the bytes, its own field taken as spaces.
    static func sum(_ block: [UInt8]) -> Int64 {
        var sum: Int64 = 0
        for byte in block { sum += Int64(byte) }
        for byte in block[Field.sum.range] { sum += 0x20 - Int64(byte) }
        return sum
    }

    /// A path in two: both halves fit their fields. nil when there is no such place to cut.
    private static func split(_ path: [UInt8]) -> (prefix: ArraySlice<UInt8>, name: ArraySlice<UInt8>)? {
        if path.count <= Field.name.count { return ([], path[...]) }
        let first = path.count - Field.name.count - 1
        guard first <= Field.prefix.count, path.count > 2 else { return nil }
        let last = min(Field.prefix.count, path.count - 2)
        guard let cut = path[first...last].firstIndex(of: UInt8(ascii: "/")), cut > 0 else { return nil }
        return (path[..<cut], path[(cut + 1)...])
    }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] { record(Array(key.utf8), value) }

    /// `LENGTH KEY=VALUE\n`; the length counts its own digits.
    private static func record(_ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
        let rest = key.count + value.count + 3
        var length = rest + String(rest).utf8.count
        if rest + String(length).utf8.count != length { length = rest + String(length).utf8.count }
        return Array(String(length).utf8) + [0x20] + key + [UInt8(ascii: "=")] + value + [0x0A]
    }

    private static func decimal(_ time: timespec) -> String {
        var (seconds, nanoseconds) = (Int64(time.tv_sec), Int64(time.tv_nsec))
        let isNegative = seconds < 0
        if isNegative, nanoseconds > 0 { (seconds, nanoseconds) = (seconds + 1, 1_000_000_000 - nanoseconds) }
        let digits = String(nanoseconds)
        let fraction = String(repeating: "0", count: 9 - digits.count) + digits
        return (isNegative ? "-" : "") + String(seconds.magnitude) + "." + fraction
    }

    // MARK: reading

    static func number(_ block: [UInt8], _ field: Field) throws(SkalaError) -> Int64 {
        var value: Int64 = 0
        var count = 0
        for byte in block[field.range] {
            if byte == 0 || byte == 0x20 { break }
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) else {
                throw SkalaError(.invalid, "damaged archive: not a number in a header")
            }
            value = value << 3 | Int64(byte & 7)
            count += 1
        }
        guard count > 0 else { throw SkalaError(.invalid, "damaged archive: a number is missing in a header") }
        return value
    }

    static func text(_ block: [UInt8], _ field: Field) -> [UInt8] { Array(block[field.range].prefix { $0 != 0 }) }

    /// The records of a pax header.
    static func records(_ bytes: [UInt8]) throws(SkalaError) -> [(key: [UInt8], value: [UInt8])] {
        var records: [(key: [UInt8], value: [UInt8])] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard let length = Int(String(decoding: digits, as: UTF8.self)), digits.count < 9,
                length > digits.count + 2, length <= rest.count
            else { throw damagedRecord }
            let record = rest.prefix(length)
            let body = record.dropFirst(digits.count + 1).dropLast()
            guard record[record.startIndex + digits.count] == 0x20, record.last == 0x0A,
                let equals = body.firstIndex(of: UInt8(ascii: "="))
            else { throw damagedRecord }
            records.append((Array(body[..<equals]), Array(body[(equals + 1)...])))
            rest = rest.dropFirst(length)
        }
        return records
    }

    private static let damagedRecord = SkalaError(.invalid, "damaged archive: a pax record is malformed")

    static func time(_ text: [UInt8]) throws(SkalaError) -> timespec {
        let text = String(decoding: text, as: UTF8.self)
        let isNegative = text.hasPrefix("-")
        let parts = (isNegative ? text.dropFirst() : text[...]).split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? parts[1] : "0"
        guard let seconds = Int64(parts[0]), seconds >= 0, fraction.count <= 9,
            let value = UInt32(fraction + String(repeating: "0", count: 9 - fraction.count))
        else { throw SkalaError(.invalid, "damaged archive: '\(text)' is no time") }
        guard isNegative else { return timespec(tv_sec: Int(seconds), tv_nsec: Int(value)) }
        return value == 0
            ? timespec(tv_sec: Int(-seconds), tv_nsec: 0)
            : timespec(tv_sec: Int(-seconds - 1), tv_nsec: 1_000_000_000 - Int(value))
    }

    // MARK: devices, as the kernel's new_encode_dev has them

    private static func gnuMajor(_ device: UInt64) -> UInt64 { device >> 8 & 0xFFF | device >> 32 & 0xFFFF_F000 }
    private static func gnuMinor(_ device: UInt64) -> UInt64 { device & 0xFF | device >> 12 & 0xFFFF_FF00 }
}
