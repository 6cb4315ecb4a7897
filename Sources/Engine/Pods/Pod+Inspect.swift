public import Base
import Kernel
import Machines
import Networks

extension Pods {
    /// The document of `GET /skala/v1/pods/{name}`.
    public func document(of pod: Pod) async -> JSON {
        var json = await pod.document
        var list: [JSON] = []
        for id in members(of: pod).sorted() {
            guard let record = await containers.existing(id)?.snapshot else { continue }
            list.append([
                "Id": JSON(id), "Name": JSON(record.name), "State": JSON(record.state.status.rawValue),
            ])
        }
        json["Containers"] = JSON(list)
        return json
    }
}

extension Pod {
    fileprivate var document: JSON {
        get async {
            let endpoint = await engine.networks.endpoints(of: id).first
            return [
                "Id": JSON(id), "Name": JSON(name), "Created": JSON(record.created.text),
                "State": JSON(isRunning ? "running" : "stopped"), "OnDemand": JSON(record.isOnDemand),
                "Memory": JSON(record.shape.memory), "MemoryForContainers": JSON(record.largestLimit),
                "Processors": JSON(record.shape.processors), "Hostname": JSON(record.hostname),
                "Network": JSON(record.network), "IPAddress": JSON(endpoint?.ipv4 ?? ""),
                "GlobalIPv6Address": JSON(endpoint?.ipv6 ?? ""), "MacAddress": JSON(endpoint?.macAddress ?? ""),
                "Ports": PortBindings.settings(await engine.networks.publishedPorts(of: id), exposed: []),
                "Pid": JSON(isRunning ? machine?.pid ?? 0 : 0), "Labels": JSON(record.labels),
                "ConsolePath": JSON(isRunning ? machine?.console ?? "" : directory + "/console.log"),
            ]
        }
    }
}
