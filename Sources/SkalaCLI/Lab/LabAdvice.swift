import Base
import Client
import Glibc
import Lab
import Planning

/// `skala lab advise` and `skala advise`: which isolation and allocation to choose here.
enum LabAdvice {
    private static let needs: [Option] = [
        .value("start", "WISH", "'fast': what starts soon", .words(["fast"])),
        .value("density", "WISH", "'high': as many as possible", .words(["high"])), .format,
    ]
    private static let trust = Option.value(
        "trust", "WHOM", "How far its programs are trusted", .words(Trust.allCases.map(\.rawValue)))
    private static let profile = Option.value(
        "profile", "RESOURCE", "What it lives on", .words(Resource.allCases.map(\.rawValue)))

    /// `skala lab advise`
    static let general = Command(
        "advise", "Recommend an isolation and an allocation by what was measured here",
        "--trust WHOM --profile RESOURCE",
        0...0, options: [trust, profile] + needs,
        examples: [
            "skala lab advise --trust none --profile disk",
            "skala lab advise --trust full --profile cpu --density high",
        ]
    ) { call in
        guard let trust = try call.arguments.words("trust", Trust.self).last,
            let profile = try call.arguments.words("profile", Resource.self).last
        else { throw SkalaError(.invalid, "--trust and --profile are needed; see 'skala lab advise --help'") }
        return try answer(try request(call, trust, profile), call)
    }

    /// `skala advise`
    static let ofService = Command(
        "advise", "Recommend an isolation and an allocation for a service", "[OPTIONS] SERVICE", 1...1,
        options: [trust, profile] + needs,
        examples: ["skala advise web", "skala advise web --trust none --profile disk"]
    ) { call in
        let path = ServiceCommands.path(call.arguments.positional[0])
        let service = try ServiceSpec(json: try call.client.json(.get(path))["Spec"])
        // With no word on it a service is trusted as whatever else runs here; one with a tenant, by that.
        let trust =
            try call.arguments.words("trust", Trust.self).last ?? service.trust
            ?? (service.task.tenant == nil ? .full : .tenant)
        guard let profile = try call.arguments.words("profile", Resource.self).last ?? service.profile else {
            throw SkalaError(
                .invalid,
                "what does \(service.name) live on? Say --profile \(Resource.allCases.map(\.rawValue).joined(separator: "|")), or label it: "
                    + "docker service update --label-add \(ServiceSpec.Label.profile)=RESOURCE \(service.name)")
        }
        var request = try request(call, trust, profile)
        request.service = .init(
            name: service.name, image: service.task.image, isolation: service.task.isolation,
            allocation: service.task.allocation ?? "shared",
            use: try use(of: service, call.client))
        return try answer(request, call)
    }

    /// The share of their cores that its tasks use, as a mean over a second; nil when none runs.
    private static func use(of service: ServiceSpec, _ client: EngineClient) throws -> Double? {
        let filters: JSON = ["service": [JSON(service.name)], "desired-state": ["running"]]
        let tasks = try client.json(.get("/tasks", query: [("filters", filters.text)])).array ?? []
        let containers = tasks.filter { $0["Status"]["State"] == "running" }
            .compactMap { $0["Status"]["ContainerStatus"]["ContainerID"].string }
        guard !containers.isEmpty else { return nil }
        var reader = StatsReader(client: client)
        _ = try reader.read(containers, named: false)
        usleep(1_000_000)
        let samples = try reader.read(containers, named: false)
        guard !samples.isEmpty else { return nil }
        let resources = service.task.resources
        let cores = max(resources.limits.nanoCPUs, resources.reservations.nanoCPUs)
        // Dedicated cores are whole ones.
        let whole = max(1, (Double(cores) / 1e9).rounded(.up))
        return min(1, samples.reduce(0) { $0 + $1.cpu } / 100 / Double(samples.count) / whole)
    }

    private static func request(_ call: Invocation, _ trust: Trust, _ profile: Resource) throws -> AdviceRequest {
        for (option, wish) in [("start", "fast"), ("density", "high")] {
            if let text = call.arguments[option], text != wish {
                throw call.arguments.invalid(option, text, "expected \(wish)")
            }
        }
        return AdviceRequest(
            trust: trust, profile: profile, startsFast: call.arguments["start"] != nil,
            isDense: call.arguments["density"] != nil)
    }

    private static func answer(_ request: AdviceRequest, _ call: Invocation) throws -> Int32 {
        let advice = Advisor.advise(request, try HostProfile.stored(call.client))
        if call.arguments.has("format") {
            try call.output.documents([advice.json], format: call.arguments["format"])
            return 0
        }
        var head = ""
        if let service = request.service {
            head = "\(service.name) (\(service.image)), now \(service.isolation), \(service.allocation); "
            head += service.use.map { "it uses \(Decimal.text($0 * 100, 0)) % of its cores; " } ?? ""
            head += "trust \(request.trust.rawValue), lives on \(request.profile.rawValue)\n\n"
        }
        try call.output.write(head + advice.text)
        return 0
    }
}
