import Base
import Glibc
import Images
import Kernel

extension Container {
    /// How long what was made to reach a stopped container's files stays after its last user, in nanoseconds: clients
    /// copy in several requests, and a VM takes a while to start.
    private var lingering: UInt64 { record.isolation == .container ? 0 : 1_000_000_000 }
    /// How long a start or a removal waits for copies that are under way.
    private static let usersDeadline: UInt64 = 60_000_000_000

    /// Runs `body` while the container's files can be reached: through its first process when it runs, else through a
    /// mount namespace, in a VM if need be, that is held for all who use them at the same time. Starts and removals wait.
    func reachingFiles<Value: Sendable>(_ body: (FileSite) async throws -> Value) async throws -> Value {
        if let site = try runningSite() { return try await body(site) }
        let (site, isHeld) = try await lifecycle.withLock { () -> (FileSite, Bool) in
            if let site = try runningSite() { return (site, false) }
            return (try await holdFiles(), true)
        }
        let result: Result<Value, any Error>
        do { result = .success(try await body(site)) } catch { result = .failure(error) }
        if isHeld { releaseFiles() }
        return try result.get()
    }

    /// nil unless it runs.
    private func runningSite() throws(SkalaError) -> FileSite? {
        guard record.state.isAlive else { return nil }
        guard record.isolation != .container else { return .process(record.state.pid) }
        guard let machine else { throw VirtualMachine.gone }
        guard record.state.status != .paused else {
            throw SkalaError(
                .conflict, "container \(record.name) is paused, and its VM with it: unpause it to reach its files")
        }
        return .machine(machine)
    }

    /// With `lifecycle` held.
    private func holdFiles() async throws -> FileSite {
        guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
        await exitCleanUp?.value
        if let held = heldFiles, held.users == 0, !held.site.isThere { await letGoOfFiles() }
        if heldFiles == nil { heldFiles = HeldFiles(site: try await makeSite()) }
        heldFiles?.ending?.cancel()
        heldFiles?.users += 1
        return heldFiles?.site ?? .process(0)
    }

    private func makeSite() async throws -> FileSite {
        guard record.isolation == .container else { return .machine(try await startFilesMachine()) }
        let image = try await engine.images.find(record.imageID)
        let rootfs: JSON = [
            "lower": JSON(await engine.images.layerPaths(of: image)), "upper": JSON(directory + "/upper"),
            "work": JSON(directory + "/work"),
        ]
        let answer = try await engine.warden.request(
            "hold", ["id": JSON(id), "rootfs": rootfs, "mounts": fileMounts(record.mounts)])
        return .process(Int32(clamping: answer["pid"].int ?? 0))
    }

    /// The volumes and binds as mounts of the warden's operation `hold`.
    func fileMounts(_ mounts: [ContainerRecord.Mount]) -> JSON {
        JSON(
            mounts.filter { $0.type != "tmpfs" }.map { mount -> JSON in
                [
                    "type": "bind", "source": JSON(mount.source), "destination": JSON(mount.destination),
                    "options": ["rbind", "rprivate"],
                ]
            })
    }

    private func releaseFiles() {
        heldFiles?.users -= 1
        guard heldFiles?.users == 0 else { return }
        heldFiles?.unused?.fulfil(true)
        let delay = lingering
        heldFiles?.ending = Task {
            try? await Task.sleep(nanoseconds: delay)  // cancelled: looked at on the next line
            guard !Task.isCancelled else { return }
            await lifecycle.withLock {
                if heldFiles?.users == 0 { await letGoOfFiles() }
            }
        }
    }

    /// Waits until nobody uses the stopped container's files, and takes down what held them. With `lifecycle` held, so that
    /// no new user comes.
    ///
    /// - Throws: `.conflict` when a user does not come to an end.
    func closeFiles() async throws {
        guard let held = heldFiles else { return }
        if held.users > 0 {
            let unused = Promise<Bool>()
            heldFiles?.unused = unused
            let timer = Task {
                try await Task.sleep(nanoseconds: Container.usersDeadline)
                unused.fulfil(false)
            }
            defer { timer.cancel() }
            guard await unused.value else {
                throw SkalaError(.conflict, "the files of container \(record.name) are in use by a copy")
            }
        }
        await letGoOfFiles()
    }

    private func letGoOfFiles() async {
        guard let held = heldFiles else { return }
        held.ending?.cancel()
        heldFiles = nil
        switch held.site {
        // Fails only when the warden is gone, and the holder with it.
        case .process: _ = try? await engine.warden.request("release", ["id": JSON(id)])
        case .machine(let machine): await end(machine, keepsDisk: true)
        }
    }

    /// The daemon ends: a VM that only serves files would outlive it.
    func closeFilesMachine() async {
        guard case .machine(let machine) = heldFiles?.site else { return }
        heldFiles = nil
        await end(machine, keepsDisk: true)
    }
}
