import Base
import Engine
import Kernel
import Networks
import Planning
import Store

/// Brings one service's tasks where its specification wants them, again and again.
///
///     what the engine has ──observe──▶ tasks ──plan──▶ wanted tasks ──act──▶ what the engine has
///
/// Every step is small, starts from what the store and the engine say, and may be repeated: a daemon that was killed in the
/// middle goes on where the store and the containers' labels say. One step at a time is under way for a task; the
/// steps of different tasks run side by side.
actor ServiceReconciler {
    let context: ClusterContext
    let cluster: Cluster
    var service: ServiceRecord
    var tasks: [String: TaskRecord] = [:]
    /// Tasks that a step is under way for.
    var underWay: Set<String> = []
    /// Tasks that this daemon has started, or found running.
    var started: Set<String> = []
    /// Why active tasks are ended although they are wanted.
    var faults: [String: Fault] = [:]
    /// What the last plan said of slots, for `service explain`.
    var notes: [ServicePlan.Note] = []
    /// What was decided, the newest last.
    var decisions: [Decision] = []
    var autoscaler: Autoscaler?
    var meter = LoadMeter()
    var sampling: Task<Void, Never>?
    /// What it saw and decided last.
    var lastScaling: ScalingDecision?
    var counts = ServiceCounts()
    /// What the kernel was told last; nil: nothing yet.
    var balanced: BalancedService?
    /// What HAProxy was told last.
    var balancedHTTP: HTTPService?
    /// The tasks that were members last.
    var served: [String] = []
    /// An earlier daemon may have told it something.
    var isFirstBalance = true
    /// The service has gone, and its addresses and rules with it.
    var hasEndedBalancing = false
    let balancing = AsyncSemaphore(limit: 1)
    /// Tasks whose container something has happened to.
    var touched: Set<String> = []
    private let bell: AsyncStream<Void>.Continuation
    private let rings: AsyncStream<Void>
    private var alarm: Task<Void, Never>?
    private var alarmTime: Int64 = .max
    private var lastSweep: Int64 = 0
    var lastMoment = Moment.now

    /// All containers are looked at so often, in nanoseconds, in case an event was lost.
    static let sweepInterval: Int64 = 5_000_000_000

    init(service: ServiceRecord, tasks: [TaskRecord], context: ClusterContext, cluster: Cluster) {
        self.service = service
        self.context = context
        self.cluster = cluster
        (rings, bell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        for task in tasks { self.tasks[task.id] = task }
    }

    nonisolated func start() {
        Task { await run() }
        ring()
    }

    /// Looks at the service as soon as it can.
    nonisolated func ring() { bell.yield() }

    /// Ends the loop; containers are left alone.
    nonisolated func close() { bell.finish() }

    func touch(_ taskID: String) {
        touched.insert(taskID)
        ring()
    }

    private func run() async {
        for await _ in rings {
            await reconcile()
            if service.isRemoved, tasks.isEmpty {
                await endBalancing()
                await cluster.forget(service.id)
                bell.finish()
            }
        }
        alarm?.cancel()
        sampling?.cancel()
    }

    /// Rings at a time of the monotonic clock, or earlier.
    func wake(at time: Int64) {
        guard time < alarmTime else { return }
        alarm?.cancel()
        alarmTime = time
        alarm = Task { [weak self] in
            let left = max(0, time - SystemClock.monotonicNanoseconds())
            try? await Task.sleep(nanoseconds: UInt64(left))  // cancelled: looked at on the next line
            guard !Task.isCancelled else { return }
            await self?.alarmRang()
        }
    }

    private func alarmRang() {
        alarmTime = .max
        ring()
    }

    private func reconcile() async {
        let now = SystemClock.monotonicNanoseconds()
        if now - lastSweep >= ServiceReconciler.sweepInterval {
            touched.formUnion(tasks.keys)
            lastSweep = now
        }
        wake(at: lastSweep + ServiceReconciler.sweepInterval)
        await heedClock()
        followLoad()
        await observe()
        let node = await cluster.node
        if service.isRemoved {
            for id in tasks.keys.sorted() { await tell(id, .remove) }
        } else if let node {
            await plan(node)
            await assign()
        }
        await balance()
        await forgetHistory()
        for task in tasks.values.sorted(by: { $0.created < $1.created }) where !underWay.contains(task.id) {
            guard let step = nextStep(of: task) else { continue }
            underWay.insert(task.id)
            Task { await carryOut(step, task.id) }
        }
    }

    // MARK: observe

    /// Takes in what happened to the containers.
    private func observe() async {
        let ids = touched
        touched = []
        for id in ids {
            guard let task = tasks[id], task.state.isActive, !task.containerID.isEmpty, !underWay.contains(id) else {
                // Its step tells more than a look from outside; afterwards it is looked at.
                if underWay.contains(id) { touched.insert(id) }
                continue
            }
            await observe(task)
        }
    }

    private func observe(_ task: TaskRecord) async {
        guard let container = try? await context.engine.containers.find(task.containerID) else {  // gone: by hand
            return await change(task.id) { $0.enter(.failed, "failed", error: "the container was removed") }
        }
        let state = await container.snapshot.state
        let (health, isStalled) = (await container.healthStatus, await container.isStalled)
        guard let task = tasks[task.id], !underWay.contains(task.id) else { return }
        if state.isAlive {
            let isHealthy = health != "unhealthy"
            if isHealthy != task.isHealthy { await change(task.id) { $0.isHealthy = isHealthy } }
            if isStalled != task.isStalled {
                note("task \(name(task.id)): \(isStalled ? Container.stallText : "its VM goes on")")
                await change(task.id) { $0.isStalled = isStalled }
            }
            // Who has no health check, and serves requests, is asked for a connection in the step that starts it.
            guard task.state < .running, health == "healthy" || health == "none" && knockPort() == nil else { return }
            await change(task.id) {
                $0.enter(.running, "started")
                $0.pid = state.pid
            }
        } else if task.state >= .starting, state.status != .restarting {
            await ended(task, state)
        }
    }

    /// The container's process has ended, by itself.
    func ended(_ task: TaskRecord, _ state: ContainerState) async {
        await change(task.id) { task in
            task.exitCode = state.exitCode
            task.pid = 0
            if !task.isWanted {
                task.enter(.shutdown, "shutdown")
            } else if state.isLost {
                task.enter(.orphaned, "lost", error: state.error)
            } else if state.exitCode == 0, state.error.isEmpty {
                task.enter(.complete, "finished")
            } else {
                let reason = state.isOOMKilled ? "out of memory" : state.error
                task.enter(
                    .failed, task.runningSince == nil ? "starting" : "started",
                    error: "task: non-zero exit (\(state.exitCode))" + (reason.isEmpty ? "" : ": " + reason))
            }
        }
    }

    // MARK: change

    /// Changes a task, in memory and in the store.
    func change(_ id: String, _ body: (inout TaskRecord) -> Void) async {
        await heedClock()
        guard var task = tasks[id] else { return }
        let before = task.json
        body(&task)
        guard task.json != before || task.isHealthy != tasks[id]?.isHealthy || task.isStalled != tasks[id]?.isStalled
        else { return }
        task.version.advance(context.counter)
        let hasEnded = !task.state.isActive && tasks[id]?.state.isActive == true
        tasks[id] = task
        await save(task)
        if hasEnded {
            if task.state == .failed || task.state == .rejected { counts.failed += 1 }
            await cluster.leaveSeat(id)
            await context.files.remove(id)
        }
    }

    func save(_ task: TaskRecord) async {
        do {
            try await context.store.put("task", task.id, task.json)
        } catch {
            context.log.error("cannot record a task", ["service": service.name, "task": task.id, "error": "\(error)"])
        }
    }

    /// Asks a task to come to an end, or go; never back.
    func want(_ id: String, _ desired: TaskState) async {
        guard let task = tasks[id], task.desired < desired else { return }
        await change(id) { $0.desired = desired }
    }

    /// The same, so that its end is no fault of its own.
    func tell(_ id: String, _ desired: TaskState) async {
        await change(id) {
            $0.isTold = true
            $0.desired = max($0.desired, desired)
        }
    }

    func add(_ task: TaskRecord) async {
        await heedClock()
        tasks[task.id] = task
        await save(task)
    }
}
