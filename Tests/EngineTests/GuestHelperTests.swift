import Base
import Glibc
import Kernel
import Machines
import Synchronization
import TestSupport
import Testing
import WardenProtocol

@testable import Engine

/// A warden in a VM that was taken over: what it says of files hurts nobody.
struct GuestHelperTests {
    /// Plays the VM's warden: answers `hello`, and to `helper` what the test says. One of its two containers has ended.
    private final class HostileGuest: Sendable {
        let machine: VirtualMachine
        let threads = WorkerThreads(limit: 4)
        private let folder: TemporaryFolder
        private let listener: OwnedDescriptor

        /// - Parameters:
        ///   - play: what is sent after the helper was asked for, given the stream's number.
        ///   - version: what it says its protocol is.
        ///   - hangUps: how many connections it ends once it has answered `hello`.
        init(
            version: String = ProtocolVersion.current, hangUps: Int = 0, _ play: @escaping @Sendable (UInt32) -> [Frame]
        ) throws {
            folder = try TemporaryFolder()
            var configuration = EngineConfiguration()
            configuration.runRoot = folder.path
            let files = MachineFiles(id: Identifier.make(), configuration: configuration)
            try FileContents.makeDirectories(files.folder)
            let path = files.folder + "/" + MachineCommand.wardenSocket
            var address = try UnixSocket.address(path)
            let listening = try checkErrno(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0), "socket", path)
            let listener = OwnedDescriptor(listening)
            self.listener = listener
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listening, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try checkErrno(bound, "bind", path)
            try checkErrno(listen(listening, 4), "listen", path)
            machine = VirtualMachine(
                files: files, pid: getpid(), host: WardenSupervisor(configuration: configuration, log: Log()),
                threads: threads)
            // Held as long as it is listened on: its number could be another guest's.
            threads.submit {
                for number in 0... {
                    let accepted = accept(listener.raw, nil, nil)
                    guard accepted >= 0 else { return }
                    if HostileGuest.serve(OwnedDescriptor(accepted), version, hangsUp: number < hangUps, play) {
                        return
                    }
                }
            }
        }

        func end() {
            machine.ended()
            shutdown(listener.raw, Int32(SHUT_RDWR))
        }

        private static let list: JSON = [
            "containers": [
                ["id": "ended", "status": "stopped", "exitCode": 7, "finishedAt": 1],
                ["id": "runs", "status": "running"],
            ]
        ]

        /// - Returns: whether it has played; until then the engine may leave and come again, as it does on a busy host.
        private static func serve(
            _ connection: OwnedDescriptor, _ version: String, hangsUp: Bool, _ play: @Sendable (UInt32) -> [Frame]
        ) -> Bool {
            var decoder = FrameDecoder()
            var hasPlayed = false
            while let bytes = try? Pipe.read(connection.raw, upTo: 65536), !bytes.isEmpty {  // until the engine leaves
                decoder.append(bytes)
                while let frame = try? decoder.next() {  // the engine's frames are well formed
                    guard frame.kind == .request, let request = try? JSON(parsing: frame.payload) else { continue }
                    var output: [UInt8] = []
                    if request["op"] == "stall" { continue }
                    if request["op"] == "hang up" { return hasPlayed }
                    if request["op"] == "nonsense" {
                        _ = UnixSocket.writeAll(connection.raw, [UInt8](repeating: 0xFF, count: 4096))
                        continue
                    }
                    let answer: JSON = request["op"] == "list" ? HostileGuest.list : ["version": JSON(version)]
                    Frame(.answer, number: frame.number, payload: answer.bytes).write(to: &output)
                    if request["op"] == "helper" {
                        hasPlayed = true
                        let stream = UInt32(clamping: request["stream"].int ?? 0)
                        for frame in play(stream) { frame.write(to: &output) }
                    }
                    if !UnixSocket.writeAll(connection.raw, output) || hangsUp { return hasPlayed }
                }
            }
            return hasPlayed
        }
    }

    private static func data(_ stream: UInt32, _ channel: UInt8, _ text: String) -> Frame {
        Frame(.data, number: stream, channel: channel, payload: Array(text.utf8))
    }

    private static func ends(_ stream: UInt32) -> [Frame] {
        [1, 2].map { Frame(.data, number: stream, channel: $0) }
    }

    /// Asks such a guest for a document.
    private func ask(
        limit: Int = 1000, _ play: @escaping @Sendable (UInt32) -> [Frame]
    ) async throws -> JSON {
        let guest = try HostileGuest(play)
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        return try await GuestHelper(machine: guest.machine, threads: guest.threads).document("stat", [:], limit: limit)
    }

    private func fails(_ code: SkalaError.Code, _ play: @escaping @Sendable (UInt32) -> [Frame]) async {
        let error = await #expect(throws: SkalaError.self) { try await ask(play) }
        #expect(error?.code == code, "\(error?.message ?? "")")
    }

    @Test func anHonestAnswerIsTaken() async throws {
        let answer = try await ask {
            [GuestHelperTests.data($0, 1, "{\"name\":"), GuestHelperTests.data($0, 2, "{}")]
                + [GuestHelperTests.data($0, 1, "\"x\"}")] + GuestHelperTests.ends($0)
        }
        #expect(answer == ["name": "x"])
    }

    @Test func failuresAreTold() async {
        await fails(.notFound) {
            [GuestHelperTests.data($0, 2, "{\"code\":\"notFound\",\"message\":\"no x\"}")] + GuestHelperTests.ends($0)
        }
        await fails(.system) {
            [GuestHelperTests.data($0, 2, "{\"code\":\"nonsense\",\"message\":\"m\"}")] + GuestHelperTests.ends($0)
        }
    }

    @Test func whatIsCutShortIsNoAnswer() async {
        await fails(.unavailable) { [GuestHelperTests.data($0, 1, "{}")] + GuestHelperTests.ends($0) }
        await fails(.unavailable) {
            [GuestHelperTests.data($0, 1, "{}"), GuestHelperTests.data($0, 2, "{\"mess")] + GuestHelperTests.ends($0)
        }
    }

    @Test func nonsenseIsRefused() async {
        await fails(.invalid) {
            [GuestHelperTests.data($0, 1, "{\"a\":"), GuestHelperTests.data($0, 2, "{}")] + GuestHelperTests.ends($0)
        }
    }

    @Test func documentsAndVerdictsHaveAnEnd() async {
        await fails(.invalid) { stream in
            (0..<4).map { _ in GuestHelperTests.data(stream, 1, String(repeating: "[", count: 60000)) }
        }
        await fails(.invalid) { stream in
            (0..<4).map { _ in GuestHelperTests.data(stream, 2, String(repeating: " ", count: 60000)) }
        }
    }

    /// One that was started by another release is told apart at once, not waited for.
    @Test func anotherProtocolIsNamed() async throws {
        let guest = try HostileGuest(version: "0") { _ in [] }
        defer { guest.end() }
        let error = await #expect(throws: SkalaError.self) { try await guest.machine.connect(seconds: 60) }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains("speaks version 0 of the protocol") == true, "\(error?.message ?? "")")
    }

    /// A connection that ends as soon as it is greeted is renewed, whether or not that was noticed in time.
    @Test func oneThatHangsUpIsCalledAgain() async throws {
        let guest = try HostileGuest(hangUps: 50) { _ in [] }
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        var answer: JSON?
        for _ in 0..<3000 where answer == nil {
            answer = try? await guest.machine.request("helper", [:])  // fails between two connections
            if answer == nil { try await Task.sleep(for: .milliseconds(10)) }
        }
        #expect(answer?["version"].string == ProtocolVersion.current)
    }

    /// Nobody was told of what ended while there was no connection.
    @Test func whatEndedMeanwhileIsTold() async throws {
        let guest = try HostileGuest { _ in [] }
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        let heard = Mutex<[JSON]>([])
        guest.machine.setEventHandler { event in heard.withLock { $0.append(event) } }
        await #expect(throws: SkalaError.self) { try await guest.machine.request("hang up", [:]) }
        for _ in 0..<3000 where heard.withLock(\.isEmpty) { try await Task.sleep(for: .milliseconds(10)) }
        let events = heard.withLock { $0 }
        #expect(
            events.count == 1 && events[0]["event"] == "exit" && events[0]["id"] == "ended"
                && events[0]["exitCode"] == 7)
    }

    /// As one that floods, it is left alone for a while: to call it again at once would keep the host busy.
    @Test func oneThatTalksNonsenseIsNotListenedTo() async throws {
        let guest = try HostileGuest { _ in [] }
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        await #expect(throws: SkalaError.self) { try await guest.machine.request("nonsense", [:]) }
        let lost = SystemClock.monotonicNanoseconds()
        var answer: JSON?
        for _ in 0..<3000 where answer == nil {
            answer = try? await guest.machine.request("list", [:])  // fails until it is called again
            if answer == nil { try await Task.sleep(for: .milliseconds(10)) }
        }
        #expect(answer != nil && SystemClock.monotonicNanoseconds() - lost > 4_000_000_000)
    }

    /// It sends many times what it was granted while nobody reads: the engine keeps no more than that.
    @Test func aFloodEndsTheStream() async throws {
        let guest = try HostileGuest { stream in
            (0..<200).map { _ in Frame(.data, number: stream, channel: 1, payload: [UInt8](repeating: 7, count: 65536))
            }
        }
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        let stream = WardenStream()
        try guest.machine.open(stream)
        _ = try await guest.machine.request("helper", ["stream": JSON(stream.number)])
        for _ in 0..<500 where !stream.hasEnded { try await Task.sleep(for: .milliseconds(10)) }
        #expect(stream.hasEnded)
        var kept = 0
        while let chunk = await stream.next() { kept += chunk.bytes.count }
        #expect(kept > 0 && kept <= WardenStream.window)
    }

    /// Events, and answers nobody waits for: after a bounded number the guest is not listened to.
    @Test(arguments: [
        Frame(.event, number: 0, payload: Array("{\"event\":\"oom\"}".utf8)), Frame(.answer, number: 9999),
    ])
    func aFloodEndsTheConnection(frame: Frame) async throws {
        let guest = try HostileGuest { _ in Array(repeating: frame, count: 20_000) }
        defer { guest.end() }
        try await guest.machine.connect(seconds: 60)
        let heard = Mutex(0)
        guest.machine.setEventHandler { _ in heard.withLock { $0 += 1 } }
        _ = try await guest.machine.request("helper", [:])
        let asked = SystemClock.monotonicNanoseconds()
        // In time the connection ends; until then a request without an answer would wait.
        await #expect(throws: SkalaError.self) { try await guest.machine.request("stall", [:], seconds: 60) }
        #expect(SystemClock.monotonicNanoseconds() - asked < 30_000_000_000)
        #expect(heard.withLock { $0 } <= 2000)
    }
}

struct FrameBudgetTests {
    @Test func itFillsWithTime() {
        var budget = FrameBudget(now: 0)
        #expect((0..<2000).filter { _ in budget.spend(now: 0) }.count == 1000)
        // A second later there are a hundred, and never more than at first.
        #expect((0..<2000).filter { _ in budget.spend(now: 1_000_000_000) }.count == 100)
        #expect((0..<2000).filter { _ in budget.spend(now: 3_600_000_000_000) }.count == 1000)
    }
}
