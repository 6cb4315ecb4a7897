import Base
import Glibc
import Kernel
import Machines
import Synchronization

/// A VM that runs, and the connection to the warden in it.
///
/// Its QEMU is a container of the host's warden, under the VM's own id: it goes on without a daemon, and is killed,
/// paused, limited and measured as any container.
final class VirtualMachine: Sandbox {
    private let files: MachineFiles
    /// QEMU's process on the host.
    let pid: Int32
    let generation = 0
    private let host: WardenSupervisor
    private let threads: WorkerThreads
    private let client = Mutex<WardenClient?>(nil)
    private let hasEnded = Mutex(false)
    private let onEvent = Mutex<@Sendable (JSON) -> Void>({ _ in })

    init(files: MachineFiles, pid: Int32, host: WardenSupervisor, threads: WorkerThreads) {
        self.files = files
        self.pid = pid
        self.host = host
        self.threads = threads
    }

    /// Of its QEMU under the host's warden.
    var id: String { files.id }
    /// The file of what QEMU and the guest's kernel say.
    var console: String { files.console }

    /// The host's end of a VM's network card: it comes and goes with the VM.
    static func tap(of id: String, card number: Int = 0) -> String {
        // At most 15 characters; none of the letters is a digit of the tags that other interfaces have there.
        "sk\(tapLetters[number])" + id.prefix(12)
    }

    private static let tapLetters = Array("vghijklmnopqrstu")

    /// The number of the card that is at the other end of a tap.
    static func card(of tap: String) -> Int? { tap.dropFirst(2).first.flatMap(tapLetters.firstIndex) }

    var isAlive: Bool { !hasEnded.withLock { $0 } && kill(pid, 0) == 0 }

    /// What is done to it from outside.
    var control: MachineControl { MachineControl(folder: files.folder) { [self] in isAlive } }

    /// Waits until all that a container in it has written is in its log, or until that has taken too long.
    func waitForLog(of container: String) async {
        // Fails when the host's warden has forgotten the VM, and with it the log.
        _ = try? await host.request("logged", ["id": JSON(id), "name": JSON(container)])
    }

    // MARK: the warden

    /// Connects to the warden in the VM, and again when the connection ends while the VM runs.
    ///
    /// - Parameter seconds: how long it may take until the warden answers.
    func connect(seconds: Double) async throws {
        let began = SystemClock.monotonicNanoseconds()
        let deadline = began + Int64(seconds * 1e9)
        let path = files.folder + "/" + MachineCommand.wardenSocket
        var patience = VirtualMachine.greetDeadline
        while true {
            do {
                let connected = try await threads.run { [self] in
                    try WardenClient(path: path, isTrusted: false, onEvent: { [weak self] in self?.receive($0) }) {
                        [weak self] in
                        self?.connectionLost($0)
                    }
                }
                let left = deadline - SystemClock.monotonicNanoseconds()
                // A guest that was in the middle of an earlier connection's message needs to see that one's end first.
                // One on a host with too much to do needs longer each time it is asked.
                let limit = max(1_000_000, min(left, patience))
                patience = min(2 * patience, VirtualMachine.longestGreetDeadline)
                do {
                    try await connected.greet(version: ProductVersion.text, within: limit)
                } catch {
                    connected.close()
                    throw error
                }
                // One that ended since it was greeted would be renewed by nobody.
                guard adopt(connected) else { throw WardenClient.gone }
                return
            } catch {
                // Trying again does not make it another one.
                if let error = error as? SkalaError, error.code == .conflict {
                    throw error.within("the VM does not answer")
                }
                guard isAlive else { throw SkalaError(.unavailable, "the VM ended at once", cause: error) }
                guard SystemClock.monotonicNanoseconds() < deadline else {
                    throw SkalaError(.timedOut, "the warden in the VM does not answer", cause: error)
                }
                // At once at first, and seldom when it takes long.
                let waited = SystemClock.monotonicNanoseconds() - began
                try await Task.sleep(nanoseconds: UInt64(max(1_000_000, min(waited / 16, 500_000_000))))
            }
        }
    }

    /// What is done with the warden's events from now on.
    func setEventHandler(_ handler: @escaping @Sendable (JSON) -> Void) { onEvent.withLock { $0 = handler } }

    private func receive(_ event: JSON) { onEvent.withLock { $0 }(event) }

    /// - Returns: whether requests go to it from now on: it is open, and its end will be noticed.
    private func adopt(_ connected: WardenClient) -> Bool {
        client.withLock { client in
            guard connected.isOpen else { return false }
            client = connected
            return true
        }
    }

    private func connectionLost(_ lost: WardenClient) {
        let wasInUse = client.withLock { client in
            guard client === lost else { return false }  // it was never adopted, or is closed on purpose
            client = nil
            return true
        }
        guard wasInUse, isAlive else { return }
        Task {
            // So that it costs the host little, however long it goes on.
            if lost.hasMisbehaved { try await Task.sleep(nanoseconds: VirtualMachine.misbehaviourPause) }
            try? await meetAgain()  // requests fail until then, and say so
        }
    }

    /// Connects to its warden again, however long the VM is paused or stands still, and tells the handler of events what has ended
    /// in there meanwhile.
    ///
    /// - Throws: `.unavailable` when the VM has ended.
    func meetAgain() async throws {
        try await connect(seconds: VirtualMachine.withoutEnd)
        for event in WardenClient.exits(in: try await request("list")) { receive(event) }
    }

    /// A year, in seconds.
    private static let withoutEnd = 365.0 * 86400

    func request(_ operation: String, _ fields: JSON) async throws -> JSON {
        guard let client = client.withLock({ $0 }) else { throw VirtualMachine.gone }
        return try await client.request(operation, fields)
    }

    func open(_ stream: WardenStream) throws {
        guard let client = client.withLock({ $0 }) else { throw VirtualMachine.gone }
        client.open(stream)
    }

    /// The id, under the host's warden, of the program that serves the host's folders to a VM; and of that the VM's again.
    static func shareID(of id: String) -> String { String(id.reversed()) }

    static let gone = SkalaError(.unavailable, "the VM is not running")

    /// Its QEMU has ended.
    func ended() {
        hasEnded.withLock { $0 = true }
        close()
    }

    /// Ends the connection; the VM goes on.
    func close() {
        client.withLock { client in
            defer { client = nil }
            return client
        }?.close()
    }

    /// The same for what must not take long. A guest is not trusted to answer: then the connection ends.
    @discardableResult
    func request(_ operation: String, _ fields: JSON = [:], seconds: Double) async throws -> JSON {
        guard let client = client.withLock({ $0 }) else { throw VirtualMachine.gone }
        return try await client.request(operation, fields, within: Int64(seconds * 1e9))
    }

    /// Ends the VM's containers, writes its disks out and lets go of them.
    ///
    /// - Returns: the bytes written to its disk.
    func halt() async throws -> Int64? {
        try await request("halt", seconds: VirtualMachine.haltDeadline)["written"].int
    }

    /// How long a warden that was found may take to answer, in nanoseconds, before it is tried again.
    private static let greetDeadline: Int64 = 2_000_000_000
    private static let longestGreetDeadline: Int64 = 3_600_000_000_000
    private static let haltDeadline = 20.0
    /// How long a guest that said too much, or nonsense, is not listened to, in nanoseconds.
    private static let misbehaviourPause: UInt64 = 5_000_000_000

    /// Ends the VM and removes what it had on the host.
    ///
    /// - Parameter console: where to keep what QEMU and the guest's kernel said.
    func destroy(keepingConsoleAt console: String? = nil) async {
        hasEnded.withLock { $0 = true }
        close()
        // Fails only when the host's warden is gone, and QEMU with it.
        _ = try? await host.request("delete", ["id": JSON(id)])
        _ = try? await host.request("delete", ["id": JSON(VirtualMachine.shareID(of: id))])  // most have none
        if let console { rename(files.console, console) }
        files.remove()
    }
}
