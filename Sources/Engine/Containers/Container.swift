public import Base
import Glibc
import Kernel
import Networks
import OCI
import Store

/// One container: its record, and the one place that changes it.
///
///     created ──start──▶ running ⇄ paused
///                          │ exit
///                          ▼
///                        exited ──start / restart policy──▶ running
///     created, exited ──remove──▶ gone
///
/// Lifecycle operations (start, stop, restart, remove) hold `lifecycle` and so never interleave; what the warden
/// reports (exits) is taken in at any time.
public actor Container {
    public nonisolated let id: String
    let engine: EngineContext
    unowned let containers: Containers
    let lifecycle = AsyncLock()
    var record: ContainerRecord
    var health: HealthMonitor?
    var execs: [String: ExecSession] = [:]
    /// Attached before the start; connected in between the warden's create and start.
    var pendingAttachments: [Attachment] = []
    /// Set from the warden's create until the start is recorded: an exit that arrives meanwhile waits in `earlyExit`.
    var isStarting = false
    var earlyExit: Exit?
    var isRemoved = false
    /// It was running when the last daemon wrote its record, and has ended since.
    var wasRunningBefore = false
    /// The warden it runs under, `WardenSupervisor.generation`.
    var wardenGeneration = 0
    /// The VM it runs in, while it does.
    var machine: VirtualMachine?
    /// While it is being started: the snapshot it continues from.
    var resumption: Resumption?
    /// While it is being started: whether it goes on in its pod's VM, which continues from a snapshot.
    var returnsToPod = false
    /// A snapshot of it is being taken, while which it stands still.
    var isBeingCaptured = false
    /// QEMU has stopped its VM: the host has no room for what it writes.
    public internal(set) var isStalled = false
    /// When that was so last, by the monotonic clock.
    var lastStall = Int64.min
    /// The pod it runs in, from before the start until after the end.
    var pod: Pod?
    /// While it does not run: what its files are reached by.
    var heldFiles: HeldFiles?
    /// The VM's port that its output goes to.
    var logPort: String?
    /// The user asked for the stop that is under way: the restart policy does not apply.
    var isStopRequested = false
    /// By network: those who know the container by its address find it again after a restart.
    var previousAddresses: [String: String] = [:]
    var exitCleanUp: Task<Void, Never>?
    var restartTask: Task<Void, Never>?
    var restartDelay = RestartPolicy.initialDelay
    private var waiters: [(condition: WaitCondition, promise: Promise<Int64>)] = []

    /// How a process ended.
    struct Exit: Sendable {
        var code: Int64
        var isOOMKilled: Bool
        /// With the warden that ran it.
        var isLost = false
        var time: Timestamp
    }

    /// What a caller of `wait` waits for.
    public enum WaitCondition: String, Sendable {
        case notRunning = "not-running"
        case nextExit = "next-exit"
        case removed
    }

    init(record: ContainerRecord, engine: EngineContext, containers: Containers) {
        id = record.id
        self.record = record
        self.engine = engine
        self.containers = containers
    }

    public var snapshot: ContainerRecord { record }

    var directory: String { engine.configuration.containerDirectory(id) }
    var logPath: String { directory + "/" + id + "-json.log" }

    /// Writes the record to the store.
    func persist() async throws {
        guard !isRemoved else { return }
        record.networkState = record.state.isAlive ? await engine.networks.document(of: id) : .null
        record.dedicatedCores =
            allocation == .dedicated ? await containers.dedicatedCores(id)?.description ?? "" : ""
        try await engine.store.put("container", id, record.json)
    }

    /// Announces something about this container, with its labels, image and name as attributes.
    func publish(_ action: String, _ attributes: [String: String] = [:]) {
        var all = record.config["Labels"].stringDictionary ?? [:]
        all["image"] = record.imageName
        all["name"] = record.name
        all.merge(attributes) { _, new in new }
        engine.events.publish("container", action, id, all)
    }

    /// - Throws: `.conflict` with Docker's text unless a process exists.
    public var isGone: Bool { isRemoved }

    func requireRunning() throws {
        guard record.state.isAlive else { throw SkalaError(.conflict, "container \(id) is not running") }
    }

    // MARK: waiting

    /// The exit code, once the condition holds. Registered when this returns: a start that follows cannot be missed.
    public func beginWait(for condition: WaitCondition) -> Promise<Int64> {
        let promise = Promise<Int64>()
        let isOver = condition == .notRunning && !record.state.isAlive && record.state.status != .restarting
        if isOver || isRemoved {
            promise.fulfil(record.state.exitCode)
        } else {
            waiters.append((condition, promise))
        }
        return promise
    }

    func resumeWaiters(_ conditions: Set<WaitCondition>) {
        let code = record.state.exitCode
        let due = waiters.filter { conditions.contains($0.condition) }
        waiters.removeAll { conditions.contains($0.condition) }
        for waiter in due { waiter.promise.fulfil(code) }
    }

    /// Waits for the process to end; false when `deadline` passes first.
    func waitForExit(seconds: Double) async -> Bool {
        let deadline = SystemClock.monotonicNanoseconds() + Int64(seconds * 1e9)
        guard record.state.isAlive else { return true }
        let timer = Task { [weak self] in
            let left = max(0, deadline - SystemClock.monotonicNanoseconds())
            try? await Task.sleep(nanoseconds: UInt64(left))  // cancelled: the process has ended
            await self?.expireExitWait()
        }
        defer { timer.cancel() }
        await withCheckedContinuation { exitWaiters.append($0) }
        return !record.state.isAlive
    }

    private var exitWaiters: [CheckedContinuation<Void, Never>] = []

    private func expireExitWait() { resumeExitWaiters() }

    func resumeExitWaiters() {
        let due = exitWaiters
        exitWaiters = []
        for waiter in due { waiter.resume() }
    }

    // MARK: changes without a process

    func rename(to name: String) async throws {
        let old = record.name
        record.name = name
        try await persist()
        await engine.networks.rename(containerID: id, from: old, to: name)
        publish("rename", ["oldName": "/" + old])
    }

    /// Changes limits and the restart policy; on a running container at once.
    ///
    /// - Returns: what is less than was asked for, in words.
    public func update(_ changes: JSON) async throws -> [String] {
        try RefusedFields.check("ContainerUpdate", changes)
        if !(changes["RestartPolicy"]["Name"].string ?? "").isEmpty {
            try RestartPolicy.validate(changes["RestartPolicy"])
        }
        if record.isolation == .machine { try checkDiskMachineUpdate(changes) }
        if record.isolation == .pod { try await checkPodUpdate(changes) }
        return try await lifecycle.withLock {
            let warnings = try checkMachineUpdate(changes)
            if let allocation = changes["Annotations"][Allocation.annotation].string {
                try await setAllocation(allocation)
            }
            if record.state.isAlive {
                try await applyLimits(
                    record.isolation == .machine
                        ? machineLimits(changes) : ContainerResources.spec(changes, defaultPidsLimit: nil))
            }
            // Unknown fields are dropped, as at creation.
            let known = Set(ContainerDefaults.hostConfig.map(\.key))
            for member in changes.object?.members ?? [] where known.contains(member.key) && !member.value.isNull {
                // The CLI sends every field; zero and empty mean "leave it".
                if member.value == .int(0) || member.value == .string("") || member.value == .array([]) { continue }
                guard record.hostConfig.object?.keys.contains(member.key) == true, member.key != "Annotations" else {
                    continue
                }
                if member.key == "RestartPolicy", member.value["Name"].string == "" { continue }
                record.hostConfig[member.key] = member.value
            }
            try await persist()
            publish("update")
            return warnings
        }
    }
}
