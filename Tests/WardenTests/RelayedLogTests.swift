import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Warden

/// What a VM says is a container's log, and what of it is kept.
struct RelayedLogTests {
    private let folder: TemporaryFolder
    private let loop: EventLoop

    init() throws {
        folder = try TemporaryFolder()
        loop = try EventLoop()
    }

    private func entry(_ text: String, stream: String = "stdout") -> String {
        "{\"log\":\"\(text)\",\"stream\":\"\(stream)\",\"time\":\"2026-01-02T03:04:05.123456789Z\"}\n"
    }

    /// The log's files, oldest first, after a guest has written these pieces.
    private func files(_ pieces: [[UInt8]], maximumBytes: Int64 = 0, maximumFiles: Int64 = 1) throws -> [String] {
        let (path, fifo) = (folder.path + "/log", folder.path + "/fifo")
        for name in try FileContents.names(in: folder.path) { unlink(folder.path + "/" + name) }
        try checkErrno(mkfifo(fifo, 0o600), "mkfifo")
        let log = try RelayedLog(
            loop: loop, fifo: fifo,
            log: ["path": JSON(path), "maximumBytes": JSON(maximumBytes), "maximumFiles": JSON(maximumFiles)], name: "c"
        )
        let writer = try OwnedDescriptor.open(fifo, O_WRONLY | O_NONBLOCK)
        for piece in pieces {
            var rest = piece[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { write(writer.raw, $0.baseAddress, $0.count) }
                if count > 0 { rest = rest.dropFirst(count) }
                try loop.turn(limitMilliseconds: 0)
            }
        }
        writer.close()
        log.finish()
        return try FileContents.names(in: folder.path).filter { $0 != "fifo" }.sorted(by: >).map {
            String(decoding: try FileContents.read(folder.path + "/" + $0), as: UTF8.self)
        }
    }

    @Test func entriesAreKept() throws {
        let lines = [entry("one\\n"), entry("\\u001b[0m \\\" é€😀", stream: "stderr"), entry("")].joined()
        #expect(try files([Array(lines.utf8)]) == [lines])
        // However they are cut.
        #expect(try files(lines.utf8.map { [$0] }) == [lines])
        // As our own warden writes them.
        let path = folder.path + "/own"
        let own = try OutputLog(["path": JSON(path), "end": "c"])
        let output = (0...255).map { UInt8($0) } + [UInt8](repeating: 1, count: 40_000) + Array("é\n€".utf8)
        output.withUnsafeBufferPointer { own.append($0, channel: 2) }
        own.finish()
        let written = try FileContents.read(path)
        let kept = try files([written])
        #expect(String(decoding: written, as: UTF8.self) == kept[0] + "{\"end\":\"c\"}\n")
    }

    @Test(
        arguments: [
            "x", "{}", "[1]", "null", "", "\"a\"", #"{"log":"a"}"#, #"{"log":"a","stream":"stdout"}"#,
            #"{"log":"a","stream":"other","time":"2026-01-02T03:04:05Z"}"#,
            #"{"log":"a","stream":"stdout","time":"now"}"#,
            #"{"log":"a","stream":"stdout","time":"2026-01-02T03:04:05Z"} "#,
            #"{"log":"a","stream":"stdout","time":"2026-01-02T03:04:05Z","x":1}"#,
            #"{"log":"a\","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#,
            #"{"log":"\x","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#,
            #"{"log":"\u12g4","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#,
            "{\"log\":\"\u{1}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}",
            #"{"log":"a","stream":"stdout","time":"2026-01-02T03:04:05Z"}{"log":"a","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#,
        ])
    func whatIsNoEntryIsLeftOut(line: String) throws {
        let good = entry("good\\n")
        #expect(try files([Array((line + "\n" + good).utf8)]) == [good])
    }

    @Test func garbageAndLinesWithoutEndAreLeftOut() throws {
        let good = entry("good\\n")
        var broken = Array(entry("a\u{1F600}").utf8)
        broken[broken.firstIndex(of: 0xF0) ?? 0] = 0xFF
        #expect(try files([broken, Array(good.utf8)]) == [good])
        let flood = [UInt8](repeating: 0x7B, count: 1 << 20)
        #expect(try files([flood, [0x0A], Array(good.utf8), flood]) == [good])
        // Almost an entry, and too long.
        let long = Array("{\"log\":\"".utf8) + flood + Array(entry("").utf8.dropFirst(8))
        #expect(try files([long, Array(good.utf8)]) == [good])
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func bytesOfAnyKindDoNoHarm(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let good = Array(entry("good\\n").utf8)
        var pieces: [[UInt8]] = []
        for _ in 0..<60 {
            var piece = good
            for _ in 0..<random.below(4) { piece[random.below(piece.count)] = UInt8(random.below(256)) }
            pieces.append(piece)
        }
        for file in try files(pieces) {
            for line in file.split(separator: "\n") {
                let json = try JSON(parsing: Array(line.utf8))
                #expect(json["log"].string != nil && json["time"].string != nil)
            }
        }
    }

    @Test func filesHaveTheirSize() throws {
        let lines = (0..<1000).map { entry("\($0)\\n") }
        let kept = try files([Array(lines.joined().utf8)], maximumBytes: 10_000, maximumFiles: 3)
        #expect(kept.count == 3 && kept.allSatisfy { $0.utf8.count <= 10_000 })
        #expect(kept.last?.hasSuffix(lines[999]) == true)
        let all = kept.joined()
        #expect(lines.joined().hasSuffix(all) && all.utf8.count > 20_000)
    }

    @Test func theEndIsTold() throws {
        let fifo = folder.path + "/end"
        try checkErrno(mkfifo(fifo, 0o600), "mkfifo")
        let log = try RelayedLog(loop: loop, fifo: fifo, log: ["path": JSON(folder.path + "/log")], name: "c")
        let writer = try OwnedDescriptor.open(fifo, O_WRONLY | O_NONBLOCK)
        var told: [Int] = []
        log.whenComplete(within: 20) { told.append(1) }
        try loop.turn(limitMilliseconds: 5)
        #expect(told.isEmpty)
        // Without an end of its own a guest is waited for so long and no longer.
        for _ in 0..<20 where told.isEmpty { try loop.turn(limitMilliseconds: 10) }
        #expect(told == [1])
        log.whenComplete(within: 60_000) { told.append(2) }
        let text = entry("x") + RelayedLog.endLine("other") + RelayedLog.endLine("c")
        try FileContents.append(Array(text.utf8), to: writer.raw, fifo)
        try loop.turn(limitMilliseconds: 100)
        #expect(told == [1, 2])
        log.whenComplete(within: 60_000) { told.append(3) }
        #expect(told == [1, 2, 3])
        log.finish()
    }
}
