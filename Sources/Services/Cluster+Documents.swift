public import Base
import Engine
import Networks
import Planning

extension Cluster {
    /// The API's `Endpoint` of a service.
    public func endpoint(of service: ServiceRecord) async -> JSON {
        let spec = service.spec.endpoint
        guard !spec.ports.isEmpty || !service.spec.task.networks.isEmpty else { return ["Spec": [:]] }
        var endpoint: JSON = ["Spec": spec.json]
        let balanced = await context.engine.networks.service(service.id)
        var published = balanced?.ports ?? []
        let ports = spec.ports.map { port in
            var port = port
            let own = published.firstIndex {
                $0.containerPort == UInt16(clamping: port.targetPort) && $0.protocol == port.transport.rawValue
                    && (port.publishedPort == 0 || $0.hostPort == UInt16(clamping: port.publishedPort))
            }
            if port.publishMode == .ingress, let own { port.publishedPort = Int(published.remove(at: own).hostPort) }
            return port.json
        }
        if !ports.isEmpty { endpoint["Ports"] = JSON(ports) }
        var addresses: [JSON] = []
        for attachment in balanced?.attachments ?? [] where !attachment.ipv4.isEmpty {
            let network = try? await context.engine.networks.find(attachment.networkID)  // it may just have gone
            let prefix = network?.subnets.first?.subnet.split(separator: "/").last ?? "32"
            addresses.append(["NetworkID": JSON(attachment.networkID), "Addr": JSON("\(attachment.ipv4)/\(prefix)")])
        }
        if !addresses.isEmpty { endpoint["VirtualIPs"] = JSON(addresses) }
        return endpoint
    }

    /// A task as the API shows it, with its addresses.
    public func document(of task: TaskRecord) async -> JSON {
        var document = task.document
        guard task.state.isActive, !task.containerID.isEmpty else { return document }
        var attachments: [JSON] = []
        for endpoint in await context.engine.networks.endpoints(of: task.containerID) {
            attachments.append([
                "Network": [
                    "ID": JSON(endpoint.networkID), "Spec": ["Name": JSON(endpoint.networkName)],
                ],
                "Addresses": [JSON("\(endpoint.ipv4)/\(endpoint.prefixLength)")],
            ])
        }
        if !attachments.isEmpty { document["NetworksAttachments"] = JSON(attachments) }
        let ports = await context.engine.networks.publishedPorts(of: task.containerID)
        if !ports.isEmpty {
            document["Status"]["PortStatus"] = [
                "Ports": JSON(
                    ports.map {
                        [
                            "Protocol": JSON($0.protocol), "TargetPort": JSON($0.containerPort),
                            "PublishedPort": JSON($0.hostPort), "PublishMode": "host",
                        ]
                    })
            ]
        }
        return document
    }
}
