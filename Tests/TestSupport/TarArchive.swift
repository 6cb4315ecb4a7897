/// Builds tar archives byte by byte, also ones no tool would write.
public struct TarArchive {
    public private(set) var bytes: [UInt8] = []
    /// Where each entry's header begins.
    public private(set) var offsets: [Int] = []

    public init() {}

    /// The type flags of a header (POSIX.1-1988, and pax).
    public enum Kind: UInt8 {
        case file = 0x30
        case hardLink, symbolicLink, characterDevice, blockDevice, folder, pipe
        case extended = 0x78
    }

    /// Adds an entry.
    ///
    /// - Parameters:
    ///   - name: at most 100 bytes; longer ones go into a pax header.
    ///   - pax: extended attributes, written before the entry.
    ///   - size: the size in the header, where it is to differ from the data's.
    public mutating func add(
        _ kind: Kind, _ name: [UInt8], data: [UInt8] = [], link: [UInt8] = [], mode: Int = 0o644, uid: Int = 0,
        gid: Int = 0, device: (major: Int, minor: Int) = (0, 0), time: Int = 1_700_000_000,
        pax: [(name: String, value: [UInt8])] = [], size: Int? = nil
    ) {
        var records = pax
        if name.count > 100 { records.append(("path", name)) }
        if link.count > 100 { records.append(("linkpath", link)) }
        if !records.isEmpty {
            let body = records.flatMap { TarArchive.record($0.name, $0.value) }
            add(.extended, Array("PaxHeaders/x".utf8), data: body)
        }
        offsets.append(bytes.count)
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ value: [UInt8], _ at: Int, _ room: Int) {
            header.replaceSubrange(at..<at + min(room, value.count), with: value.prefix(room))
        }
        func octal(_ value: Int, _ at: Int, _ room: Int) {
            let digits = String(value, radix: 8)
            put(Array((String(repeating: "0", count: max(0, room - 1 - digits.count)) + digits).utf8), at, room - 1)
        }
        put(name, 0, 100)
        octal(mode, 100, 8)
        octal(uid, 108, 8)
        octal(gid, 116, 8)
        octal(size ?? data.count, 124, 12)
        octal(time, 136, 12)
        put(Array("        ".utf8), 148, 8)
        header[156] = kind.rawValue
        put(link, 157, 100)
        put(Array("ustar\u{0}00".utf8), 257, 8)
        octal(device.major, 329, 8)
        octal(device.minor, 337, 8)
        let sum = header.reduce(0) { $0 + Int($1) }
        octal(sum, 148, 7)
        header[155] = 0x20
        bytes += header + data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
    }

    /// The same with names as text.
    public mutating func add(
        _ kind: Kind, _ name: String, _ text: String = "", link: String = "", mode: Int = 0o644,
        pax: [(name: String, value: [UInt8])] = []
    ) {
        add(kind, Array(name.utf8), data: Array(text.utf8), link: Array(link.utf8), mode: mode, pax: pax)
    }

    /// The archive with its two empty blocks at the end.
    public var finished: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    /// `<length> <name>=<value>\n`, where the length counts itself.
    private static func record(_ name: String, _ value: [UInt8]) -> [UInt8] {
        let rest = [0x20] + Array(name.utf8) + [0x3D] + value + [0x0A]
        var length = rest.count + 1
        while String(length).utf8.count + rest.count != length { length = String(length).utf8.count + rest.count }
        return Array(String(length).utf8) + rest
    }
}
