import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Warden

/// The log's file, byte for byte as Docker's json-file driver writes it.
struct OutputLogTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The lines of the file that these chunks on stdout lead to, each up to its time.
    private func entries(_ chunks: [[UInt8]], channel: UInt8 = 1) throws -> [String] {
        let path = folder.path + "/log"
        try FileContents.replace(path, with: [])
        let log = try OutputLog(["path": JSON(path)])
        for chunk in chunks { chunk.withUnsafeBufferPointer { log.append($0, channel: channel) } }
        log.finish()
        let text = String(decoding: try FileContents.read(path), as: UTF8.self)
        return try text.split(separator: "\n").map { line in
            let parts = line.split(separator: #","time":""#, maxSplits: 1)
            let time = try #require(parts.last.map { $0.dropLast(2) })
            _ = try Timestamp(parsing: String(time))
            #expect(line.hasSuffix("\"}"))
            return String(parts[0])
        }
    }

    @Test func linesBecomeEntries() throws {
        #expect(
            try entries([Array("one\n\ntwo".utf8)]) == [
                #"{"log":"one\n","stream":"stdout""#, #"{"log":"\n","stream":"stdout""#,
                #"{"log":"two","stream":"stdout""#,
            ])
        #expect(try entries([Array("x\n".utf8)], channel: 2) == [#"{"log":"x\n","stream":"stderr""#])
        #expect(try entries([]).isEmpty)
    }

    /// As Go's encoder does it: markup escaped, separators escaped, each byte that begins no character replaced.
    @Test(
        arguments: [
            (Array("\"\\\r\t\u{8}\u{0}\u{7f}".utf8), #"\"\\\r\u0009\u0008\u0000"# + "\u{7f}"),
            (Array("<a&b>".utf8), #"\u003ca\u0026b\u003e"#), (Array("é€😀".utf8), "é€😀"),
            (Array("a\u{2028}\u{2029}\u{202A}".utf8), #"a\u2028\u2029"# + "\u{202A}"),
            ([0xFF, 0x41, 0xC3], #"\ufffdA\ufffd"#), ([0xE2, 0x82, 0x41], #"\ufffd\ufffdA"#),
            ([0xC0, 0x80, 0xED, 0xA0, 0x80, 0xF4, 0x90], #"\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"#),
            ([0xE2], #"\ufffd"#), ([0xE2, 0x80], #"\ufffd\ufffd"#), ([0xF0, 0x9F, 0x98, 0x80], "😀"),
        ] as [([UInt8], String)])
    func bytesAreEscapedAsDockerDoes(bytes: [UInt8], text: String) throws {
        #expect(try entries([bytes]) == [#"{"log":"\#(text)","stream":"stdout""#])
    }

    @Test func longLinesAreSplitAt16KiB() throws {
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 40_000) + [0x0A]
        let lengths = try entries([line, Array("short\n".utf8)]).map {
            $0.count - #"{"log":"","stream":"stdout""#.count
        }
        #expect(lengths == [16384, 16384, 40_000 - 2 * 16384 + 2, 7])
        // The newline that would be the first byte of a further piece is an entry of its own.
        let exact = [UInt8](repeating: UInt8(ascii: "x"), count: 16384) + [0x0A]
        #expect(try entries([exact]).count == 2)
    }

    /// However the output was read, the entries are the same.
    @Test func chunksDoNotShow() throws {
        var random = SeededRandom(seed: 7)
        var bytes: [UInt8] = []
        for _ in 0..<60_000 {
            let choice = UInt8.random(in: 0...255, using: &random)
            bytes += choice < 4 ? [0x0A] : choice < 100 ? Array("é€".utf8) : [choice & 0x7F]
        }
        bytes += [UInt8](repeating: 0xFF, count: 40_000) + [UInt8](repeating: 0x0A, count: 3000)
        let whole = try entries([bytes])
        for size in [1, 4096, 65536] {
            let chunks = stride(from: 0, to: bytes.count, by: size).map {
                Array(bytes[$0..<min($0 + size, bytes.count)])
            }
            #expect(try entries(chunks) == whole, "chunks of \(size)")
        }
    }

    @Test func filesAreRotated() throws {
        let path = folder.path + "/log"
        let log = try OutputLog(["path": JSON(path), "maximumBytes": 1000, "maximumFiles": 3])
        for number in 0..<40 {
            Array("line \(number)\n".utf8).withUnsafeBufferPointer { log.append($0, channel: 1) }
        }
        #expect(try FileContents.names(in: folder.path).sorted() == ["log", "log.1", "log.2"])
        var lines: [Substring] = []
        for name in ["log.2", "log.1", "log"] {
            let text = String(decoding: try FileContents.read(folder.path + "/" + name), as: UTF8.self)
            #expect(text.utf8.count <= 1000)
            lines += text.split(separator: "\n")
        }
        let numbers = lines.compactMap { $0.split(separator: " ").dropFirst().first?.prefix(while: \.isNumber) }
        #expect(numbers.last == "39" && numbers.compactMap { Int($0) } == Array((40 - numbers.count)..<40))
    }

    /// A full disk cuts an entry off and loses those after it; what is written once there is room is whole.
    @Test(.enabled(if: getuid() == 0)) func aFullDiskSpoilsNoLaterEntry() throws {
        try checkErrno(mount("skala-test", folder.path, "tmpfs", 0, "size=16k"), "mount", folder.path)
        defer { umount2(folder.path, Int32(MNT_DETACH)) }
        let path = folder.path + "/log"
        try FileContents.replace(folder.path + "/filler", with: [UInt8](repeating: 0, count: 8192))
        let log = try OutputLog(["path": JSON(path)])
        func write(_ text: String) {
            let line = Array("\(text) \(String(repeating: "x", count: 300))\n".utf8)
            line.withUnsafeBufferPointer { log.append($0, channel: 1) }
        }
        for _ in 0..<40 { write("before") }
        try checkErrno(unlink(folder.path + "/filler"), "unlink", "filler")
        for _ in 0..<2 { write("after") }
        let lines = String(decoding: try FileContents.read(path), as: UTF8.self).split(separator: "\n")
        let whole = lines.filter { (try? JSON(parsing: String($0))) != nil }
        #expect(whole.count == lines.count - 1, "one is cut off")
        #expect(whole.filter { $0.contains("before") }.count == whole.count - 2 && whole.count > 10)
        #expect(whole.suffix(2).allSatisfy { $0.contains("after") })
    }
}
