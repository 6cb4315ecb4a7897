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

    /// Runs `body` while the container's files, volumes included, can be reached: a warden holds a mount namespace with
    /// them, since a running container's own would show /proc, /sys and /dev, which are the kernel's.
    ///
    /// A stopped container's is held for all who use it at the same time, in a VM if need be; starts and removals wait.
    func reachingFiles<Value: Sendable>(_ body: (FileSite) async throws -> Value) async throws -> Value {
        if record.state.isAlive { return try await holdingRunning(body) }
        let site = try await lifecycle.withLock { record.state.isAlive ? nil : try await holdFiles() }
        guard let site else { return try await holdingRunning(body) }
        let result: Result<Value, any Error>
        do { result = .success(try await body(site)) } catch { result = .failure(error) }
        releaseFiles()
        return try result.get()
    }

    /// Runs `body` with a VM of the container's: the one it runs in, or one that only serves its files.
    func reachingMachine<Value: Sendable>(_ body: (VirtualMachine) async throws -> Value) async throws -> Value {
        if record.state.isAlive { return try await body(try runningMachine()) }
        return try await reachingFiles { site in
            guard case .machine(let machine, _) = site else { throw VirtualMachine.gone }
            return try await body(machine)
        }
    }

    private func runningMachine() throws(SkalaError) -> VirtualMachine {
        guard let machine else { throw VirtualMachine.gone }
        guard record.state.status != .paused || record.isolation == .pod else {
            throw SkalaError(
                .conflict, "container \(record.name) is paused, and its VM with it: unpause it to reach its files")
        }
        return machine
    }

    private func holdingRunning<Value: Sendable>(_ body: (FileSite) async throws -> Value) async throws -> Value {
        let machine = record.isolation == .container ? nil : try runningMachine()
        // Several may read a running container's files at once.
        let hold = Identifier.make()
        let warden: any Sandbox = machine ?? engine.warden
        let answer = try await warden.request(
            "hold", ["id": JSON(hold), "container": JSON(id), "mounts": machine == nil ? fileMounts : guestFileMounts])
        let result: Result<Value, any Error>
        do {
            let pid = Int32(clamping: answer["pid"].int ?? 0)
            result = .success(try await body(machine.map { .machine($0, hold: hold) } ?? .process(pid)))
        } catch { result = .failure(error) }
        // Fails only when the warden is gone, and the holder with it.
        _ = try? await warden.request("release", ["id": JSON(hold)])
        return try result.get()
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
        guard record.isolation == .container else { return .machine(try await startFilesMachine(), hold: id) }
        let image = try await engine.images.find(record.imageID)
        let rootfs: JSON = [
            "lower": JSON(await engine.images.layerPaths(of: image)), "upper": JSON(directory + "/upper"),
            "work": JSON(directory + "/work"),
        ]
        let answer = try await engine.warden.request(
            "hold", ["id": JSON(id), "rootfs": rootfs, "mounts": fileMounts])
        return .process(Int32(clamping: answer["pid"].int ?? 0))
    }

    /// Volumes, binds, and the files in /etc that are made for it, as mounts of the warden's operation `hold`.
    private var fileMounts: JSON { Container.fileMounts(record.mounts, etcFiles.map { (directory + "/" + $0, $0) }) }

    /// The same as the VM's warden finds them.
    var guestFileMounts: JSON { Container.fileMounts(guestMounts, etcFiles.map { (guestEtcFile($0), $0) }) }

    /// Those that are there: before its first start a container has none.
    var etcFiles: [String] {
        ["resolv.conf", "hostname", "hosts"].filter { access(directory + "/" + $0, F_OK) == 0 }
    }

    private static func fileMounts(
        _ mounts: [ContainerRecord.Mount], _ etcFiles: [(source: String, name: String)]
    ) -> JSON {
        let binds = mounts.filter { $0.type != "tmpfs" }.map { mount -> JSON in
            [
                "type": "bind", "source": JSON(mount.source), "destination": JSON(mount.destination),
                "options": ["rbind", "rprivate", mount.isReadOnly ? "ro" : "rw"],
            ]
        }
        let files = etcFiles.compactMap { file -> JSON? in
            let destination = "/etc/" + file.name
            guard !mounts.contains(where: { $0.destination == destination }) else { return nil }
            return [
                "type": "bind", "source": JSON(file.source), "destination": JSON(destination),
                "options": ["rbind", "rprivate"],
            ]
        }
        return JSON(binds + files)
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
        case .machine(let machine, _): await end(machine, keepsDisk: true)
        }
    }

    /// The daemon ends: a VM that only serves files would outlive it.
    func closeFilesMachine() async {
        guard case .machine(let machine, _) = heldFiles?.site else { return }
        heldFiles = nil
        await end(machine, keepsDisk: true)
    }
}
