import Base
import CLinux
import Glibc
import Kernel

/// Reads the archives that `ArchiveWriter` writes, and refuses whatever else: it stands at the end of a stream from our own
/// other side. Archives of strangers are for libarchive. Blocking.
public final class TarReader: TarSource {
    private let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 256 << 10)
    private var available = 0..<0
    /// Of the last entry's data and padding.
    private var dataLeft: Int64 = 0
    private var paddingLeft = 0

    /// - Parameter descriptor: not closed.
    public init(descriptor: Int32) { self.descriptor = descriptor }

    public func nextEntry() throws -> TarEntry? {
        try eachPiece { _, _ in }
        try skip(paddingLeft)
        paddingLeft = 0
        var block = try exactly(TarHeader.blockSize)
        var records: [(key: [UInt8], value: [UInt8])] = []
        if block.allSatisfy({ $0 == 0 }) {
            guard try exactly(TarHeader.blockSize).allSatisfy({ $0 == 0 }) else { throw damaged("an empty header") }
            // Whoever writes is not to find the pipe closed.
            while try fill() { available = 0..<0 }
            return nil
        }
        try validate(block)
        if block[TarHeader.Field.flag] == TarHeader.extensionFlag {
            let size = try TarHeader.number(block, .size)
            guard size <= TarHeader.maximumExtension else { throw damaged("a pax header is too long") }
            records = try TarHeader.records(try exactly(Int(size)))
            try skip(TarHeader.padding(size).count)
            block = try exactly(TarHeader.blockSize)
            try validate(block)
        }
        let entry = try entry(block, records)
        dataLeft = entry.size
        paddingLeft = TarHeader.padding(entry.size).count
        return entry
    }

    public func eachPiece(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
        var offset: Int64 = 0
        while dataLeft > 0 {
            if available.isEmpty {
                guard try fill() else { throw damaged("it ends too early") }
            }
            let count = Int(min(dataLeft, Int64(available.count)))
            try buffer.withUnsafeBytes {
                try body(UnsafeRawBufferPointer(rebasing: $0[available.prefix(count)]), offset)
            }
            available = available.dropFirst(count)
            dataLeft -= Int64(count)
            offset += Int64(count)
        }
    }

    private func damaged(_ what: String) -> SkalaError { SkalaError(.invalid, "damaged archive: \(what)") }

    // MARK: headers

    private func validate(_ block: [UInt8]) throws(SkalaError) {
        guard try TarHeader.number(block, .sum) == TarHeader.sum(block) else {
            throw damaged("a header has a wrong sum")
        }
        guard block[TarHeader.Field.magic.range].elementsEqual(TarHeader.magic) else { throw damaged("not a header") }
    }

    private func entry(_ block: [UInt8], _ records: [(key: [UInt8], value: [UInt8])]) throws -> TarEntry {
        let flag = block[TarHeader.Field.flag]
        guard let kind = TarHeader.kinds.first(where: { $0.flag == flag })?.kind else {
            throw damaged("an entry of an unknown kind")
        }
        let prefix = TarHeader.text(block, .prefix)
        let name = TarHeader.text(block, .name)
        var entry = TarEntry(kind, prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name)
        entry.target = TarHeader.text(block, .target)
        entry.mode = UInt32(try TarHeader.number(block, .mode)) & 0o7777
        entry.user = UInt32(try TarHeader.number(block, .user))
        entry.group = UInt32(try TarHeader.number(block, .group))
        entry.size = try TarHeader.number(block, .size)
        entry.modified.tv_sec = Int(try TarHeader.number(block, .modified))
        entry.device = cl_device_number(
            UInt32(try TarHeader.number(block, .major)), UInt32(try TarHeader.number(block, .minor)))
        for (key, value) in records { try apply(key, value, to: &entry) }
        guard !entry.path.isEmpty, !entry.path.contains(0), !entry.target.contains(0) else {
            throw damaged("an entry without a proper name")
        }
        guard entry.size == 0 || kind == .file else { throw damaged("an entry that has no data has some") }
        return entry
    }

    private func apply(_ key: [UInt8], _ value: [UInt8], to entry: inout TarEntry) throws(SkalaError) {
        if key.starts(with: TarHeader.attributePrefix) {
            let name = Array(key.dropFirst(TarHeader.attributePrefix.count))
            guard !name.isEmpty, !name.contains(0) else { throw damaged("an attribute without a proper name") }
            entry.attributes.append((name, value))
            return
        }
        let text = String(decoding: value, as: UTF8.self)
        switch String(decoding: key, as: UTF8.self) {
        case "path": entry.path = value
        case "linkpath": entry.target = value
        case "mtime": entry.modified = try TarHeader.time(value)
        case "uid": entry.user = try number(text)
        case "gid": entry.group = try number(text)
        case "size":
            guard let size = Int64(text), size >= 0 else { throw damaged("'\(text)' is no size") }
            entry.size = size
        case let key: throw damaged("an unknown pax record '\(key)'")
        }
    }

    private func number(_ text: String) throws(SkalaError) -> UInt32 {
        guard let number = UInt32(text) else { throw damaged("'\(text)' is no user") }
        return number
    }

    // MARK: bytes

    /// Whether there is more.
    private func fill() throws(KernelError) -> Bool {
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            try checkErrno(count, "read", "the archive")
            available = 0..<count
            return count > 0
        }
    }

    private func exactly(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            if available.isEmpty {
                guard try fill() else { throw damaged("it ends too early") }
            }
            let part = available.prefix(count - bytes.count)
            bytes += buffer[part]
            available = available.dropFirst(part.count)
        }
        return bytes
    }

    private func skip(_ count: Int) throws { _ = try exactly(count) }
}
