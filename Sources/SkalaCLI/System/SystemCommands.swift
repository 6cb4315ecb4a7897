import Base
import Client
import Kernel

/// `skala system`, `info`, `version`, `events`.
enum SystemCommands {
    static let group = Command(
        "system", "Disk usage, and what can be removed", "COMMAND", work: .group([diskUsage, prune]))

    private static let diskUsage = Command(
        "df", "Show what images, containers and volumes take of the disk", "[OPTIONS]", 0...0,
        options: [.flag("verbose", short: "v", "Each object"), .format],
        examples: ["skala system df", "skala system df -v"]
    ) { call in
        let usage = try call.client.json(.get("/system/df"))
        let columns = [
            ("TYPE", "Type"), ("TOTAL", "TotalCount"), ("ACTIVE", "Active"), ("SIZE", "Size"),
            ("RECLAIMABLE", "Reclaimable"),
        ]
        try call.output.list(DiskUsageTable.rows(usage), columns, format: call.arguments["format"])
        guard call.arguments.flag("verbose") else { return 0 }
        let now = SystemClock.now()
        try call.output.write("\nImages:\n")
        try call.output.list(
            (usage["Images"].array ?? []).flatMap { ImageList.rows(of: $0, now: now, isFull: false) },
            [("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("SIZE", "Size")], format: nil)
        try call.output.write("\nContainers:\n")
        try call.output.list(
            (usage["Containers"].array ?? []).map {
                ContainerList.row($0, now: now, isFull: false, isTable: true)
            },
            [("CONTAINER ID", "ID"), ("IMAGE", "Image"), ("STATUS", "Status"), ("SIZE", "Size"), ("NAMES", "Names")],
            format: nil)
        try call.output.write("\nVolumes:\n")
        try call.output.list(
            (usage["Volumes"].array ?? []).map { volume in
                [
                    "Name": volume["Name"], "Links": volume["UsageData"]["RefCount"],
                    "Size": JSON(ByteSize.decimal(volume["UsageData"]["Size"].int ?? 0)),
                ]
            }, [("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size")], format: nil)
        return 0
    }

    private static let prune = Command(
        "prune", "Remove stopped containers, unused networks and images without a name", "[OPTIONS]", 0...0,
        options: [
            .force, .flag("all", short: "a", "All images that no container uses"),
            .flag("volumes", "Anonymous volumes that no container uses too"),
            .pruneFilter,
        ],
        examples: ["skala system prune -f", "skala system prune -a --volumes --filter until=24h"]
    ) { call in
        let arguments = call.arguments
        let all = arguments.flag("all")
        var what = "This removes all stopped containers, all unused networks and "
        what += all ? "all images no container uses" : "all images without a name"
        if arguments.flag("volumes") { what += ", and all unused anonymous volumes with their files" }
        guard try Confirmation.ask(what + ".", call) else { return 0 }
        let filters = arguments.list("filter")
        var reclaimed = try Prune.containers(call, filters: filters)
        try Prune.networks(call, filters: filters)
        if arguments.flag("volumes") {
            reclaimed += try Prune.volumes(call, filters: filters.filter { !$0.hasPrefix("until=") })
        }
        reclaimed += try Prune.images(call, filters: filters + (all ? ["dangling=false"] : []))
        try Prune.show(reclaimed: reclaimed, call)
        return 0
    }

    static let version = Command(
        "version", "Show the versions of this program and the engine", "[OPTIONS]", 0...0, options: [.format],
        examples: ["skala version", "skala version --format '{{.Server.Version}}'"]
    ) { call in
        // This program's version is shown even when no engine answers.
        let server: Result<JSON, any Error> = Result { try call.client.json(.get("/version")) }
        let document: JSON = [
            "Client": ["Version": JSON(ProductVersion.text), "Os": "linux", "Arch": JSON(HostFacts.architecture)],
            "Server": (try? server.get()) ?? .null,
        ]
        if let format = call.arguments["format"] {
            try call.output.line(format == "json" ? document.text : try Template(format).fill(document))
        } else {
            try call.output.line("Client:   skala \(ProductVersion.text) (linux/\(HostFacts.architecture))")
            if case .success(let json) = server {
                let api = "API \(json["ApiVersion"].plain), \(json["MinAPIVersion"].plain) at least"
                try call.output.line(
                    "Engine:   \(json["Platform"]["Name"].plain) \(json["Version"].plain) (\(json["Os"].plain)/\(json["Arch"].plain))"
                )
                try call.output.line("          \(api); kernel \(json["KernelVersion"].plain)")
            }
        }
        _ = try server.get()
        return 0
    }

    private static func accelerator(_ name: String?) -> String {
        switch name {
        case "kvm": "the processor (kvm)"
        case "tcg": "software emulation (tcg): no guest boots on KVM here, or --accelerator tcg was given"
        default: "not known before the first one starts"
        }
    }

    static let info = Command(
        "info", "Show what the engine is and has", "[OPTIONS]", 0...0, options: [.format],
        examples: ["skala info", "skala info --format '{{.ServerVersion}}'"]
    ) { call in
        let info = try call.client.json(.get("/info"))
        if let format = call.arguments["format"] {
            try call.output.line(format == "json" ? info.text : try Template(format).fill(info))
            return 0
        }
        let isolations = info["Runtimes"].object?.keys ?? []
        let states = ["Running", "Paused", "Stopped"].map {
            "\(info["Containers" + $0].plain) \($0.lowercased())"
        }
        let lines: [(String, String)] = [
            ("Engine", "\(info["Name"].plain), version \(info["ServerVersion"].plain), \(call.client.address.text)"),
            ("Containers", "\(info["Containers"].plain) (\(states.joined(separator: ", ")))"),
            ("Images", info["Images"].plain), ("Isolations", isolations.joined(separator: ", ")),
            ("VMs run on", accelerator(info["Accelerator"].string)),
            ("Data", info["DockerRootDir"].plain), ("Storage", info["Driver"].plain),
            ("Cgroups", "version \(info["CgroupVersion"].plain), \(info["CgroupDriver"].plain)"),
            ("Logging", info["LoggingDriver"].plain),
            ("Security", (info["SecurityOptions"].strings ?? []).joined(separator: ", ")),
            ("Host", "\(info["OperatingSystem"].plain), kernel \(info["KernelVersion"].plain)"),
            (
                "Machine",
                "\(info["NCPU"].plain) CPUs (\(info["Architecture"].plain)), \(ByteSize.binary(info["MemTotal"].int ?? 0)) memory"
            ),
        ]
        for (title, value) in lines {
            let gap = String(repeating: " ", count: 12 - title.count)
            try call.output.line(call.output.paint(title + ":", .bold) + gap + value)
        }
        for warning in info["Warnings"].strings ?? [] { StandardStreams.error("skala: warning: \(warning)\n") }
        return 0
    }

    static let events = Command(
        "events", "Show what happens, as it happens", "[OPTIONS]", 0...0,
        options: [
            .filter, .value("since", "TIME", "From then on: 10m (ago), or 2026-01-02T15:04:05"),
            .value("until", "TIME", "Up to then"),
            .value("format", "TEXT", "'json', or a template such as '{{.Action}}'", .words(["json"])),
        ],
        examples: ["skala events --filter container=web", "skala events --since 1h --until 0s --format json"]
    ) { call in
        let arguments = call.arguments
        let now = SystemClock.now()
        var query = try API.filters(arguments.list("filter"))
        for name in ["since", "until"] {
            if let text = arguments[name] { query.append((name, try TimeText.unix(text, now: now))) }
        }
        let template = try arguments["format"].flatMap { $0 == "json" ? nil : $0 }.map(Template.init)
        let response = try call.client.send(.get("/events", query: query))
        while let event = try response.nextDocument() {
            if let template {
                try call.output.line(try template.fill(event))
            } else if arguments.has("format") {
                try call.output.line(event.text)
            } else {
                try call.output.line(line(event))
            }
        }
        return 0
    }

    /// `2026-01-02T03:04:05.000000006Z container start ID (image=busybox, name=web)`
    private static func line(_ event: JSON) -> String {
        let time = Timestamp(nanoseconds: event["timeNano"].int ?? 0)
        let attributes = (event["Actor"]["Attributes"].stringPairs ?? []).sorted { $0.key < $1.key }
        let text = attributes.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
        return "\(time.paddedText) \(event["Type"].plain) \(event["Action"].plain) \(event["Actor"]["ID"].plain)"
            + (text.isEmpty ? "" : " (\(text))")
    }
}
