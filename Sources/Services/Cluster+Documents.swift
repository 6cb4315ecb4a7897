public import Base
import Engine
import Networks
import Planning

extension Cluster {
    /// The API's `Endpoint` of a service.
    public func endpoint(of service: ServiceRecord) -> JSON {
        let spec = service.spec.endpoint
        guard !spec.ports.isEmpty || !service.spec.task.networks.isEmpty else { return ["Spec": [:]] }
        var endpoint: JSON = ["Spec": spec.json]
        if !spec.ports.isEmpty { endpoint["Ports"] = JSON(spec.ports.map(\.json)) }
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
