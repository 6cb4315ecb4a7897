import Base
import Client

/// `skala swarm`
enum SwarmCommands {
    static let group = Command(
        "swarm", "Swarm mode, which services need", "COMMAND", work: .group([begin, leave]))

    private static let begin = Command(
        "init", "Begin swarm mode on this engine", "[OPTIONS]", 0...0,
        options: [.value("advertise-addr", "ADDRESS", "Address others would reach it by")],
        examples: ["skala swarm init"]
    ) { call in
        var body: JSON = ["ListenAddr": "0.0.0.0:2377"]
        if let address = call.arguments["advertise-addr"] { body["AdvertiseAddr"] = JSON(address) }
        try call.output.line(try call.client.json(.post("/swarm/init", body)).plain)
        return 0
    }

    private static let leave = Command(
        "leave", "End swarm mode; all services, secrets and configs go", "[OPTIONS]", 0...0,
        options: [.flag("force", short: "f", "End it though this is the last manager")],
        examples: ["skala swarm leave --force"]
    ) { call in
        let query = call.arguments.flag("force") ? [(name: "force", value: "1")] : []
        _ = try call.client.send(.post("/swarm/leave", query: query)).all()
        return 0
    }
}
