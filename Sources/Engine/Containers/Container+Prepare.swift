import Base
import CLinux
import Glibc
import Images
import Kernel
import Networks
import OCI

extension Container {
    /// What the warden's `create` needs.
    struct PreparedStart {
        let spec: JSON
        let rootfs: JSON
        /// What of `linux.resources` holds on the host: for the VM's QEMU, when it runs in one.
        let hostResources: JSON
        /// What is set in a VM before the container is made.
        var networkSysctls: [String: String] = [:]
        /// What its process inherits, as the warden opens it.
        var descriptors: [JSON] = []
        /// Of a machine that goes on from a snapshot: the descriptor that is read from.
        var stateNumber: Int?
    }

    /// Folders, files and the network namespace, and from them the specification.
    func prepareStart() async throws -> PreparedStart {
        if record.isolation == .machine { return try await prepareDiskMachine() }
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let directory = directory
        let rootfs: JSON = [
            "lower": JSON(layers), "upper": JSON(directory + "/upper"), "work": JSON(directory + "/work"),
        ]
        let users = try lookUpUsers(roots: [directory + "/upper"] + layers)
        let user = try users.find(
            record.config["User"].string ?? "", groups: record.hostConfig["GroupAdd"].strings ?? [])
        for mount in record.mounts where mount.type == "bind" { try prepareBind(mount) }
        let network = try await prepareNetwork()
        let etcFiles = try writeEtcFiles(network, roots: [directory + "/upper"] + layers)
        let inMachine = record.isolation.hasOwnWarden
        var seen = record
        if inMachine { seen.mounts = guestMounts }
        let spec = ContainerSpec(
            record: seen, networkNamespace: network.namespace, etcFiles: inMachine ? guestEtcFiles : etcFiles,
            joined: try await joinedNamespaces(),
            // In a VM it is QEMU that is in the parent that was asked for.
            cgroupParent: inMachine
                ? engine.configuration.cgroupParent : cgroupParent ?? engine.configuration.cgroupParent,
            defaultPidsLimit: engine.configuration.defaultPidsLimit,
            user: user.user, devices: try devices(), allocation: allocation,
            cores: try await claimCores(), initProgram: try initProgram())
        var json = spec.json
        let variables = json["process"]["env"].strings ?? []
        if !variables.contains(where: { $0.hasPrefix("HOME=") }) {
            json["process"]["env"] = JSON(variables + ["HOME=" + user.home])
        }
        guard inMachine else { return PreparedStart(spec: json, rootfs: rootfs, hostResources: [:]) }
        let resources = MachineLimits.part(json["linux"]["resources"])
        json["linux"]["resources"] = resources.guest
        // The network is the VM's, not a namespace of the container's.
        var sysctls = json["linux"]["sysctl"].stringDictionary ?? [:]
        let ofNetwork = sysctls.filter { $0.key.hasPrefix("net.") }
        for key in ofNetwork.keys { sysctls[key] = nil }
        json["linux"]["sysctl"] = JSON(sysctls)
        return PreparedStart(
            spec: json, rootfs: guestRootFileSystem, hostResources: resources.host, networkSysctls: ofNetwork)
    }

    /// The control group that its own is to be made in; nil for the engine's.
    var cgroupParent: String? { CgroupParent.path(record.hostConfig, own: engine.configuration.cgroupParent) }

    /// The two files from the topmost layer that has them.
    func lookUpUsers(roots: [String]) throws -> UserLookup {
        func contents(_ path: String) -> String {
            for root in roots {
                // Not in this layer: the next one may have it.
                if let bytes = try? FileContents.read(path, inRoot: root) {
                    return String(decoding: bytes, as: UTF8.self)
                }
            }
            return ""
        }
        return UserLookup(passwd: contents("/etc/passwd"), group: contents("/etc/group"))
    }

    private func prepareBind(_ mount: ContainerRecord.Mount) throws {
        var status = stat()
        if stat(mount.source, &status) == 0 { return }
        // `-v` makes the folder, `--mount` (recorded with mode "mount") does not: both as Docker.
        guard mount.mode != "mount" else {
            throw SkalaError(
                .invalid, "invalid mount config for type \"bind\": bind source path does not exist: \(mount.source)")
        }
        try FileContents.makeDirectories(mount.source)
    }

    private func devices() throws -> [(node: JSON, access: String)] {
        if record.hostConfig["Privileged"].bool == true {
            // A VM has devices of its own; the host's numbers would mean others there.
            guard record.isolation == .container else { return [] }
            return HostDevice.all().map { ($0.node(at: $0.path), "rwm") }
        }
        return try (record.hostConfig["Devices"].array ?? []).map { device in
            let path = device["PathOnHost"].string ?? ""
            guard let found = HostDevice.look(path) else {
                throw SkalaError(
                    .invalid,
                    "error gathering device information while adding custom device \"\(path)\": no such device")
            }
            let destination = device["PathInContainer"].string.flatMap { $0.isEmpty ? nil : $0 } ?? path
            let access = device["CgroupPermissions"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "rwm"
            return (found.node(at: destination), access)
        }
    }

    private func initProgram() throws -> String? {
        guard record.hostConfig["Init"].bool == true else { return nil }
        guard record.isolation == .container else { return GuestFolder.initProgram }
        let path = engine.configuration.initPath
        guard access(path, X_OK) == 0 else {
            throw SkalaError(.unavailable, "--init needs the program \(path), which is not installed")
        }
        return path
    }

    /// Namespaces of another container that is running (`--pid container:x`, `--ipc container:x`).
    private func joinedNamespaces() async throws -> [String: String] {
        var joined: [String: String] = [:]
        for (type, mode) in [("pid", "PidMode"), ("ipc", "IpcMode")] {
            guard let text = record.hostConfig[mode].string, text.hasPrefix("container:") else { continue }
            let other = try await containers.find(String(text.dropFirst("container:".count)))
            let state = await other.snapshot.state
            guard state.isAlive else {
                throw SkalaError(.conflict, "cannot join \(type) of a non running container: \(other.id)")
            }
            joined[type] = "/proc/\(state.pid)/ns/\(type)"
        }
        return joined
    }

    // MARK: network

    struct PreparedNetwork {
        var namespace = ContainerSpec.NetworkNamespace.host
        /// Addresses and names for /etc/hosts.
        var endpoints: [Endpoint] = []
        var resolvConf: String?
        /// A container whose network is shared: its /etc files are used.
        var sharedWith: String?
    }

    func prepareNetwork() async throws -> PreparedNetwork {
        if record.isolation == .pod { return try await preparePodNetwork() }
        let mode = record.hostConfig["NetworkMode"].string ?? "default"
        if mode == "host" { return PreparedNetwork() }
        if mode.hasPrefix("container:") {
            let other = try await containers.find(String(mode.dropFirst("container:".count)))
            guard await other.snapshot.state.isAlive else {
                throw SkalaError(.conflict, "cannot join network of a non running container: \(other.id)")
            }
            let pid = await other.snapshot.state.pid
            return PreparedNetwork(namespace: .path("/proc/\(pid)/ns/net"), sharedWith: other.id)
        }
        let inMachine = record.isolation.isVirtual
        if mode == "none" { return PreparedNetwork(namespace: inMachine ? .machine : .new) }
        await engine.networks.destroySandbox(id)
        var prepared = PreparedNetwork(namespace: .machine)
        if inMachine {
            await engine.networks.makeMachine(containerID: id)
        } else {
            prepared.namespace = .path(try await engine.networks.makeNamespace(containerID: id))
        }
        for member in record.networks.members {
            prepared.endpoints.append(try await connectEndpoint(network: member.key, settings: member.value))
        }
        prepared.resolvConf = await engine.networks.resolvConf(for: id)
        try await publishPorts()
        return prepared
    }

    /// The network is the pod's: the container adds its names and ports.
    private func preparePodNetwork() async throws -> PreparedNetwork {
        var prepared = PreparedNetwork(namespace: .machine)
        await engine.networks.destroySandbox(id)
        guard try await joinPod() else { return prepared }
        prepared.endpoints = await engine.networks.endpoints(of: id)
        prepared.resolvConf = await engine.networks.resolvConf(for: id)
        try await publishPorts()
        return prepared
    }

    /// Connects the running or starting container to one network, and notes addresses in the record.
    @discardableResult
    func connectEndpoint(network name: String, settings: JSON) async throws -> Endpoint {
        let network = try await engine.networks.find(name)
        let isDefault = network.name == "bridge"
        let wanted = settings["IPAMConfig"]
        var aliases = settings["Aliases"].strings ?? []
        if !isDefault { aliases.append(Identifier.short(id)) }
        var request = EndpointRequest(
            networkID: network.id, containerName: record.name, aliases: aliases,
            ipv4: wanted["IPv4Address"].string.flatMap { $0.isEmpty ? nil : $0 },
            ipv6: wanted["IPv6Address"].string.flatMap { $0.isEmpty ? nil : $0 },
            macAddress: settings["MacAddress"].string.flatMap { $0.isEmpty ? nil : $0 },
            rate: try ContainerResources.networkRate(record.hostConfig))
        request.previousIPv4 = previousAddresses[network.id]
        let endpoint = try await engine.networks.connect(containerID: id, request)
        previousAddresses[network.id] = endpoint.ipv4
        return endpoint
    }

    private func publishPorts() async throws {
        let ports = try PortBindings.published(hostConfig: record.hostConfig, config: record.config)
        guard !ports.isEmpty else { return }
        _ = try await engine.networks.publish(containerID: id, ports: ports)
    }

    // MARK: /etc

    /// Writes the files that are bound over the image's; they are kept in the container's folder.
    private func writeEtcFiles(
        _ network: PreparedNetwork, roots: [String]
    ) throws -> [(source: String, destination: String)] {
        let owner = network.sharedWith.map { engine.configuration.containerDirectory($0) } ?? directory
        let files = ["resolv.conf", "hostname", "hosts"].map { (source: owner + "/" + $0, destination: "/etc/" + $0) }
        guard network.sharedWith == nil else { return files }
        try FileContents.overwrite(files[0].source, with: Array(resolvConf(network.resolvConf).utf8))
        try FileContents.overwrite(files[1].source, with: Array((hostname + "\n").utf8))
        try FileContents.overwrite(files[2].source, with: Array(hosts(network).utf8))
        guard wantsMachineID(roots: roots) else { return files }
        let path = directory + "/machine-id"
        try FileContents.overwrite(path, with: Array("\(id.prefix(32))\n".utf8))
        return files + [(path, "/etc/machine-id")]
    }

    /// Whether the image leaves the machine's id empty, to be filled in when it starts (machine-id(5)).
    private func wantsMachineID(roots: [String]) -> Bool {
        for root in roots {
            // Not in this layer: the next one may have it.
            guard let bytes = try? FileContents.read("/etc/machine-id", inRoot: root) else { continue }
            return bytes.allSatisfy { $0 == 0x0A } || bytes.starts(with: Array("uninitialized".utf8))
        }
        return false
    }

    var hostname: String {
        record.config["Hostname"].string.flatMap { $0.isEmpty ? nil : $0 } ?? Identifier.short(id)
    }

    /// What /etc/resolv.conf says on the networks it is on.
    func resolvConf() async -> String { resolvConf(await engine.networks.resolvConf(for: id)) }

    private func resolvConf(_ ofNetworks: String?) -> String {
        let host = record.hostConfig
        let servers = host["Dns"].strings ?? []
        let search = host["DnsSearch"].strings ?? []
        let options = host["DnsOptions"].strings ?? []
        // Missing on a host without one: then there is nothing to hand on.
        let fromHost = (try? FileContents.read("/etc/resolv.conf")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        var lines = (ofNetworks ?? fromHost).split(separator: "\n").map(String.init)
        func replace(_ keyword: String, _ new: [String]) {
            guard !new.isEmpty else { return }
            lines.removeAll { $0.hasPrefix(keyword) }
            lines += new
        }
        // On networks with names Skala's own server answers, and asks the container's servers for the rest.
        if record.networks.members.allSatisfy({ $0.key == "bridge" }) {
            replace("nameserver", servers.map { "nameserver " + $0 })
        }
        replace("search", search.isEmpty ? [] : ["search " + search.joined(separator: " ")])
        replace("options", options.isEmpty ? [] : ["options " + options.joined(separator: " ")])
        return lines.joined(separator: "\n") + "\n"
    }

    private func hosts(_ network: PreparedNetwork) -> String {
        var text = """
            127.0.0.1\tlocalhost
            ::1\tlocalhost ip6-localhost ip6-loopback
            fe00::\tip6-localnet
            ff00::\tip6-mcastprefix
            ff02::1\tip6-allnodes
            ff02::2\tip6-allrouters

            """
        for extra in record.hostConfig["ExtraHosts"].strings ?? [] {
            let parts = extra.split(separator: ":", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            let gateway = network.endpoints.first?.gateway ?? ""
            text += "\(parts[1] == "host-gateway" ? gateway : parts[1])\t\(parts[0])\n"
        }
        return text + network.endpoints.map { hosts(of: $0, hostname) }.joined()
    }

    func hosts(of endpoint: Endpoint, _ hostname: String) -> String {
        [endpoint.ipv4, endpoint.ipv6].filter { !$0.isEmpty }.map { "\($0)\t\(hostname)\n" }.joined()
    }
}
