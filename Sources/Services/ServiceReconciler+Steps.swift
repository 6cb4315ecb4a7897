import Base
import Engine
import Images
import Kernel
import OCI
import Planning
import Store

extension ServiceReconciler {
    /// What is to be done next for a task.
    enum Step {
        /// Its container is made.
        case prepare
        case start
        case stop
        /// Stopped, as a failure of its own.
        case fail(Fault)
        /// The container and the record go.
        case remove
    }

    func nextStep(of task: TaskRecord) -> Step? {
        if task.isWanted {
            if let fault = faults[task.id], task.state.isActive { return .fail(fault) }
            switch task.state {
            case .assigned, .accepted, .preparing: return .prepare
            case .ready: return task.desired == .ready ? nil : .start
            // A daemon was killed in the middle of it; else a health check is waited for.
            case .starting: return started.contains(task.id) ? nil : .start
            default: return nil
            }
        }
        if task.state.isActive { return .stop }
        return task.desired == .remove ? .remove : nil
    }

    func carryOut(_ step: Step, _ id: String) async {
        switch step {
        case .prepare: await prepare(id)
        case .start:
            await context.makers.withPlace { await startContainer(id) }
            started.insert(id)
            await knock(id)
        case .stop: await stop(id) { $0.enter(.shutdown, "shutdown") }
        case .fail(let fault):
            // It does not do its work: what it has to say at its end is worth little, and its successor waits for it.
            await stop(id, grace: fault.isHang ? ServiceReconciler.hangGrace : nil) {
                $0.enter(.failed, "stopped", error: fault.description)
            }
            faults[id] = nil
            // Its successor may be there already, which then could not tell it.
            if let task = tasks[id], tasks.values.contains(where: { $0.slot == task.slot && $0.created > task.created })
            {
                await want(id, .shutdown)
            }
        case .remove: await remove(id)
        }
        underWay.remove(id)
        touch(id)
    }

    // MARK: prepare

    private func prepare(_ id: String) async {
        guard let task = tasks[id], task.isWanted else { return }
        do {
            guard let node = await cluster.node else { return }
            await change(id) { $0.enter(.preparing, "preparing") }
            try await pullIfMissing(task.spec.image)
            let container = try await context.makers.withPlace {
                try await self.container(of: task, node)
            }
            await change(id) {
                $0.containerID = container
                $0.enter(.ready, "prepared")
            }
        } catch {
            context.log.info("a task is rejected", ["service": service.name, "task": id, "error": "\(error)"])
            await change(id) { $0.enter(.rejected, "preparing", error: "\(error)") }
        }
    }

    /// The container that is there, by its label, or a new one.
    private func container(of task: TaskRecord, _ node: NodeRecord) async throws -> String {
        let name = TaskContainer.name(of: task, service: service)
        if let found = try? await context.engine.containers.find(name) { return found.id }  // none: made below
        try await context.files.make(task.id, try await cluster.taskFiles(task.spec))
        let body = try await cluster.containerBody(service: service, task: task, node: node)
        return try await context.engine.containers.create(name: name, body: body).id
    }

    private func pullIfMissing(_ image: String) async throws {
        do {
            _ = try await context.engine.images.find(image)
        } catch let error as SkalaError where error.code == .notFound {
            let reference = try Reference(parsing: image)
            let credentials = try await cluster.credentials(of: service)
            let remote = try await context.engine.images.lookUp(reference, platform: nil, credentials: credentials)
            _ = try await context.engine.images.pull(remote, progress: { _ in })
        }
    }

    // MARK: start

    private func startContainer(_ id: String) async {
        guard let task = tasks[id], task.isWanted else { return }
        await change(id) { $0.enter(.starting, "starting") }
        do {
            let container = try await context.engine.containers.find(task.containerID)
            do {
                try await container.start()
            } catch let error as SkalaError where error.code == .notModified {}
            let state = await container.snapshot.state
            guard await container.healthStatus == "none", state.isAlive, knockPort() == nil else { return }
            await change(id) {
                $0.enter(.running, "started")
                $0.pid = state.pid
            }
        } catch {
            context.log.info("a task does not start", ["service": service.name, "task": id, "error": "\(error)"])
            await change(id) { $0.enter(.failed, "starting", error: "\(error)") }
        }
    }

    // MARK: end

    /// Seconds that a task which hangs has between its stop signal and SIGKILL, unless it has less.
    private static let hangGrace: Int64 = 1

    private func stop(_ id: String, grace: Int64? = nil, _ end: (inout TaskRecord) -> Void) async {
        guard let task = tasks[id] else { return }
        // Out of the balancer first: no new connection finds a task that is stopping.
        await balance()
        // One that hangs answers nothing that is waited for.
        if grace == nil { await drain(task) }
        do {
            // A container that a killed daemon made, and did not write down, has the task's name.
            let name = TaskContainer.name(of: task, service: service)
            let container = try await context.engine.containers.find(
                task.containerID.isEmpty ? name : task.containerID)
            do {
                let own = await container.snapshot.config["StopTimeout"].int ?? grace ?? 0
                try await container.stop(timeout: grace.map { own < 0 ? $0 : min($0, own) })
            } catch let error as SkalaError where error.code == .notModified {}
            let state = await container.snapshot.state
            await change(id) {
                $0.containerID = container.id
                $0.pid = 0
                $0.exitCode = state.exitCode
                end(&$0)
            }
        } catch let error as SkalaError where error.code == .notFound {
            await change(id, end)
        } catch {
            context.log.error("a task cannot be stopped", ["service": service.name, "task": id, "error": "\(error)"])
            wake(at: SystemClock.monotonicNanoseconds() + 1_000_000_000)
        }
    }

    private func remove(_ id: String) async {
        guard let task = tasks[id] else { return }
        do {
            if !task.containerID.isEmpty {
                try await context.engine.containers.find(task.containerID).remove(force: true, volumes: true)
            }
        } catch let error as SkalaError where error.code == .notFound {
        } catch {
            context.log.error(
                "the container of a task cannot be removed", ["service": service.name, "task": id, "error": "\(error)"])
            wake(at: SystemClock.monotonicNanoseconds() + 1_000_000_000)
            return
        }
        do {
            try await context.store.remove("task", id)
            tasks[id] = nil
            started.remove(id)
        } catch {
            context.log.error("cannot forget a task", ["service": service.name, "task": id, "error": "\(error)"])
        }
    }

    /// Of each slot so many ended tasks are kept, for `service ps` and `service logs`.
    func forgetHistory() async {
        let limit = await cluster.historyLimit
        let ended = tasks.values.filter { !$0.state.isActive && $0.desired == .shutdown }
        for (_, past) in Dictionary(grouping: ended, by: { $0.slot == 0 ? $0.nodeID : "\($0.slot)" }) {
            let excess = past.sorted { $0.created > $1.created }.dropFirst(max(0, limit))
            for task in excess { await want(task.id, .remove) }
        }
    }
}
