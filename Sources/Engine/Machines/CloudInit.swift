import Base
import Networks

/// What a machine's disk learns about itself when it boots, in the form of cloud-init's data source NoCloud. Pure.
struct CloudInit {
    /// The container's id: a new one makes cloud-init set everything up anew.
    let id: String
    let hostname: String
    /// nil without a network.
    let endpoint: Endpoint?
    let nameServers: [String]
    let searchDomain: String?
    let variables: [String]
    /// What the user gave instead of ours.
    let userData: String?

    /// The packets bridges of ours carry.
    static let mtu = 1500

    var files: [(name: String, content: String)] {
        [("meta-data", metaData), ("user-data", userData ?? ownUserData), ("network-config", networkConfig)]
    }

    private var metaData: String { "instance-id: \(id)\nlocal-hostname: \(hostname)\n" }

    /// Version 2. Texts in quotes are JSON's, which YAML has too.
    private var networkConfig: String {
        guard let endpoint else { return "version: 2\nethernets: {}\n" }
        var lines = [
            "version: 2", "ethernets:", "  eth0:", "    match:", "      macaddress: \(JSON(endpoint.macAddress).text)",
            "    set-name: eth0", "    mtu: \(CloudInit.mtu)", "    addresses:",
            "      - \(JSON("\(endpoint.ipv4)/\(endpoint.prefixLength)").text)",
        ]
        if !endpoint.ipv6.isEmpty {
            lines.append("      - \(JSON("\(endpoint.ipv6)/\(endpoint.ipv6PrefixLength)").text)")
        }
        let routes = [("0.0.0.0/0", endpoint.gateway), ("::/0", endpoint.ipv6Gateway)].filter { !$0.1.isEmpty }
        if !routes.isEmpty { lines.append("    routes:") }
        for (to, via) in routes { lines += ["      - to: \(JSON(to).text)", "        via: \(JSON(via).text)"] }
        if !nameServers.isEmpty { lines += ["    nameservers:", "      addresses:"] }
        for server in nameServers { lines.append("        - \(JSON(server).text)") }
        if !nameServers.isEmpty, let searchDomain {
            lines += ["      search:", "        - \(JSON(searchDomain).text)"]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var ownUserData: String {
        var text = "#cloud-config\n"
        let kept = variables.filter { $0.contains("=") }
        guard !kept.isEmpty else { return text }
        text += "write_files:\n  - path: /etc/environment\n    append: true\n    content: |\n"
        for variable in kept { text += "      \(variable)\n" }
        return text
    }
}
