import Base
import Client
import Glibc
import Kernel

/// One thing to try.
typealias Probe = (name: String, find: () throws -> Finding)

/// `skala doctor`: tries what the engine needs of this host.
enum HostDoctor {
    static let command = Command(
        "doctor", "Try what this host offers, and say what is missing and how to mend it", "[OPTIONS]", 0...0,
        options: [.value("format", "json", "Machine-readable", .words(["json", "table"]))],
        examples: ["sudo skala doctor", "sudo skala doctor --format json"]
    ) { call in
        let probes =
            KernelProbes.all + CgroupProbes.all + NetworkProbes.all + ToolProbes.all(call.client)
        var findings: [(name: String, finding: Finding)] = []
        for probe in probes {
            let finding: Finding
            do { finding = try probe.find() } catch {
                finding = .missing(
                    CommandFailure.text(error), costs: "not known: the probe failed", mend: "run 'skala doctor' as root"
                )
            }
            findings.append((probe.name, finding))
        }
        try show(findings, call)
        return findings.contains { $0.finding.level == .missing } ? 1 : 0
    }

    private static func show(_ findings: [(name: String, finding: Finding)], _ call: Invocation) throws {
        if call.arguments["format"] == "json" {
            let list = findings.map { name, finding -> JSON in
                [
                    "name": JSON(name), "level": JSON(finding.level.rawValue), "detail": JSON(finding.detail),
                    "cost": JSON(finding.cost), "remedy": JSON(finding.remedy),
                ]
            }
            return try call.output.line(JSON(list).text)
        }
        let width = findings.map(\.name.count).max() ?? 0
        for (name, finding) in findings {
            let (mark, color): (String, Output.Color) =
                switch finding.level {
                case .ok: ("ok     ", .green)
                case .limited: ("limited", .yellow)
                case .missing: ("MISSING", .red)
                }
            let gap = String(repeating: " ", count: width - name.count + 2)
            try call.output.line("\(call.output.paint(mark, color))  \(name)\(gap)\(finding.detail)")
            let indent = String(repeating: " ", count: width + 11)
            if !finding.cost.isEmpty { try call.output.line("\(indent)costs: \(finding.cost)") }
            if !finding.remedy.isEmpty { try call.output.line("\(indent)mend:  \(finding.remedy)") }
        }
        let missing = findings.filter { $0.finding.level == .missing }.count
        let limited = findings.filter { $0.finding.level == .limited }.count
        let verdict =
            missing > 0
            ? "\(missing) essential things are missing: containers will not run"
            : limited > 0 ? "containers run; \(limited) things are limited" : "everything is there"
        try call.output.line("\n" + verdict)
    }
}
