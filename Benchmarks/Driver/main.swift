import Base
import Glibc
import Kernel
import Networks

// Drives the balancers for Benchmarks/run services, without a daemon: a command of JSON a line on standard input, an
// answer a line on standard output. It ends with its input, and removes what it made.
//
//   driver RUN-FOLDER BRIDGE SUBNET
//   {"do": "member", "id": "m0"}                                       → {"ipv4": …, "namespace": …}
//   {"do": "service", "port": 80, "target": 8000, "members": ["m0"]}   → {"address": …}
//   {"do": "members", "members": ["m0"]}                               → {"milliseconds": …}
//   {"do": "http", "port": 8080, "target": 8000, "members": ["m0"]}    → {}
let arguments = CommandLine.arguments
guard arguments.count == 4 else {
    print("usage: driver RUN-FOLDER BRIDGE SUBNET")
    exit(2)
}
let manager = try await NetworkManager(
    runDirectory: arguments[1], options: NetworkOptions(bridge: arguments[2], subnet: arguments[3]))
try await manager.restore(networks: [], endpoints: [:])
let network = try await manager.find("bridge").id
let http = HTTPBalancer(folder: arguments[1] + "/http", log: Log(level: .error))
var places: [String] = []

/// Does one command.
@MainActor func perform(_ command: JSON) async throws -> JSON {
    let members = command["members"].strings ?? []
    let port = UInt16(clamping: command["port"].int ?? 0)
    let target = UInt16(clamping: command["target"].int ?? 0)
    switch command["do"].string {
    case "member":
        let id = command["id"].string ?? ""
        places.append(id)
        let path = try await manager.makeNamespace(containerID: id)
        let endpoint = try await manager.connect(
            containerID: id,
            EndpointRequest(
                networkID: network, containerName: id, aliases: [], ipv4: nil, ipv6: nil, macAddress: nil, rate: nil))
        return ["ipv4": JSON(endpoint.ipv4), "namespace": JSON(path)]
    case "service":
        let service = try await manager.setService(
            BalancedService(
                id: "bench", attachments: [.init(networkID: network, names: [])],
                ports: [PortRequest(hostIP: "", hostPorts: port...port, containerPort: target, protocol: "tcp")],
                members: members.map { BalancedMember(id: $0) }))
        return ["address": JSON(service.attachments[0].ipv4)]
    case "members":
        let start = SystemClock.monotonicNanoseconds()
        try await manager.setMembers(of: "bench", members.map { BalancedMember(id: $0) })
        return ["milliseconds": JSON(Double(SystemClock.monotonicNanoseconds() - start) / 1e6)]
    case "http":
        var list: [HTTPService.Member] = []
        for id in members {
            guard let endpoint = await manager.endpoints(of: id).first else { continue }
            list.append(HTTPService.Member(id: id, address: try IPAddress(parsing: endpoint.ipv4), port: target))
        }
        try await http.set(HTTPService(id: "bench", listeners: [.init(port: port)], members: list))
        return [:]
    default: throw SkalaError(.invalid, "unknown command")
    }
}

while let line = readLine() {
    do {
        print(try await perform(JSON(parsing: line)).text)
    } catch { print((["error": JSON("\(error)")] as JSON).text) }
    fflush(nil)
}
try await manager.removeService("bench")
try await http.remove("bench")
for place in places { await manager.destroySandbox(place) }
