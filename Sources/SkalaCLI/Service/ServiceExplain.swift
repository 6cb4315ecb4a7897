import Base
import Client

/// `skala service explain`: why each task is where it is, why it does not run, and what was decided in the last hour.
enum ServiceExplain {
    static let command = Command(
        "explain", "Say why a service's tasks are where they are, and why some do not run", "[OPTIONS] SERVICE", 1...1,
        options: [.format], examples: ["skala service explain web"]
    ) { call in
        let path = "/skala/v1" + ServiceCommands.path(call.arguments.positional[0], "/explain")
        let explanation = try call.client.json(.get(path))
        if call.arguments.has("format") {
            try call.output.documents([explanation], format: call.arguments["format"])
        } else {
            try call.output.write(text(explanation))
        }
        return 0
    }

    /// `12.5 a second, 3 under way, 0 of them held, 95% answered within 8 ms; 1200 in all, 2 failed`
    private static func requests(_ http: JSON) -> String {
        var text = "\(http["RequestsPerSecond"].plain) a second, \(http["Concurrency"].plain) under way, "
        text += "\(http["Held"].plain) of them held"
        let latency = http["LatencyMilliseconds"]["p95"]
        if !latency.isNull { text += ", 95% answered within \(latency.plain) ms" }
        let failed = (http["Errors"].int ?? 0) + (http["Failures"].int ?? 0)
        return text + "; \(http["Requests"].plain) since HAProxy's start, \(failed) failed"
    }

    static func text(_ explanation: JSON) -> String {
        var text = "\(explanation["Service"].plain): \(explanation["Mode"].text)\n"
        let update = explanation["UpdateStatus"]
        if !update.isNull { text += "update \(update["State"].plain): \(update["Message"].plain)\n" }
        let scaling = explanation["Autoscaler"].plain
        if !scaling.isEmpty { text += "autoscaler: \(scaling)\n" }
        if !explanation["HTTP"].isNull { text += "requests: \(requests(explanation["HTTP"]))\n" }
        var table = Table(["SLOT", "TASK", "NODE", "ISOLATION", "STATE", "WHY"])
        for task in explanation["Tasks"].array ?? [] {
            let node = explanation["Nodes"][task["Node"].plain]["Hostname"].plain
            table.add([
                task["Slot"].int == 0 ? "-" : task["Slot"].plain, String(task["ID"].plain.prefix(12)),
                node.isEmpty ? "-" : node, task["Isolation"].plain, task["State"].plain, task["Why"].plain,
            ])
        }
        text += "\n" + table.text
        let notes = explanation["Notes"].array ?? []
        if !notes.isEmpty { text += "\nWaiting:\n" }
        for note in notes { text += "  slot \(note["Slot"].plain): \(note["Text"].plain)\n" }
        let decisions = explanation["Decisions"].array ?? []
        if !decisions.isEmpty { text += "\nDecided in the last hour:\n" }
        for decision in decisions { text += "  \(decision["Time"].plain.prefix(19)) \(decision["Text"].plain)\n" }
        return text
    }
}
