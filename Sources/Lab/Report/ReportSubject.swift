import Base

/// What a report tells of a run beside its figures: the host, its noise, and what that means for the figures.
struct ReportSubject {
    let record: JSON
    let samples: [Sample]

    init(_ results: RunResults) {
        record = results.record
        samples = results.samples
    }

    var host: JSON { record["host"] }
    var hostname: String { host["hostname"].string ?? "unknown host" }
    /// VMs ran on a processor that software plays.
    var isEmulated: Bool { host["accelerator"] == "tcg" }

    private static let machines: Set<String> = ["pod", "microvm", "machine"]

    /// Whether a condition's figures were taken under software emulation.
    func isEmulated(_ condition: Condition) -> Bool {
        isEmulated && condition.factors.contains { ReportSubject.machines.contains($0.value) }
    }

    /// Whether any of the run's were.
    var hasEmulated: Bool { samples.contains { isEmulated($0.condition) } }

    /// A condition for people; `without`: a factor that is told elsewhere.
    func name(_ condition: Condition, without factor: String? = nil) -> String {
        let values = condition.factors.filter { $0.name != factor }.map { factor in
            Double(factor.value) != nil ? "\(factor.name) \(factor.value)" : factor.value
        }
        return values.joined(separator: ", ") + (isEmulated(condition) ? " ᵉ" : "")
    }

    static let emulationMark = "ᵉ"
    static let emulationNote =
        "ᵉ Software emulation: this host runs no guest by hardware virtualization, so that everything a VM computes is several "
        + "times slower. These figures say what isolation costs on this host, and nothing about VMs on hardware with KVM."

    /// `2026-11-26 07:55 UTC`.
    static func time(_ json: JSON) -> String? {
        guard let text = json.string, text.utf8.count >= 16 else { return nil }
        return text.prefix(10) + " " + text.dropFirst(11).prefix(5) + " UTC"
    }

    /// How long it took, in words.
    var duration: String? {
        // A run that was broken off has no end.
        guard let start = record["started"].string.flatMap({ try? Timestamp(parsing: $0) }),
            let end = record["ended"].string.flatMap({ try? Timestamp(parsing: $0) })
        else { return nil }
        let minutes = (end.nanoseconds(since: start) + 30_000_000_000) / 60_000_000_000
        return minutes < 1
            ? "under a minute" : minutes < 120 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
    }

    // MARK: warnings

    /// What speaks against the figures, in whole sentences.
    var warnings: [String] {
        var warnings = noiseWarnings
        switch record["state"].string {
        case "stopped"?: warnings.append("The run was stopped before its end; what it had measured is shown.")
        case "failed"?: warnings.append("The run failed before its end; what it had measured is shown.")
        case "running"?: warnings.append("The run has not ended; what it has measured so far is shown.")
        default: break
        }
        if record["options"]["quick"].bool == true {
            warnings.append(
                "A quick run: short trials, few rounds, wide intervals. Cite figures of a full run.")
        }
        return warnings
    }

    static let busyLimit = 0.05
    static let stolenLimit = 0.01
    static let scatterLimit = 1.2

    private var noiseWarnings: [String] {
        var warnings: [String] = []
        for (key, name) in [("before", "Before the run"), ("after", "After the run")] {
            let noise = record["noise"][key]
            var reasons: [String] = []
            if let busy = noise["busy"].double, busy > ReportSubject.busyLimit {
                reasons.append("other programs used \(ReportSubject.percent(busy)) of its processors")
            }
            if let stolen = noise["stolen"].double, stolen > ReportSubject.stolenLimit {
                reasons.append("a hypervisor took \(ReportSubject.percent(stolen)) of them")
            }
            if let scatter = noise["scatter"].double, scatter > ReportSubject.scatterLimit {
                reasons.append("the same work took up to \(Decimal.text(scatter, 1)) times as long as usual")
            }
            guard !reasons.isEmpty else { continue }
            warnings.append("\(name) the host was not quiet: \(reasons.joined(separator: ", ")).")
        }
        let stolen = samples.filter { $0.stolen > ReportSubject.stolenLimit }
        if let worst = stolen.map(\.stolen).max() {
            warnings.append(
                "During \(stolen.count) of \(samples.count) trials a hypervisor took more than 1\u{A0}% of the processors' time, at most "
                    + "\(ReportSubject.percent(worst)).")
        }
        return warnings
    }

    static func percent(_ share: Double) -> String { Decimal.text(share * 100, share < 0.0995 ? 1 : 0) + "\u{A0}%" }

    // MARK: tables

    /// Host and versions, a line each.
    var hostLines: [(String, String)] {
        func text(_ key: String) -> String? { host[key].string }
        let disk = host["disk"]
        let rotates = disk["rotational"].bool.map { $0 ? ", rotating" : ", not rotating" } ?? ""
        let components = (host["engine"]["components"].array ?? []).compactMap { item in
            item["name"].string.map { "\($0) \(item["version"].string ?? "")" }
        }
        let peers = (host["peers"].array ?? []).compactMap { item in
            item["name"].string.map { "\($0) \(item["version"].string ?? "")" }
        }
        let lines: [(String, String?)] = [
            ("Host", text("hostname")), ("System", text("system")), ("Kernel", text("kernel")),
            (
                "Processors",
                host["processors"].int.map {
                    "\($0) × \(text("processor") ?? "unknown"), \(text("architecture") ?? "")"
                }
            ), ("Memory", host["memory"].double.map { Decimal.text($0 / 1_073_741_824, 1) + " GiB" }),
            ("Disk", disk["device"].string.map { "\($0), \(disk["fileSystem"].string ?? "")\(rotates)" }),
            ("cgroups", text("cgroups")),
            ("VMs run by", text("accelerator").map { $0 == "tcg" ? "software emulation (tcg)" : $0 } ?? "not known"),
            ("Itself virtualized", host["virtualized"].bool.map { $0 ? "yes" : "no" }),
            (
                "Engine",
                host["engine"]["version"].string.map { "Skala \($0), \(host["engine"]["storage"].string ?? "")" }
            ),
            ("Peers", peers.isEmpty ? nil : peers.joined(separator: ", ")),
            ("Components", components.isEmpty ? nil : components.joined(separator: ", ")),
            ("Seed", record["options"]["seed"].int.map(String.init)), ("Run", record["id"].string),
        ]
        return lines.compactMap { line in line.1.map { (line.0, $0) } }
    }

    static let noiseTitles = ["", "busy", "stolen", "load", "fixed work", "its scatter"]

    /// The host's noise, a row for each time it was looked at.
    var noiseRows: [[String]] {
        var rows: [[String]] = []
        func row(_ name: String, _ noise: JSON) {
            guard !noise.isNull else { return }
            func number(_ key: String, _ decimals: Int) -> String {
                noise[key].double.map { Decimal.text($0, decimals) } ?? "–"
            }
            rows.append([
                name, noise["busy"].double.map(ReportSubject.percent) ?? "–",
                noise["stolen"].double.map(ReportSubject.percent) ?? "–", number("load", 2),
                number("work", 2) + " ms", "×" + number("scatter", 2),
            ])
        }
        row("before", record["noise"]["before"])
        let stolen = samples.map(\.stolen)
        if let median = Summary(stolen)?.median {
            let most = stolen.max() ?? 0
            rows.append([
                "during trials", "–",
                "median \(ReportSubject.percent(median)), at most \(ReportSubject.percent(most))", "–", "–", "–",
            ])
        }
        row("after", record["noise"]["after"])
        return rows
    }

    var obstacles: [String] { record["obstacles"].strings ?? [] }
}
