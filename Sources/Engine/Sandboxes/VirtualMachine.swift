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
    /// Of its QEMU under the host's warden.
    let id: String
    /// Where its sockets are.
    let folder: String
    /// QEMU's process on the host.
    let pid: Int32
    let generation = 0
    private let host: WardenSupervisor
    private let threads: WorkerThreads
    private let client = Mutex<WardenClient?>(nil)
    private let hasEnded = Mutex(false)

    init(id: String, folder: String, pid: Int32, host: WardenSupervisor, threads: WorkerThreads) {
        self.id = id
        self.folder = folder
        self.pid = pid
        self.host = host
        self.threads = threads
    }

    var isAlive: Bool { !hasEnded.withLock { $0 } && kill(pid, 0) == 0 }

    /// What is done to it from outside.
    var control: MachineControl { MachineControl(folder: folder) { [self] in isAlive } }

    // MARK: the warden

    /// Connects to the warden in the VM, and again when the connection ends while the VM runs. Blocking.
    ///
    /// - Parameter seconds: how long it may take until the warden answers.
    func connect(seconds: Double, onEvent: @escaping @Sendable (JSON) -> Void) async throws {
        let deadline = SystemClock.monotonicNanoseconds() + Int64(seconds * 1e9)
        let path = folder + "/" + MachineCommand.wardenSocket
        while true {
            do {
                let connected = try await threads.run { [self] in
                    try WardenClient(path: path, onEvent: onEvent) { [weak self] in
                        self?.connectionLost(onEvent)
                    }
                }
                let left = deadline - SystemClock.monotonicNanoseconds()
                // A guest that was in the middle of an earlier connection's message needs to see that one's end first.
                try await connected.greet(
                    version: ProductVersion.text, nanoseconds: max(1_000_000, min(left, VirtualMachine.greetDeadline)))
                client.withLock { $0 = connected }
                return
            } catch {
                guard isAlive else { throw SkalaError(.unavailable, "the VM ended at once", cause: error) }
                guard SystemClock.monotonicNanoseconds() < deadline else {
                    throw SkalaError(.timedOut, "the warden in the VM does not answer", cause: error)
                }
                try await Task.sleep(nanoseconds: 1_000_000)
            }
        }
    }

    private func connectionLost(_ onEvent: @escaping @Sendable (JSON) -> Void) {
        let wasConnected = client.withLock { client in
            defer { client = nil }
            return client != nil
        }
        guard wasConnected, isAlive else { return }
        Task { try? await connect(seconds: 30, onEvent: onEvent) }  // requests fail until then, and say so
    }

    func request(_ operation: String, _ fields: JSON) async throws -> JSON {
        guard let client = client.withLock({ $0 }) else { throw VirtualMachine.gone }
        return try await client.request(operation, fields)
    }

    func open(_ stream: WardenStream) throws {
        guard let client = client.withLock({ $0 }) else { throw VirtualMachine.gone }
        client.open(stream)
    }

    /// The id, under the host's warden, of the program that serves the host's folders to a VM.
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
        let timer = Task {
            try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
            client.close()
        }
        defer { timer.cancel() }
        return try await client.request(operation, fields)
    }

    /// Ends the VM's containers, writes its disks out and lets go of them.
    func halt() async throws { try await request("halt", seconds: VirtualMachine.haltDeadline) }

    /// How long a warden that was found may take to answer, in nanoseconds, before it is tried again.
    private static let greetDeadline: Int64 = 2_000_000_000
    private static let haltDeadline = 20.0

    /// Ends the VM and removes what it had on the host.
    func destroy() async {
        hasEnded.withLock { $0 = true }
        close()
        // Fails only when the host's warden is gone, and QEMU with it.
        _ = try? await host.request("delete", ["id": JSON(id)])
        _ = try? await host.request("delete", ["id": JSON(VirtualMachine.shareID(of: id))])  // most have none
        try? FileContents.removeTree(folder)  // what stays is removed when the daemon starts next
    }
}
