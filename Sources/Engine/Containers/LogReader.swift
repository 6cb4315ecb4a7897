public import Base
import CLinux
import Glibc
import Kernel

/// Reads a container's log, which the warden writes as Docker's json-file, one object a line.
public struct LogReader: Sendable {
    public struct Entry: Sendable {
        /// 1 standard output, 2 standard error.
        public let channel: UInt8
        public let time: Timestamp
        public let text: String
    }

    /// What is wanted, as the parameters of `GET /containers/{id}/logs`.
    public struct Request: Sendable {
        public var stdout = true
        public var stderr = true
        public var since: Timestamp?
        public var until: Timestamp?
        /// The last so many lines; nil is all.
        public var tail: Int?
        public var follow = false
        public init() {}
    }

    /// How often a followed log is looked at: short enough to read as immediate, and one `fstat` a time.
    static let interval: UInt64 = 30_000_000

    let path: String
    let request: Request
    let threads: WorkerThreads

    public init(path: String, request: Request, threads: WorkerThreads) {
        self.path = path
        self.request = request
        self.threads = threads
    }

    /// Hands every entry to `body`; with `follow` until `isAlive` says no and the log is at its end.
    public func read(isAlive: @Sendable () async -> Bool, _ body: ([Entry]) async throws -> Void) async throws {
        let path = path
        guard var file = try await threads.run({ LogFile.open(path) }) else { return }
        let files = try await threads.run { [file] in LogFile.rotated(path) + [file] }
        if let tail = request.tail {
            let last = try await self.last(tail, of: files)
            if !last.isEmpty { try await body(last) }
        } else {
            for one in files {
                while let entries = try await threads.run({ try one.nextEntries() }) {
                    let chosen = entries.filter(isWanted)
                    if !chosen.isEmpty { try await body(chosen) }
                }
            }
        }
        guard request.follow else { return }
        func deliver(_ file: LogFile) async throws {
            while let entries = try await threads.run({ try file.nextEntries() }) {
                let chosen = entries.filter(isWanted)
                if !chosen.isEmpty { try await body(chosen) }
            }
        }
        while true {
            let wasAlive = await isAlive()
            let current = file
            try await deliver(current)
            if let until = request.until, SystemClock.now() > until { return }
            let successors = try await threads.run { current.successors(at: path) }
            if let newest = successors.last {
                // Written between the look at its end and the rotation.
                try await deliver(current)
                for successor in successors.dropLast() { try await deliver(successor) }
                file = newest
                continue
            }
            guard wasAlive else { return }
            try await Task.sleep(nanoseconds: LogReader.interval)
        }
    }

    /// The last entries that are wanted, from as many files as it takes, the newest first. The current file is read to
    /// its end in any case, for those who follow it.
    private func last(_ count: Int, of files: [LogFile]) async throws -> [Entry] {
        var last: [Entry] = []
        for (index, file) in files.reversed().enumerated() where index == 0 || last.count < count {
            var found: [Entry] = []
            while let entries = try await threads.run({ try file.nextEntries() }) {
                found += entries.filter(isWanted)
                // Cut now and then: the file may be long, and few lines wanted.
                if found.count > 10_000, found.count / 2 > count { found.removeFirst(found.count - count) }
            }
            last = Array((found + last).suffix(count))
        }
        return last
    }

    private func isWanted(_ entry: Entry) -> Bool {
        (entry.channel == 1 ? request.stdout : request.stderr)
            && request.since.map { entry.time >= $0 } ?? true && request.until.map { entry.time <= $0 } ?? true
    }
}

/// One file of a log, read from its start; a last line that is not finished yet is left for the next time.
private final class LogFile: @unchecked Sendable {
    // @unchecked: used by one reader, one call at a time.
    private let descriptor: OwnedDescriptor
    private var rest: [UInt8] = []

    private init(_ descriptor: OwnedDescriptor) { self.descriptor = descriptor }

    static func open(_ path: String) -> LogFile? {
        // No file: nothing was written yet.
        (try? OwnedDescriptor.open(path, O_RDONLY)).map(LogFile.init)
    }

    /// The files rotated away, oldest first.
    static func rotated(_ path: String) -> [LogFile] {
        var files: [LogFile] = []
        while let file = open("\(path).\(files.count + 1)") { files.append(file) }
        return files.reversed()
    }

    /// The next entries, or nil at the end of the file.
    func nextEntries() throws -> [LogReader.Entry]? {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = try checkErrno(read(descriptor.raw, &buffer, buffer.count), "read", "log")
        guard count > 0 else { return nil }
        rest.append(contentsOf: buffer[0..<count])
        var entries: [LogReader.Entry] = []
        var start = 0
        while let end = rest[start...].firstIndex(of: 0x0A) {
            if let entry = LogFile.entry(Array(rest[start..<end])) { entries.append(entry) }
            start = end + 1
        }
        rest.removeFirst(start)
        return entries
    }

    /// The files written after this one, oldest first; none while this is the one at `path`. This one may have been
    /// rotated several times since, or away altogether.
    func successors(at path: String) -> [LogFile] {
        guard let current = LogFile.open(path), current.inode != inode else { return [] }
        var files: [LogFile] = []
        for older in LogFile.rotated(path).reversed() {
            if older.inode == inode { break }
            files.insert(older, at: 0)
        }
        return files + [current]
    }

    private var inode: UInt64 {
        var status = stat()
        return fstat(descriptor.raw, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    private static func entry(_ line: [UInt8]) -> LogReader.Entry? {
        guard let json = document(line), let text = json["log"].string,
            let time = json["time"].string.flatMap({ try? Timestamp(parsing: $0) })
        else { return nil }
        return LogReader.Entry(channel: json["stream"].string == "stderr" ? 2 : 1, time: time, text: text)
    }

    /// The object in a line. A line torn by a crash is skipped; what was written behind it later is not.
    private static func document(_ line: [UInt8]) -> JSON? {
        if let json = try? JSON(parsing: line) { return json }
        let start = Array(#"{"log":"#.utf8)
        guard line.count > start.count else { return nil }
        // A quote inside a value is escaped, so that this cannot be found in one.
        let behind = (1..<line.count - start.count).last { line[$0..<$0 + start.count].elementsEqual(start) }
        return behind.flatMap { try? JSON(parsing: Array(line[$0...])) }
    }
}
