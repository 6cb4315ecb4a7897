import Base
import Client
import Kernel

/// Brings a project to where its file says: images, networks, secrets and configs first, then the services, each behind what
/// it depends on.
struct ComposeRollout {
    private let project: ComposeProject
    private let call: Invocation
    private var client: EngineClient { call.client }
    private let deadline: Int64

    init(_ project: ComposeProject, _ call: Invocation) {
        self.project = project
        self.call = call
        // What is no number is told by `run`.
        let seconds = call.arguments["timeout"].flatMap(Double.init) ?? 300
        deadline = SystemClock.monotonicNanoseconds() + Int64(max(0, min(seconds, 1e6)) * 1e9)
    }

    private var secondsLeft: Double { max(0, Double(deadline - SystemClock.monotonicNanoseconds()) / 1e9) }

    mutating func run() throws -> Int32 {
        if let text = call.arguments["timeout"], Double(text) == nil {
            throw call.arguments.invalid("timeout", text, "expected seconds")
        }
        let services = try chosen()
        for warning in services.flatMap(\.warnings) { StandardStreams.error("skala: warning: \(warning)\n") }
        try makeSwarm()
        for service in services { try makeImage(of: service) }
        for network in project.networks { try make(network, "/networks", "/networks/create") }
        for volume in project.volumes where !volume.isExternal {
            try client.json(.post("/volumes/create", volume.body))
        }
        var files: [String: String] = [:]
        for resource in project.secrets + project.configs {
            files["\(resource.kind) \(resource.name)"] = try make(
                resource, "/\(resource.kind.rawValue)", "/\(resource.kind.rawValue)/create")
        }
        var started: [String] = []
        let known = try ComposeCommands.services(of: project.name, client)
        for service in services {
            for dependency in service.dependencies where services.contains(where: { $0.key == dependency.service }) {
                try wait(for: dependency)
            }
            try put(service, known, files)
            started.append(service.name)
        }
        try removeOrphans(known)
        if !call.arguments.flag("detach") {
            var convergence = ServiceConvergence(started, client)
            try convergence.wait(seconds: secondsLeft)
        }
        return 0
    }

    /// The services that are named, and what they depend on; all when none is.
    private func chosen() throws -> [ComposeService] {
        let names = call.arguments.positional
        guard !names.isEmpty else { return project.services }
        var wanted = Set(names)
        for name in names where !project.services.contains(where: { $0.key == name }) {
            throw SkalaError(.notFound, "there is no service '\(name)' in the file")
        }
        for service in project.services.reversed() where wanted.contains(service.key) {
            wanted.formUnion(service.dependencies.map(\.service))
        }
        return project.services.filter { wanted.contains($0.key) }
    }

    private func makeSwarm() throws {
        guard try client.json(.get("/info"))["Swarm"]["LocalNodeState"].string != "active" else { return }
        try client.json(.post("/swarm/init", ["ListenAddr": "0.0.0.0:2377"]))
        StandardStreams.error("this engine runs services from now on (docker swarm leave --force ends that)\n")
    }

    // MARK: images

    private func makeImage(of service: ComposeService) throws {
        if let build = service.build {
            if call.arguments.flag("build") || service.pullPolicy == "build" || !hasImage(service.image) {
                StandardStreams.error("building \(service.image)\n")
                try ImageBuild.build(
                    context: build.context, dockerfile: build.dockerfile, arguments: build.arguments,
                    target: build.target,
                    tag: service.image, call.client)
            }
            return
        }
        switch call.arguments["pull"] ?? service.pullPolicy {
        case "always": try pull(service.image)
        case "never": break
        default: if !hasImage(service.image) { try pull(service.image) }
        }
    }

    private func hasImage(_ name: String) -> Bool {
        // Whatever is wrong with it, the service's creation says.
        (try? client.json(.get(API.image(name, "/json")))) != nil
    }

    private func pull(_ image: String) throws {
        StandardStreams.error("pulling \(image)\n")
        try ImagePull.pull(image, platform: nil, client: client, display: ProgressDisplay(descriptor: 2))
    }

    // MARK: networks, secrets, configs

    /// Makes what is not there.
    ///
    /// - Returns: its id.
    @discardableResult
    private func make(_ resource: ComposeResource, _ list: String, _ create: String) throws -> String {
        let all = try client.json(.get(list, query: try API.filters(["name=\(resource.name)"]))).array ?? []
        if let found = all.first(where: { $0["Name"].string ?? $0["Spec"]["Name"].string == resource.name }) {
            return found["Id"].string ?? found["ID"].plain
        }
        guard !resource.isExternal else {
            throw SkalaError(
                .notFound, "the \(resource.kind.rawValue.dropLast()) \(resource.name) is external, and not there")
        }
        let made = try client.json(.post(create, resource.body))
        StandardStreams.error("\(resource.kind.rawValue.dropLast()) \(resource.name): made\n")
        return made["Id"].string ?? made["ID"].plain
    }

    // MARK: services

    private func put(_ service: ComposeService, _ known: [JSON], _ files: [String: String]) throws {
        var spec = service.spec
        for (kind, field) in [("secrets", "Secret"), ("configs", "Config")] {
            guard let references = spec["TaskTemplate"]["ContainerSpec"][field + "s"].array else { continue }
            spec["TaskTemplate"]["ContainerSpec"][field + "s"] = JSON(
                references.map { reference -> JSON in
                    var reference = reference
                    reference[field + "ID"] = JSON(files["\(kind) \(reference[field + "Name"].plain)"] ?? "")
                    return reference
                })
        }
        do {
            guard var existing = known.first(where: { $0["Spec"]["Name"].string == service.name }) else {
                try client.json(.post("/services/create", spec))
                return
            }
            // An autoscaled service keeps the number it has; what was forced to be new stays so.
            if !spec["Labels"]["skala.autoscale.max"].isNull { spec["Mode"] = existing["Spec"]["Mode"] }
            spec["TaskTemplate"]["ForceUpdate"] = existing["Spec"]["TaskTemplate"]["ForceUpdate"]
            existing["Spec"] = spec
            try ComposeCommands.update(existing, client)
        } catch let error as SkalaError { throw error.within("service \(service.key)") }
    }

    private func wait(for dependency: ComposeService.Dependency) throws {
        let name = "\(project.name)_\(dependency.service)"
        guard dependency.condition == .completed else {
            // A task runs when its health check says so, if it has one.
            var convergence = ServiceConvergence([name], client)
            return try convergence.wait(seconds: secondsLeft)
        }
        while true {
            let tasks = try client.json(.get("/tasks", query: try API.filters(["service=\(name)"]))).array ?? []
            let states = tasks.map { $0["Status"]["State"].plain }
            if states.contains("complete") { return }
            if let failed = tasks.first(where: { $0["Status"]["State"] == "failed" }), !states.contains("running") {
                throw SkalaError(
                    .system,
                    "service \(dependency.service) has not completed: \(failed["Status"]["Err"].string ?? "it failed")")
            }
            guard secondsLeft > 0 else {
                throw SkalaError(.timedOut, "service \(dependency.service) does not complete")
            }
            Sleep.milliseconds(200)
        }
    }

    private func removeOrphans(_ known: [JSON]) throws {
        let names = Set(project.services.map(\.name))
        for service in known where !names.contains(service["Spec"]["Name"].plain) {
            let name = service["Spec"]["Name"].plain
            guard call.arguments.flag("remove-orphans") else {
                StandardStreams.error("skala: warning: \(name) is not in the file; --remove-orphans removes it\n")
                continue
            }
            try client.json(.delete("/services/\(service["ID"].plain)"))
            StandardStreams.error("service \(name): removed\n")
        }
    }
}
