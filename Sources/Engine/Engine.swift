public import Base
import Glibc
public import Images
public import Kernel
public import Networks
import OCI
public import Store

/// What containers need of the engine: the stores, the networks, and the connection to the host's warden.
final class EngineContext: Sendable {
    let configuration: EngineConfiguration
    let images: ImageStore
    let networks: NetworkManager
    let volumes: Volumes
    let events: EventBus
    let threads: WorkerThreads
    let log: Log
    let store: Store
    let warden: WardenSupervisor
    let builder: ImageBuilder
    let machines: VirtualMachines

    init(configuration: EngineConfiguration, log: Log) async throws {
        self.configuration = configuration
        self.log = log
        events = EventBus()
        threads = WorkerThreads(limit: 16)
        store = try await Store(path: configuration.storePath)
        images = try await ImageStore(
            root: configuration.dataRoot + "/images", mirrors: configuration.registryMirrors)
        builder = try ImageBuilder(root: configuration.dataRoot + "/build", images: images)
        networks = try await NetworkManager(
            runDirectory: configuration.runRoot,
            options: NetworkOptions(bridge: configuration.bridge, subnet: configuration.subnet))
        volumes = try await Volumes(
            root: configuration.dataRoot + "/volumes", store: store, events: events, threads: threads)
        warden = WardenSupervisor(configuration: configuration, log: log)
        machines = VirtualMachines(
            configuration: configuration, warden: warden, events: events, threads: threads, log: log)
    }
}

/// The engine: owns what there is (containers, images, networks, volumes), and its one connection to the host's warden.
public final class Engine: Sendable {
    public let id: String
    public let containers: Containers
    public let started = SystemClock.now()
    let context: EngineContext
    let usageReader = UsageReader()

    public var configuration: EngineConfiguration { context.configuration }
    public var images: ImageStore { context.images }
    public var networks: NetworkManager { context.networks }
    public var volumes: Volumes { context.volumes }
    public var events: EventBus { context.events }
    /// Those are part of the containers.
    public var pods: Pods { get async { await containers.pods } }
    public var store: Store { context.store }
    public var builder: ImageBuilder { context.builder }
    /// For calls that block.
    public var threads: WorkerThreads { context.threads }
    public var log: Log { context.log }

    /// Opens the stores. On the host nothing is changed before `start`.
    ///
    /// - Throws: `SkalaError` naming what is missing or broken.
    public convenience init(configuration: EngineConfiguration, log: Log) async throws {
        for kind in ["containers", "pods"] {
            try FileContents.makeDirectories(configuration.dataRoot + "/" + kind, mode: 0o711)
        }
        try FileContents.makeDirectories(configuration.runRoot, mode: 0o711)
        let context = try await EngineContext(configuration: configuration, log: log)
        self.init(context: context, id: try await Engine.identity(context.store))
    }

    /// Now, and whenever an image goes.
    private func removeRootImagesWithTheirImages() {
        let context = context
        Task {
            let stream = context.events.listen().stream
            func sweep() async {
                do {
                    try await context.machines.removeRootImages(except: await context.images.list())
                } catch { context.log.error("cannot remove the root images of VMs", ["error": "\(error)"]) }
            }
            await sweep()
            for await event in stream where event.type == "image" && event.action == "delete" { await sweep() }
        }
    }

    /// An engine that has not looked yet at what runs.
    init(context: EngineContext, id: String) {
        self.context = context
        self.id = id
        containers = Containers(engine: context)
    }

    /// Starts or finds the warden, and takes over what runs.
    ///
    /// - Throws: `SkalaError` naming what is missing or broken.
    public func start() async throws {
        try await restore()
        removeRootImagesWithTheirImages()
        Task { [containers] in await containers.watchRoom() }
        if configuration.preparesMachines { Task { await context.machines.prepare() } }
    }

    private static func identity(_ store: Store) async throws -> String {
        if let id = try await store.get("engine", "id")?["id"].string { return id }
        let id = Identifier.make()
        try await store.put("engine", "id", ["id": JSON(id)])
        return id
    }

    /// Stops listening to the warden. Containers go on.
    public func close() async {
        await context.machines.close()
        for container in await containers.all() { await container.closeFilesMachine() }
        context.warden.close()
        do {
            try await context.store.close()
        } catch { log.error("cannot close the store", ["error": "\(error)"]) }
    }
}
