import Base
import Glibc
import Kernel
import YAML

/// A network, volume, secret or config of a project.
struct ComposeResource {
    enum Kind: String { case networks, volumes, secrets, configs }

    static let defaultNetwork = "default"
    private static let networkKeys: Set<String> = [
        "name", "driver", "driver_opts", "external", "labels", "internal", "attachable", "enable_ipv6", "ipam",
    ]
    private static let volumeKeys: Set<String> = ["name", "driver", "driver_opts", "external", "labels"]
    private static let fileKeys: Set<String> = ["name", "file", "environment", "content", "external", "labels"]

    let kind: Kind
    /// What services know it by.
    let key: String
    /// What the engine knows it by.
    let name: String
    /// It is there already, and stays.
    let isExternal: Bool
    /// Of the request that creates it.
    let body: JSON

    init(_ kind: Kind, _ key: String, _ value: YAMLValue, project: String, _ file: ComposeFile) throws {
        self.kind = kind
        self.key = key
        if !value.isNull {
            try value.allowOnly(
                kind == .networks
                    ? ComposeResource.networkKeys
                    : kind == .volumes ? ComposeResource.volumeKeys : ComposeResource.fileKeys)
        }
        let external = value["external"]
        isExternal = try external.map { $0.isMapping ? true : try $0.flag() } ?? false
        let given = try value["name"]?.string() ?? (external?.isMapping == true ? external?["name"]?.string() : nil)
        if isExternal {
            name = given ?? key
            body = .null
            return
        }
        var labels: JSON = [:]
        for (name, text) in try value["labels"]?.pairs() ?? [] { labels[name] = JSON(text ?? "") }
        labels[ComposeProject.label] = JSON(project)
        switch kind {
        case .networks:
            name = given ?? "\(project)_\(key)"
            body = try ComposeResource.network(name, value, labels)
        case .volumes:
            name = given ?? "\(project)_\(key)"
            var volume: JSON = ["Name": JSON(name), "Labels": labels]
            if let driver = try value["driver"]?.string() { volume["Driver"] = JSON(driver) }
            volume["DriverOpts"] = try ComposeResource.options(value["driver_opts"])
            body = volume
        case .secrets, .configs:
            let (content, version) = try ComposeResource.content(value, kind, file)
            // What is in one cannot be changed: another content is another one.
            name = given ?? "\(project)_\(key)" + (version.map { "_" + $0 } ?? "")
            body = ["Name": JSON(name), "Labels": labels, "Data": JSON(Base64.encode(content))]
        }
    }

    private init(network name: String, labels: JSON) {
        kind = .networks
        key = ComposeResource.defaultNetwork
        self.name = name
        isExternal = false
        body = ["Name": JSON(name), "Driver": "overlay", "Attachable": true, "Labels": labels]
    }

    /// The network of all services that name none.
    static func network(project: String) -> ComposeResource {
        ComposeResource(network: "\(project)_\(defaultNetwork)", labels: [ComposeProject.label: JSON(project)])
    }

    private static func network(_ name: String, _ value: YAMLValue, _ labels: JSON) throws -> JSON {
        var network: JSON = ["Name": JSON(name), "Labels": labels]
        // Those of services reach over nodes; a bridge is one node's.
        let driver = try value["driver"]?.string() ?? "overlay"
        network["Driver"] = JSON(driver)
        network["Attachable"] = JSON(driver == "overlay" ? try value["attachable"]?.flag() ?? true : false)
        if let isInternal = value["internal"] { network["Internal"] = JSON(try isInternal.flag()) }
        if let hasIPv6 = value["enable_ipv6"] { network["EnableIPv6"] = JSON(try hasIPv6.flag()) }
        network["Options"] = try options(value["driver_opts"])
        guard let ipam = value["ipam"] else { return network }
        try ipam.allowOnly(["driver", "config", "options"])
        var configurations: [JSON] = []
        for entry in try ipam["config"]?.elements() ?? [] {
            try entry.allowOnly(["subnet", "ip_range", "gateway", "aux_addresses"])
            var configuration: JSON = [:]
            for (key, field) in [("subnet", "Subnet"), ("ip_range", "IPRange"), ("gateway", "Gateway")] {
                if let text = try entry[key]?.string() { configuration[field] = JSON(text) }
            }
            for (host, address) in try entry["aux_addresses"]?.pairs() ?? [] {
                configuration["AuxiliaryAddresses"][host] = JSON(address ?? "")
            }
            configurations.append(configuration)
        }
        network["IPAM"] = ["Driver": JSON(try ipam["driver"]?.string() ?? "default"), "Config": JSON(configurations)]
        return network
    }

    private static func options(_ value: YAMLValue?) throws -> JSON {
        var options: JSON = [:]
        for (key, text) in try value?.pairs() ?? [] { options[key] = JSON(text ?? "") }
        return options
    }

    /// What is in a secret or config, and something short that changes with it: made of the content of a config, and of a secret's
    /// file's size, time and number, which tell nothing of what is in it.
    private static func content(
        _ value: YAMLValue, _ kind: Kind, _ file: ComposeFile
    ) throws -> (content: [UInt8], version: String?) {
        let sources = ["file", "environment", "content"].filter { value[$0] != nil }
        guard sources.count == 1 else { throw value.fault("one of file, environment and content is needed") }
        let content: [UInt8]
        var version: String?
        if let path = try value["file"]?.string() {
            let path = ComposeFile.absolute(path, file.directory)
            do { content = try FileContents.read(path, limit: 1 << 20) } catch {
                throw value.fault("\(error)", .notFound)
            }
            var status = stat()
            if stat(path, &status) == 0 {
                version = "\(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
            }
        } else if let variable = try value["environment"]?.string() {
            guard let text = file.variables.value(variable) else {
                throw value.fault("the variable \(variable) is not set")
            }
            content = Array(text.utf8)
        } else {
            content = Array(try value["content"]?.string().utf8 ?? "".utf8)
        }
        let seed = kind == .configs ? content : version.map { Array($0.utf8) }
        return (content, seed.map(fingerprint))
    }

    /// FNV-1a, 48 bits of it; tells contents apart that nobody made to collide.
    private static func fingerprint(_ bytes: [UInt8]) -> String {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return Hexadecimal.encode(withUnsafeBytes(of: hash.bigEndian) { Array($0.suffix(6)) })
    }
}
