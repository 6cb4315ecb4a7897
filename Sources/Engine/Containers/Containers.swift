public import Base
import Images
import Kernel
import Networks

/// All containers, by id and by name.
public actor Containers {
    let engine: EngineContext
    private var byID: [String: Container] = [:]
    private var byName: [String: String] = [:]
    private var execs: [String: String] = [:]
    /// The container in each VM.
    private var machines: [String: String] = [:]
    var cores: CoreAllocator
    /// Whether VMs are asked soon whether they stand still: one did, or could not be asked.
    var asksMachinesSoon = false
    lazy var pods = Pods(engine: engine, containers: self)

    init(engine: EngineContext) {
        self.engine = engine
        cores = CoreAllocator(online: (try? CPUSet(parsing: HostFacts.onlineCPUList)) ?? CPUSet(0..<1))
    }

    // MARK: look-up

    /// By name, full id, or the start of an id.
    ///
    /// - Throws: `.notFound`, or `.invalid` when several ids start so.
    public func find(_ reference: String) throws -> Container {
        let name = reference.hasPrefix("/") ? String(reference.dropFirst()) : reference
        if let container = byID[name] ?? byName[name].flatMap({ byID[$0] }) { return container }
        let matches = name.isEmpty ? [] : byID.filter { $0.key.hasPrefix(name) }
        if matches.count > 1 { throw SkalaError(.invalid, "Multiple IDs found with provided prefix: \(name)") }
        guard let match = matches.first else { throw SkalaError(.notFound, "No such container: \(reference)") }
        return match.value
    }

    public func all() -> [Container] { Array(byID.values) }
    func isNameTaken(_ name: String) -> Bool { byName[name] != nil }
    func existing(_ id: String) -> Container? { byID[id] }
    func noteMachine(_ machine: String, of container: String) { machines[machine] = container }

    func askMachinesSoon() { asksMachinesSoon = true }

    func forgetMachine(_ machine: String) { machines[machine] = nil }

    func machineOwner(_ machine: String) -> String? { machines[machine] }

    public var count: Int { byID.count }

    /// - Throws: `.notFound`.
    public func find(exec id: String) async throws -> (Container, ExecSession) {
        guard let container = execs[id].flatMap({ byID[$0] }) else {
            throw SkalaError(.notFound, "No such exec instance: \(id)")
        }
        return (container, try await container.exec(id))
    }

    func register(exec: String, of container: String) { execs[exec] = container }
    func forget(execs ids: [String]) { for id in ids { execs[id] = nil } }

    func adopt(_ container: Container, name: String) {
        byID[container.id] = container
        byName[name] = container.id
    }

    func forget(_ id: String) {
        byID[id] = nil
        byName = byName.filter { $0.value != id }
        execs = execs.filter { $0.value != id }
    }

    // MARK: create

    /// Makes a container from the API's create request.
    ///
    /// - Parameter name: empty picks one.
    /// - Throws: `.conflict` when the name is in use; `.notFound` with Docker's text when the image is missing.
    public func create(name: String, body: JSON) async throws -> (id: String, warnings: [String]) {
        let imageName = body["Image"].string ?? ""
        guard !imageName.isEmpty else { throw SkalaError(.invalid, "invalid reference format") }
        let image = try await engine.images.find(imageName)
        let id = Identifier.make()
        let name = try reserve(name: name, for: id)
        var podID: String?
        do {
            var record = try ContainerCreation(body: body, image: image, id: id).record(
                name: name, imageName: imageName)
            if record.isolation == .pod {
                try await joinPod(&record, body)
                podID = record.podID
            }
            try await prepareFolders(id)
            record.mounts = try await resolveMounts(of: record)
            let container = Container(record: record, engine: engine, containers: self)
            if record.isolation == .machine { try await container.makeDisk() }
            try await container.persist()
            await engine.images.retain(image: image.id, holder: id)
            byID[id] = container
            await container.publish("create")
            var warnings = warnings(record)
            if record.isolation == .microvm, await !engine.machines.hasTemplate(await container.machineShape) {
                warnings.append(
                    "The first virtual machine of a size takes some seconds longer: its template is made when it starts"
                )
            }
            return (id, warnings)
        } catch {
            byName[name] = nil
            await discard(id)
            if let podID { await pods.forget(id, of: podID) }
            throw error
        }
    }

    /// Checks a create request without making anything.
    ///
    /// - Throws: as `create`; nothing about the image when that is not here yet.
    public func check(_ body: JSON) async throws {
        // Not here yet: it is pulled when a container is made.
        guard let image = try? await engine.images.find(body["Image"].string ?? "") else { return }
        _ = try ContainerCreation(body: body, image: image, id: Identifier.make()).record(name: "", imageName: "")
        _ = try MountParser(host: body["HostConfig"], config: body)
    }

    func reserve(name: String, for id: String) throws -> String {
        var name = name.hasPrefix("/") ? String(name.dropFirst()) : name
        if name.isEmpty {
            repeat { name = RandomName.make() } while byName[name] != nil
        }
        let isValid =
            name.count >= 2 && (name.first.map { $0.isASCII && ($0.isLetter || $0.isNumber) } ?? false)
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
        guard isValid else {
            throw SkalaError(
                .invalid, "Invalid container name (\(name)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        }
        if let other = byName[name] {
            throw SkalaError(
                .conflict,
                "Conflict. The container name \"/\(name)\" is already in use by container \"\(other)\". "
                    + "You have to remove (or rename) that container to be able to reuse that name.")
        }
        byName[name] = id
        return name
    }

    private func warnings(_ record: ContainerRecord) -> [String] {
        let published = !(record.hostConfig["PortBindings"].object?.isEmpty ?? true)
        if published, record.hostConfig["NetworkMode"] == "host" {
            return ["Published ports are discarded when using host network mode"]
        }
        return []
    }

    /// - Throws: `.conflict` when the name is in use.
    public func rename(_ reference: String, to name: String) async throws {
        let container = try find(reference)
        guard !name.isEmpty else { throw SkalaError(.invalid, "Neither old nor new names may be empty") }
        let old = await container.snapshot.name
        let reserved = try reserve(name: name, for: container.id)
        byName[old] = nil
        try await container.rename(to: reserved)
    }
}
