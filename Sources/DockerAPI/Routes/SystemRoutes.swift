import Base
import Engine
import Images
import Kernel
import Services

/// System: ping, version, info, events, disk usage, and registry log-in.
struct SystemRoutes {
    let engine: Engine
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.get("/_ping") { _ in await ping(body: true) }
        router.head("/_ping") { _ in await ping(body: false) }
        router.get("/version") { _ in .json(version()) }
        router.get("/info") { _ in .json(try await info()) }
        router.get("/events") { try await events($0) }
        router.get("/system/df") { try await diskUsage($0) }
        router.post("/auth") { request in
            let body = try await request.body.json()
            let credentials = RegistryCredentials(json: body)
            let token = try await engine.images.authenticate(credentials)
            return .json(["Status": "Login Succeeded", "IdentityToken": JSON(token)])
        }
    }

    private func ping(body: Bool) async -> Response {
        let swarm = await cluster.isActive ? "active/manager" : "inactive"
        let headers = [
            (name: "Cache-Control", value: "no-cache, no-store, must-revalidate"), (name: "Pragma", value: "no-cache"),
            (name: "Builder-Version", value: "1"), (name: "Swarm", value: swarm),
            (name: "Content-Type", value: "text/plain; charset=utf-8"),
        ]
        return Response(headers: headers, body: body ? .bytes(Array("OK".utf8)) : .none)
    }

    private func version() -> JSON {
        let details: JSON = [
            "ApiVersion": JSON("\(APIVersion.current)"), "Arch": JSON(architecture),
            "KernelVersion": JSON(HostFacts.kernelVersion),
            "MinAPIVersion": JSON("\(APIVersion.oldest)"), "Os": "linux",
        ]
        return [
            "Platform": ["Name": "Skala"],
            "Components": [["Name": "Engine", "Version": JSON(engine.configuration.version), "Details": details]],
            "Version": JSON(engine.configuration.version), "ApiVersion": details["ApiVersion"],
            "MinAPIVersion": details["MinAPIVersion"], "GitCommit": "", "GoVersion": "none: written in Swift",
            "Os": "linux", "Arch": details["Arch"], "KernelVersion": details["KernelVersion"], "BuildTime": "",
        ]
    }

    private var architecture: String {
        switch HostFacts.architecture {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case let other: other
        }
    }

    private func info() async throws -> JSON {
        var counts: [ContainerState.Status: Int] = [:]
        let containers = await engine.containers.all()
        for container in containers { counts[await container.snapshot.state.status, default: 0] += 1 }
        let running = counts[.running, default: 0] + counts[.restarting, default: 0]
        let paused = counts[.paused, default: 0]
        var info: JSON = [
            "ID": JSON(engine.id), "Containers": JSON(containers.count), "ContainersRunning": JSON(running),
            "ContainersPaused": JSON(paused), "ContainersStopped": JSON(containers.count - running - paused),
            "Images": JSON(await engine.images.list().count), "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "overlayfs mounted in each container"]],
            "Plugins": [
                "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": .null,
                "Log": ["json-file", "local", "none"],
            ],
        ]
        for key in ["MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit"] {
            info[key] = true
        }
        for key in ["IPv4Forwarding", "OomKillDisable"] { info[key] = JSON(key == "IPv4Forwarding") }
        info["Debug"] = JSON(engine.log.level == .debug)
        info["NEventsListener"] = 0
        info["SystemTime"] = JSON(SystemClock.now().text)
        info["LoggingDriver"] = "json-file"
        info["CgroupDriver"] = "cgroupfs"
        info["CgroupVersion"] = JSON(HostFacts.limitsOnCgroupV1 ? "1" : "2")
        info["KernelVersion"] = JSON(HostFacts.kernelVersion)
        info["OperatingSystem"] = JSON(HostFacts.operatingSystem)
        info["OSVersion"] = ""
        info["OSType"] = "linux"
        info["Architecture"] = JSON(HostFacts.architecture)
        info["IndexServerAddress"] = "https://index.docker.io/v1/"
        info["RegistryConfig"] = [
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"], "IndexConfigs": [:],
            "Mirrors": JSON(engine.configuration.registryMirrors),
        ]
        info["NCPU"] = JSON(HostFacts.onlineCPUs)
        info["MemTotal"] = JSON(HostFacts.memoryBytes)
        info["DockerRootDir"] = JSON(engine.configuration.dataRoot)
        info["Name"] = JSON(HostFacts.hostname)
        info["Labels"] = JSON(engine.configuration.labels)
        info["ExperimentalBuild"] = false
        info["ServerVersion"] = JSON(engine.configuration.version)
        info["Runtimes"] = .object(
            JSONObject(
                Isolation.allCases.map { ($0.rawValue, ["path": JSON(engine.configuration.wardenPath)]) }))
        info["DefaultRuntime"] = "container"
        // Ours: nothing in Docker's document tells it.
        if let accelerator = await engine.accelerator() { info["Accelerator"] = JSON(accelerator) }
        info["Swarm"] = await cluster.info
        info["LiveRestoreEnabled"] = true
        info["InitBinary"] = "skala-init"
        info["SecurityOptions"] = ["name=seccomp,profile=builtin", "name=cgroupns"]
        info["Warnings"] = []
        return info
    }

    // MARK: events

    private func events(_ request: Request) async throws -> Response {
        let allowed: Set = [
            "type", "event", "container", "image", "network", "volume", "label", "daemon", "scope", "id", "plugin",
            "service", "node", "secret", "config",
        ]
        let filters = try Filters(request, allowed: allowed)
        let since = try request.query.first("since").flatMap { $0.isEmpty ? nil : try Timestamp(parsing: $0) }
        let until = try request.query.first("until").flatMap { $0.isEmpty ? nil : try Timestamp(parsing: $0) }
        let (past, stream) = engine.events.listen()
        return .stream(contentType: "application/json") { writer in
            func send(_ event: Event) async throws {
                guard matches(event, filters), until.map({ event.time <= $0 }) ?? true else { return }
                try await writer.write(event.json.bytes + [0x0A])
            }
            if let since {
                for event in past where event.time >= since { try await send(event) }
            }
            let reading = Task { for await event in stream { try await send(event) } }
            writer.onClose { reading.cancel() }
            if let until {
                let left = max(0, until.nanoseconds(since: SystemClock.now()))
                try await Task.sleep(nanoseconds: UInt64(left))
                reading.cancel()
            }
            _ = await reading.result
        }
    }

    private func matches(_ event: Event, _ filters: Filters) -> Bool {
        func actor(_ type: String) -> Bool {
            guard filters.has(type) else { return true }
            let names = [event.actor, event.attributes["name"] ?? "", event.attributes[type] ?? ""]
            return filters.any(type) { value in
                names.contains { $0 == value } || (event.type == type && event.actor.hasPrefix(value))
            }
        }
        return filters.exact("type", event.type)
            && filters.any("event") { event.action == $0 || event.action.hasPrefix($0 + ":") }
            && filters.labels(event.attributes)
            && ["container", "image", "network", "volume", "service", "node", "secret", "config"].allSatisfy(actor)
    }

    // MARK: disk usage

    private func diskUsage(_ request: Request) async throws -> Response {
        let types = Set(request.query.all("type"))
        func wants(_ type: String) -> Bool { types.isEmpty || types.contains(type) }
        var json: JSON = [:]
        if wants("image") {
            var users: [String: Int] = [:]
            for container in await engine.containers.all() {
                users[await container.snapshot.imageID, default: 0] += 1
            }
            var images = try await ImageRoutes(engine: engine).summaries(Filters(), all: true)
            for index in images.indices {
                images[index]["Containers"] = JSON(users[images[index]["Id"].string ?? ""] ?? 0)
            }
            json["LayersSize"] = JSON(images.reduce(0) { $0 + ($1["Size"].int ?? 0) })
            json["Images"] = JSON(images)
        }
        if wants("container") {
            var containers: [JSON] = []
            for container in await engine.containers.all() {
                containers.append(try await container.summary(size: true))
            }
            json["Containers"] = JSON(containers)
        }
        if wants("volume") {
            var volumes: [JSON] = []
            for volume in await engine.volumes.list() {
                var document = volume.json
                document["UsageData"] = [
                    "RefCount": JSON(await engine.volumes.referenceCount(volume.name)),
                    "Size": JSON(try await engine.volumes.size(of: volume)),
                ]
                volumes.append(document)
            }
            json["Volumes"] = JSON(volumes)
        }
        if wants("build-cache") {
            let bytes = try await engine.builder.cacheBytes()
            json["BuildCache"] = bytes == 0 ? [] : [BuildRoutes.cacheDocument(bytes)]
        }
        return .json(json)
    }
}
