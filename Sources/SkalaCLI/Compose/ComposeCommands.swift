import Base
import Client
import Kernel

/// `skala up`, `down`, `scale`, and what `ps` and `logs` show of a project.
enum ComposeCommands {
    static let location: [Option] = [
        .list(
            "file", short: "f", "FILE", "The Compose file; several are merged (default compose.yaml, here or above)",
            .files),
        .value("project", short: "p", "NAME", "The project's name (default the file's, or its folder's)"),
        .list("profile", "NAME", "Services of this profile, too"),
    ]

    static let up = Command(
        "up", "Make a Compose file's services run as it says, and wait until they do", "[OPTIONS] [SERVICE...]",
        Command.atLeast(0),
        options: location + [
            .flag("detach", short: "d", "Do not wait until the services run"),
            .flag("build", "Build images although they are there"),
            .value(
                "pull", "WHEN", "always, missing or never (default what the file says)",
                .words(["always", "missing", "never"])),
            .flag("remove-orphans", "Remove the project's services that are not in the file"),
            .value("timeout", "SECONDS", "How long the services may take (default 300)"),
        ],
        examples: ["skala up", "skala up -f shop.yaml -p shop --remove-orphans", "skala up -d web"]
    ) { call in
        var rollout = ComposeRollout(try project(call), call)
        return try rollout.run()
    }

    static let down = Command(
        "down", "Remove a project's services, networks, secrets and configs", "[OPTIONS]", 0...0,
        options: location + [.flag("volumes", short: "v", "Remove its volumes, too")],
        examples: ["skala down", "skala down -p shop --volumes"]
    ) { call in
        let name = try projectName(call)
        let services = try ComposeCommands.services(of: name, call.client)
        for service in services {
            try call.client.json(.delete("/services/\(service["ID"].plain)"))
            StandardStreams.error("service \(service["Spec"]["Name"].plain): removed\n")
        }
        try waitForTheEnd(of: services, call.client)
        var kinds = ["networks", "secrets", "configs"]
        if call.arguments.flag("volumes") { kinds.append("volumes") }
        var removed = services.count
        for kind in kinds {
            for resource in try resources(kind, of: name, call.client) {
                let id = resource["Id"].string ?? resource["ID"].string ?? resource["Name"].plain
                try call.client.json(.delete("/\(kind)/\(PercentEncoding.encode(id))"))
                StandardStreams.error(
                    "\(kind.dropLast()) \((resource["Name"].string ?? resource["Spec"]["Name"].plain)): removed\n")
                removed += 1
            }
        }
        if removed == 0 { StandardStreams.error("there is nothing of the project \(name)\n") }
        return 0
    }

    static let scale = Command(
        "scale", "Change how many tasks services have, and wait until they run", "[OPTIONS] SERVICE=NUMBER...",
        Command.atLeast(1), options: location + [.flag("detach", short: "d", "Do not wait until they run")],
        examples: ["skala scale web=5", "skala scale -p shop web=0 worker=2"]
    ) { call in
        let all = try call.client.json(.get("/services")).array ?? []
        var project: String?
        var changed: [JSON] = []
        for argument in call.arguments.positional {
            let (key, text) = KeyValue.split(argument)
            guard let count = Int(text), count >= 0, count <= 100_000 else {
                throw SkalaError(.invalid, "SERVICE=NUMBER is expected, not '\(argument)'")
            }
            var found = all.first { $0["Spec"]["Name"].string == key }
            if found == nil || call.arguments.has("project") || call.arguments.has("file") {
                let name = try project ?? projectName(call)
                project = name
                found = all.first { $0["Spec"]["Name"].string == "\(name)_\(key)" } ?? found
            }
            guard var service = found else { throw SkalaError(.notFound, "no such service: \(key)") }
            guard !service["Spec"]["Mode"]["Replicated"].isNull else {
                throw SkalaError(.invalid, "\(key) is not a replicated service: it cannot be scaled")
            }
            service["Spec"]["Mode"]["Replicated"]["Replicas"] = JSON(count)
            try update(service, call.client)
            changed.append(service)
        }
        guard !call.arguments.flag("detach") else { return 0 }
        var convergence = ServiceConvergence(changed.map { $0["Spec"]["Name"].plain }, call.client)
        try convergence.wait(seconds: 300)
        return 0
    }

    // MARK: what several need

    static func project(_ call: Invocation) throws -> ComposeProject {
        let file = try ComposeFile(
            files: call.arguments.list("file"), directory: try API.workingDirectory(), environment: Environment.value)
        var profiles = Set(call.arguments.list("profile"))
        profiles.formUnion((Environment.value("COMPOSE_PROFILES") ?? "").split(separator: ",").map(String.init))
        return try ComposeProject(
            file, name: call.arguments["project"] ?? Environment.value("COMPOSE_PROJECT_NAME"), profiles: profiles)
    }

    /// Needs no file when it is given.
    static func projectName(_ call: Invocation) throws -> String { try call.arguments["project"] ?? project(call).name }

    static func services(of project: String, _ client: EngineClient) throws -> [JSON] {
        let query = try API.filters(["label=\(ComposeProject.label)=\(project)"])
        return try client.json(.get("/services", query: query)).array ?? []
    }

    private static func resources(_ kind: String, of project: String, _ client: EngineClient) throws -> [JSON] {
        let answer = try client.json(
            .get("/\(kind)", query: try API.filters(["label=\(ComposeProject.label)=\(project)"])))
        return (kind == "volumes" ? answer["Volumes"] : answer).array ?? []
    }

    /// Writes a service's specification, as it was read and changed.
    static func update(_ service: JSON, _ client: EngineClient) throws {
        try client.json(
            .post(
                "/services/\(service["ID"].plain)/update",
                query: [("version", "\(service["Version"]["Index"].int ?? 0)")], service["Spec"]))
    }

    /// Networks and secrets can go when no container has them any more.
    private static func waitForTheEnd(of services: [JSON], _ client: EngineClient) throws {
        let deadline = SystemClock.monotonicNanoseconds() + 120_000_000_000
        for service in services {
            let query = try API.filters(["label=com.docker.swarm.service.id=\(service["ID"].plain)"]) + [("all", "1")]
            while try client.json(.get("/containers/json", query: query)).array?.isEmpty == false {
                guard SystemClock.monotonicNanoseconds() < deadline else {
                    throw SkalaError(.timedOut, "the tasks of \(service["Spec"]["Name"].plain) do not end")
                }
                Sleep.milliseconds(50)
            }
        }
    }
}
