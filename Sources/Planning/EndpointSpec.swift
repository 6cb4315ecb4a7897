public import Base

/// How a service is reached: the API's `EndpointSpec`.
public struct EndpointSpec: Sendable, Hashable {
    public enum Mode: String, Sendable, Hashable {
        /// One address for the service, balanced over its tasks.
        case vip
        /// The name of the service is all its tasks' addresses.
        case dnsrr
    }

    public var mode: Mode
    public var ports: [ServicePort]

    public init(mode: Mode = .vip, ports: [ServicePort] = []) {
        self.mode = mode
        self.ports = ports
    }

    init(json: JSON) throws(SkalaError) {
        let text = json["Mode"].string ?? ""
        guard let mode = text.isEmpty ? .vip : Mode(rawValue: text) else {
            throw SkalaError(.invalid, "EndpointSpec.Mode is vip or dnsrr, not \(text)")
        }
        self.mode = mode
        ports = []
        for entry in json["Ports"].array ?? [] { ports.append(try ServicePort(json: entry)) }
        if mode == .dnsrr, let port = ports.first(where: { $0.publishMode == .ingress }) {
            throw SkalaError(
                .invalid,
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode (port \(port.targetPort))"
            )
        }
        var seen: Set<ServicePort> = []
        for var port in ports where port.publishedPort != 0 {
            let published = port.publishedPort
            port.targetPort = 0
            port.name = ""
            guard seen.insert(port).inserted else {
                throw SkalaError(
                    .invalid,
                    "EndpointSpec: duplicate published ports provided: \(published)/\(port.transport.rawValue)")
            }
        }
    }

    public var json: JSON {
        var json: JSON = ["Mode": JSON(mode.rawValue)]
        if !ports.isEmpty { json["Ports"] = JSON(ports.map(\.json)) }
        return json
    }
}

/// A published port of a service: the API's `EndpointPortConfig`.
public struct ServicePort: Sendable, Hashable {
    public enum PublishMode: String, Sendable, Hashable {
        /// On every node, whether or not a task runs there; balanced over the tasks.
        case ingress
        /// On the node that a task runs on, and leading to that task.
        case host
    }

    public enum Transport: String, Sendable, Hashable { case tcp, udp, sctp }

    public var name: String
    public var transport: Transport
    public var targetPort: Int
    /// 0: one that is free.
    public var publishedPort: Int
    public var publishMode: PublishMode

    public init(
        name: String = "", transport: Transport = .tcp, targetPort: Int, publishedPort: Int = 0,
        publishMode: PublishMode = .ingress
    ) {
        self.name = name
        self.transport = transport
        self.targetPort = targetPort
        self.publishedPort = publishedPort
        self.publishMode = publishMode
    }

    public init(json: JSON) throws(SkalaError) {
        name = json["Name"].string ?? ""
        let protocolText = json["Protocol"].string ?? ""
        guard let transport = protocolText.isEmpty ? .tcp : Transport(rawValue: protocolText) else {
            throw SkalaError(.invalid, "a port's Protocol is tcp, udp or sctp, not \(protocolText)")
        }
        self.transport = transport
        let modeText = json["PublishMode"].string ?? ""
        guard let mode = modeText.isEmpty ? .ingress : PublishMode(rawValue: modeText) else {
            throw SkalaError(.invalid, "a port's PublishMode is ingress or host, not \(modeText)")
        }
        publishMode = mode
        targetPort = try ServicePort.number(json["TargetPort"], "TargetPort", least: 1)
        publishedPort = try ServicePort.number(json["PublishedPort"], "PublishedPort", least: 0)
    }

    private static func number(_ json: JSON, _ field: String, least: Int64) throws(SkalaError) -> Int {
        let value = json.isNull ? 0 : json.int ?? -1
        guard (least...65535).contains(value) else {
            throw SkalaError(.invalid, "a port's \(field) lies between \(least) and 65535, not \(json.text)")
        }
        return Int(value)
    }

    public var json: JSON {
        var json: JSON = [:]
        if !name.isEmpty { json["Name"] = JSON(name) }
        json["Protocol"] = JSON(transport.rawValue)
        json["TargetPort"] = JSON(targetPort)
        if publishedPort != 0 { json["PublishedPort"] = JSON(publishedPort) }
        json["PublishMode"] = JSON(publishMode.rawValue)
        return json
    }
}
