public import Base
import Images
import Kernel
import Networks
import Synchronization

extension Container {
    /// The document of `GET /containers/{id}/json`.
    public func inspect(size: Bool) async throws -> JSON {
        let program = record.commandLine
        var json: JSON = [
            "Id": JSON(id), "Created": JSON(record.created.text), "Path": JSON(program.first ?? ""),
            "Args": JSON(Array(program.dropFirst())),
        ]
        var state = record.state.json
        if let health { state["Health"] = health.json }
        json["State"] = state
        json["Image"] = JSON(record.imageID)
        json["ResolvConfPath"] = JSON(directory + "/resolv.conf")
        json["HostnamePath"] = JSON(directory + "/hostname")
        json["HostsPath"] = JSON(directory + "/hosts")
        json["LogPath"] = JSON(logFile ?? "")
        json["Name"] = JSON("/" + record.name)
        json["RestartCount"] = JSON(record.restartCount)
        json["Driver"] = "overlay2"
        json["Platform"] = "linux"
        json["MountLabel"] = ""
        json["ProcessLabel"] = ""
        json["AppArmorProfile"] = ""
        let running = execs.values.filter { session in session.state.withLock { $0.isRunning } }.map(\.id).sorted()
        json["ExecIDs"] = running.isEmpty ? .null : JSON(running)
        json["Isolation"] = JSON(record.isolation.rawValue)
        if record.isolation == .pod { json["Pod"] = JSON(record.podName) }
        json["Allocation"] = allocationDocument
        if record.isolation.hasOwnWarden { json["Machine"] = await machineDocument() }
        json["HostConfig"] = record.hostConfig
        json["GraphDriver"] = [
            "Data": ["UpperDir": JSON(directory + "/upper"), "WorkDir": JSON(directory + "/work")], "Name": "overlay2",
        ]
        if size {
            json["SizeRw"] = JSON(try await writtenBytes())
            json["SizeRootFs"] = JSON(try await writtenBytes() + (try await engine.images.find(record.imageID).size))
        }
        json["Mounts"] = JSON(record.mounts.filter { $0.type != "tmpfs" }.map(\.point))
        json["Config"] = record.config
        json["NetworkSettings"] = await networkSettings()
        return json
    }

    /// Beyond Docker: how it is given its resources, and the cores it has for itself.
    private var allocationDocument: JSON {
        ["Mode": JSON(allocation.rawValue), "DedicatedCpus": JSON(record.dedicatedCores)]
    }

    /// The bytes the container wrote over its image.
    public func writtenBytes() async throws -> Int64 {
        if record.isolation == .microvm { return await machineWrittenBytes() }
        if record.isolation == .machine { return writtenDiskBytes() }
        let upper = directory + "/upper"
        return try await engine.threads.run { try DiskUsage.bytes(below: upper) }
    }

    private func networkSettings() async -> JSON {
        let endpoints = await engine.networks.endpoints(of: id)
        let published = await engine.networks.publishedPorts(of: id)
        let exposed = record.state.isAlive ? record.config["ExposedPorts"].object?.keys ?? [] : []
        var settings: JSON = [
            "Bridge": "", "SandboxID": JSON(endpoints.isEmpty ? "" : id), "SandboxKey": "",
            "Ports": PortBindings.settings(published, exposed: exposed), "HairpinMode": false,
            "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": .null,
            "SecondaryIPv6Addresses": .null,
        ]
        let bridge = endpoints.first { $0.networkName == "bridge" }
        settings["EndpointID"] = JSON(bridge?.endpointID ?? "")
        settings["Gateway"] = JSON(bridge?.gateway ?? "")
        settings["GlobalIPv6Address"] = JSON(bridge?.ipv6 ?? "")
        settings["GlobalIPv6PrefixLen"] = JSON(bridge?.ipv6PrefixLength ?? 0)
        settings["IPAddress"] = JSON(bridge?.ipv4 ?? "")
        settings["IPPrefixLen"] = JSON(bridge?.prefixLength ?? 0)
        settings["IPv6Gateway"] = JSON(bridge?.ipv6Gateway ?? "")
        settings["MacAddress"] = JSON(bridge?.macAddress ?? "")
        settings["Networks"] = await endpointDocuments(endpoints)
        return settings
    }

    /// The API's `EndpointSettings` by network name.
    private func endpointDocuments(_ endpoints: [Endpoint]) async -> JSON {
        var networks: JSON = [:]
        var asked = record.networks
        if asked.isEmpty, let mode = record.hostConfig["NetworkMode"].string, ["host", "none"].contains(mode) {
            asked[mode] = [:]
        }
        for (name, settings) in asked.members {
            // A network that was removed since has no id any more.
            let network = try? await engine.networks.find(name)
            let endpoint = endpoints.first { $0.networkName == network?.name }
            networks[network?.name ?? name] = [
                "IPAMConfig": settings["IPAMConfig"], "Links": .null, "Aliases": settings["Aliases"],
                "MacAddress": JSON(endpoint?.macAddress ?? ""), "DriverOpts": settings["DriverOpts"],
                "GwPriority": JSON(settings["GwPriority"].int ?? 0), "NetworkID": JSON(network?.id ?? ""),
                "EndpointID": JSON(endpoint?.endpointID ?? ""), "Gateway": JSON(endpoint?.gateway ?? ""),
                "IPAddress": JSON(endpoint?.ipv4 ?? ""), "IPPrefixLen": JSON(endpoint?.prefixLength ?? 0),
                "IPv6Gateway": JSON(endpoint?.ipv6Gateway ?? ""), "GlobalIPv6Address": JSON(endpoint?.ipv6 ?? ""),
                "GlobalIPv6PrefixLen": JSON(endpoint?.ipv6PrefixLength ?? 0),
                "DNSNames": name == "bridge" ? .null : JSON(endpoint?.dnsNames ?? []),
            ]
        }
        return networks
    }

    /// An element of `GET /containers/json`.
    public func summary(size: Bool) async throws -> JSON {
        let published = record.state.isAlive ? await engine.networks.publishedPorts(of: id) : []
        var ports: [JSON] = published.map { port in
            [
                "IP": JSON(port.hostIP.isEmpty ? "0.0.0.0" : port.hostIP), "PrivatePort": JSON(port.containerPort),
                "PublicPort": JSON(port.hostPort), "Type": JSON(port.protocol),
            ]
        }
        if record.state.isAlive {
            for key in record.config["ExposedPorts"].object?.keys ?? [] {
                guard let (port, name) = try? PortBindings.parse(key),  // checked when it was created
                    !published.contains(where: { $0.containerPort == port && $0.protocol == name })
                else { continue }
                ports.append(["PrivatePort": JSON(port), "Type": JSON(name)])
            }
        }
        var json: JSON = [
            "Id": JSON(id), "Names": [JSON("/" + record.name)], "Image": JSON(record.imageName),
            "ImageID": JSON(record.imageID), "Command": JSON(record.commandLine.joined(separator: " ")),
            "Created": JSON(record.created.seconds), "Ports": JSON(ports),
        ]
        if size {
            let written = try await writtenBytes()
            json["SizeRw"] = JSON(written)
            json["SizeRootFs"] = JSON(written + (try await engine.images.find(record.imageID).size))
        }
        json["Labels"] = record.config["Labels"]
        json["State"] = JSON(record.state.status.rawValue)
        json["Status"] = JSON(statusText)
        json["Isolation"] = JSON(record.isolation.rawValue)
        if record.isolation == .pod { json["Pod"] = JSON(record.podName) }
        json["Allocation"] = allocationDocument
        json["HostConfig"] = [
            "NetworkMode": record.hostConfig["NetworkMode"], "Annotations": record.hostConfig["Annotations"],
        ]
        json["NetworkSettings"] = ["Networks": await endpointDocuments(await engine.networks.endpoints(of: id))]
        json["Mounts"] = JSON(record.mounts.filter { $0.type != "tmpfs" }.map(\.point))
        return json
    }

    /// `Up 5 minutes (healthy)`, `Exited (0) 3 seconds ago`, as `docker ps` shows it.
    var statusText: String {
        let now = SystemClock.now()
        func since(_ time: Timestamp?) -> String { HumanDuration.text(now.seconds - (time ?? now).seconds) }
        switch record.state.status {
        case .created: return "Created"
        case .dead: return "Dead"
        case .removing: return "Removal In Progress"
        case .restarting: return "Restarting (\(record.state.exitCode)) \(since(record.state.finishedAt)) ago"
        case .exited: return "Exited (\(record.state.exitCode)) \(since(record.state.finishedAt)) ago"
        case .paused: return "Up \(since(record.state.startedAt)) (Paused)"
        case .running:
            if isStalled { return "Up \(since(record.state.startedAt)) (stands still: no room on the host)" }
            let health = health.map { $0.status == "starting" ? " (health: starting)" : " (\($0.status))" } ?? ""
            return "Up \(since(record.state.startedAt))\(health)"
        }
    }

    /// The status a health filter compares with.
    public var healthStatus: String { health?.status ?? "none" }
}
