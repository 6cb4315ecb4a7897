import Base
import Kernel
import YAML

extension ServiceTranslation {
    // MARK: networks and ports

    mutating func networks() throws -> JSON {
        if let mode = value["network_mode"] {
            let text = try mode.string()
            guard ["host", "none"].contains(text) else {
                throw mode.fault("host or none is expected; for everything else there is 'networks'", .unsupported)
            }
            guard value["networks"] == nil else { throw mode.fault("network_mode and networks exclude each other") }
            return [["Target": JSON(text)]]
        }
        let given = value["networks"]
        var entries: [(String, YAMLValue?)] = [(ComposeResource.defaultNetwork, nil)]
        if let given {
            entries =
                given.isMapping ? try given.entries().map { ($0.key, $0.value) } : try given.strings().map { ($0, nil) }
        }
        return JSON(
            try entries.map { key, entry -> JSON in
                networkKeys.append(key)
                var aliases = [self.key]
                if let entry, !entry.isNull {
                    try entry.allowOnly(["aliases", "priority"])
                    aliases += try entry["aliases"]?.strings() ?? []
                }
                if let name = try value["container_name"]?.string() { aliases.append(name) }
                let known = surroundings.networks.first { $0.key == key }
                guard known != nil || key == ComposeResource.defaultNetwork else {
                    throw (given ?? value).fault("the network '\(key)' is not among the file's networks")
                }
                return [
                    "Target": JSON(known?.name ?? "\(surroundings.project)_\(key)"), "Aliases": JSON(aliases),
                ]
            })
    }

    func endpoint(_ deploy: YAMLValue?) throws -> JSON {
        var json: JSON = ["Mode": JSON(try deploy?["endpoint_mode"]?.word(["vip", "dnsrr"]) ?? "vip")]
        var ports: [JSON] = []
        for entry in try value["ports"]?.elements() ?? [] {
            guard entry.isMapping else {
                let specs: [PortSpec]
                do { specs = try PortSpec.parse(try entry.string()) } catch { throw entry.fault("\(error)") }
                for spec in specs {
                    guard spec.hostIP.isEmpty || spec.hostIP == "0.0.0.0" else {
                        throw entry.fault("a service's port is published at all addresses of the host", .unsupported)
                    }
                    var port: JSON = [
                        "Protocol": JSON(spec.protocol), "TargetPort": JSON(spec.containerPort),
                        "PublishMode": "ingress",
                    ]
                    if !spec.hostPort.isEmpty {
                        guard let number = Int(spec.hostPort) else {
                            throw entry.fault("one port of the host is expected")
                        }
                        port["PublishedPort"] = JSON(number)
                    }
                    ports.append(port)
                }
                continue
            }
            try entry.allowOnly(["target", "published", "protocol", "mode", "name", "app_protocol", "host_ip"])
            guard let target = try entry["target"]?.integer(1...65535) else { throw entry.fault("target is needed") }
            var port: JSON = [
                "TargetPort": JSON(target),
                "Protocol": JSON(try entry["protocol"]?.word(["tcp", "udp", "sctp"]) ?? "tcp"),
                "PublishMode": JSON(try entry["mode"]?.word(["ingress", "host"]) ?? "ingress"),
            ]
            if let published = try entry["published"]?.integer(1...65535) { port["PublishedPort"] = JSON(published) }
            if let name = try entry["name"]?.string() { port["Name"] = JSON(name) }
            ports.append(port)
        }
        if !ports.isEmpty { json["Ports"] = JSON(ports) }
        return json
    }

    // MARK: files

    mutating func mounts() throws {
        var mounts: [JSON] = []
        for entry in try value["volumes"]?.elements() ?? [] {
            mounts.append(entry.isMapping ? try mount(entry) : try mount(short: entry))
        }
        for path in try value["tmpfs"]?.strings() ?? [] {
            let (target, options) = MountSpec.tmpfs(path)
            var mount: JSON = ["Type": "tmpfs", "Target": JSON(target)]
            for option in options.split(separator: ",") {
                let (key, text) = KeyValue.split(String(option))
                switch key {
                case "size": mount["TmpfsOptions"]["SizeBytes"] = JSON(try ByteSize.parse(text))
                case "mode": mount["TmpfsOptions"]["Mode"] = JSON(Int64(text, radix: 8) ?? 0o1777)
                default: throw value.fault("tmpfs \(path): unknown option '\(key)'")
                }
            }
            mounts.append(mount)
        }
        if !mounts.isEmpty { container["Mounts"] = JSON(mounts) }
    }

    /// `[SOURCE:]TARGET[:MODE]`
    private func mount(short entry: YAMLValue) throws -> JSON {
        let text = try entry.string()
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw entry.fault("[SOURCE:]TARGET[:ro] is expected, not '\(text)'")
        }
        var mount: JSON = ["Type": "volume", "Target": JSON(parts[parts.count == 1 ? 0 : 1])]
        if parts.count > 1 {
            let source = parts[0]
            if source.hasPrefix("/") || source.hasPrefix(".") || source.hasPrefix("~") {
                mount["Type"] = "bind"
                mount["Source"] = JSON(hostPath(source))
                // As Compose has it: a folder that is missing is made.
                mount["BindOptions"]["CreateMountpoint"] = true
            } else {
                mount["Source"] = JSON(try volume(source, entry))
            }
        }
        for option in parts.count == 3 ? parts[2].split(separator: ",") : [] {
            switch option {
            case "ro": mount["ReadOnly"] = true
            case "rw", "z", "Z": break
            case "nocopy": mount["VolumeOptions"]["NoCopy"] = true
            case "shared", "slave", "private", "rshared", "rslave", "rprivate":
                mount["BindOptions"]["Propagation"] = JSON(String(option))
            default: throw entry.fault("unknown mode '\(option)'")
            }
        }
        return mount
    }

    private func mount(_ entry: YAMLValue) throws -> JSON {
        try entry.allowOnly(["type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"])
        let type = try entry["type"]?.word(["volume", "bind", "tmpfs"]) ?? "volume"
        guard let target = try entry["target"]?.string() else { throw entry.fault("target is needed") }
        var mount: JSON = ["Type": JSON(type), "Target": JSON(target)]
        if let source = try entry["source"]?.string() {
            mount["Source"] = JSON(type == "bind" ? hostPath(source) : try volume(source, entry))
        }
        if try entry["read_only"]?.flag() == true { mount["ReadOnly"] = true }
        if let bind = entry["bind"] {
            try bind.allowOnly(["propagation", "create_host_path", "selinux", "recursive"])
            if let propagation = try bind["propagation"]?.string() {
                mount["BindOptions"]["Propagation"] = JSON(propagation)
            }
            if try bind["create_host_path"]?.flag() == true { mount["BindOptions"]["CreateMountpoint"] = true }
        }
        if let volume = entry["volume"] {
            try volume.allowOnly(["nocopy", "subpath", "labels"])
            if try volume["nocopy"]?.flag() == true { mount["VolumeOptions"]["NoCopy"] = true }
            if let path = try volume["subpath"]?.string() { mount["VolumeOptions"]["Subpath"] = JSON(path) }
        }
        if let tmpfs = entry["tmpfs"] {
            try tmpfs.allowOnly(["size", "mode"])
            if let size = try tmpfs["size"]?.bytes() { mount["TmpfsOptions"]["SizeBytes"] = JSON(size) }
            if let mode = try tmpfs["mode"]?.integer(0...0o7777) { mount["TmpfsOptions"]["Mode"] = JSON(mode) }
        }
        return mount
    }

    private func hostPath(_ path: String) -> String {
        if path == "~" || path.hasPrefix("~/") { return (Environment.value("HOME") ?? "/root") + path.dropFirst() }
        // The engine wants them without dots.
        return ComposePaths.normal(ComposeFile.absolute(path, surroundings.file.directory))
    }

    private func volume(_ key: String, _ entry: YAMLValue) throws(SkalaError) -> String {
        guard let volume = surroundings.volumes.first(where: { $0.key == key }) else {
            throw entry.fault("the volume '\(key)' is not among the file's volumes")
        }
        return volume.name
    }

    mutating func files() throws {
        for (key, known, field, folder) in [
            ("secrets", surroundings.secrets, "Secret", "/run/secrets/"),
            ("configs", surroundings.configs, "Config", "/"),
        ] {
            guard let entries = value[key] else { continue }
            var references: [JSON] = []
            for entry in try entries.elements() {
                if entry.isMapping { try entry.allowOnly(["source", "target", "uid", "gid", "mode"]) }
                guard let source = try entry.isMapping ? entry["source"]?.string() : entry.string() else {
                    throw entry.fault("source is needed")
                }
                guard let resource = known.first(where: { $0.key == source }) else {
                    throw entry.fault("'\(source)' is not among the file's \(key)")
                }
                let target = try entry["target"]?.string() ?? source
                references.append([
                    "\(field)Name": JSON(resource.name),
                    "File": [
                        "Name": JSON(target.hasPrefix("/") || key == "secrets" ? target : folder + target),
                        "UID": JSON(try entry["uid"]?.string() ?? "0"), "GID": JSON(try entry["gid"]?.string() ?? "0"),
                        "Mode": JSON(try entry["mode"].map { try mode($0) } ?? 0o444),
                    ],
                ])
            }
            container[key == "secrets" ? "Secrets" : "Configs"] = JSON(references)
        }
    }

    /// `0440`, which YAML 1.1 writes in octal.
    private func mode(_ value: YAMLValue) throws -> Int64 {
        let text = try value.string()
        let digits = text.hasPrefix("0o") ? text.dropFirst(2) : text[...]
        guard let mode = Int64(digits, radix: 8), (0...0o7777).contains(mode) else {
            throw value.fault("an octal mode such as 0440 is expected, not '\(text)'")
        }
        return mode
    }
}
