import Base
import Glibc
import Kernel
import Synchronization
import TestSupport
import Testing

@testable import Engine

@Suite(.timeLimit(.minutes(1))) struct LogReaderTests {
    private let folder: TemporaryFolder
    private let threads = WorkerThreads(limit: 2)

    init() throws { folder = try TemporaryFolder() }

    private var path: String { folder.path + "/log" }

    private func line(_ number: Int, stream: String = "stdout") -> String {
        let time = Timestamp(seconds: Int64(number)).text
        return #"{"log":"line \#(number)\n","stream":"\#(stream)","time":"\#(time)"}"# + "\n"
    }

    private func append(_ text: String) throws {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND)
        try FileContents.append(Array(text.utf8), to: file.raw, path)
    }

    private func read(
        _ change: (inout LogReader.Request) -> Void = { _ in }, isAlive: @Sendable () async -> Bool = { false }
    ) async throws -> [LogReader.Entry] {
        var request = LogReader.Request()
        change(&request)
        var entries: [LogReader.Entry] = []
        try await LogReader(path: path, request: request, threads: threads).read(isAlive: isAlive) { entries += $0 }
        return entries
    }

    private func numbers(_ entries: [LogReader.Entry]) -> [Int] {
        entries.compactMap { Int($0.text.dropFirst(5).dropLast()) }
    }

    @Test func linesAreChosen() async throws {
        #expect(try await read().isEmpty, "no file yet")
        for number in 1...10 { try append(line(number, stream: number % 2 == 0 ? "stderr" : "stdout")) }
        let all = try await read()
        #expect(numbers(all) == Array(1...10) && all[1].channel == 2 && all[0].text == "line 1\n")
        #expect(numbers(try await read { $0.stdout = false }) == [2, 4, 6, 8, 10])
        #expect(numbers(try await read { $0.tail = 3 }) == [8, 9, 10])
        #expect(numbers(try await read { $0.tail = 0 }).isEmpty)
        #expect(
            numbers(
                try await read {
                    $0.tail = 2; $0.stderr = false
                }) == [7, 9])
        #expect(numbers(try await read { $0.since = Timestamp(seconds: 9) }) == [9, 10])
        #expect(numbers(try await read { $0.until = Timestamp(seconds: 2) }) == [1, 2])
        #expect(numbers(try await read { $0.tail = .max }) == Array(1...10))
    }

    @Test func rotatedFilesAreReadOldestFirst() async throws {
        try folder.write("log.2", (line(1) + line(2)).utf8)
        try folder.write("log.1", (line(3) + line(4)).utf8)
        try append(line(5))
        #expect(numbers(try await read()) == [1, 2, 3, 4, 5])
        #expect(numbers(try await read { $0.tail = 4 }) == [2, 3, 4, 5])
        #expect(numbers(try await read { $0.tail = 1 }) == [5])
    }

    @Test func tornLinesLoseNothingElse() async throws {
        // A crash tore line 2; what came later was written behind it.
        let torn = String(line(2).dropLast(20))
        try append(
            line(1) + torn + line(3) + "rubbish\n\n{}\n" + #"{"log":"no time"}"# + "\n" + line(4)
                + String(line(5).dropLast(9)))
        #expect(numbers(try await read()) == [1, 3, 4], "line 5 is not finished yet")
    }

    @Test func whatALineSaysIsNoLine() async throws {
        let text = JSON(#"x {"log":"fake","time":"1970-01-01T00:00:00Z"}"#).text
        try append(#"{"log":\#(text),"stream":"stdout","time":"1970-01-01T00:00:01Z"}"# + "\n")
        try append(#"{"log":\#(text.dropLast(5))"# + "\n")
        let entries = try await read()
        #expect(entries.count == 1 && entries[0].text.hasPrefix("x {"))
    }

    @Test func longLogsAreReadInPieces() async throws {
        let count = 5000
        try append((1...count).map { line($0) }.joined())
        #expect(numbers(try await read()) == Array(1...count))
        #expect(numbers(try await read { $0.tail = 1000 }) == Array(count - 999...count))
    }

    private final class Following: Sendable {
        let isAlive = Atomic(true)
        let seen = Mutex<[Int]>([])
    }

    @Test func aFollowedLogGoesOnThroughRotation() async throws {
        try append(line(1))
        let following = Following()
        let reader = LogReader(
            path: path,
            request: {
                var request = LogReader.Request()
                request.follow = true
                return request
            }(), threads: threads)
        let reading = Task {
            try await reader.read(isAlive: { following.isAlive.load(ordering: .acquiring) }) { entries in
                let numbers = entries.compactMap { Int($0.text.dropFirst(5).dropLast()) }
                following.seen.withLock { $0 += numbers }
            }
        }
        func wait(for count: Int) async throws {
            for _ in 0..<1000 where following.seen.withLock({ $0.count }) < count {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        try await wait(for: 1)
        let second = line(2)
        try append(String(second.prefix(10)))
        try await Task.sleep(for: .milliseconds(50))
        try append(String(second.dropFirst(10)) + line(3))
        try await wait(for: 3)
        try append(line(4))
        #expect(rename(path, path + ".1") == 0)
        try append(line(5))
        try await wait(for: 5)
        try append(line(6))
        following.isAlive.store(false, ordering: .releasing)
        try await reading.value
        #expect(following.seen.withLock { $0 } == [1, 2, 3, 4, 5, 6])
    }
}
