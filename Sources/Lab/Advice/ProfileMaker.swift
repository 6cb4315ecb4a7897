import Base
import Glibc
public import Planning

/// Takes out of a run's results what a host's profile tells.
///
/// - Overheads, of cases with `resource` that compare isolations: the first measure of each, together as their geometric mean.
/// - Losses, of cases with `resource` that compare neighbours at an isolation and an allocation: the same.
/// - What an instance takes beyond a container, of cases with the factor `count` and the measure `memory`; at the largest count.
/// - How soon it answers, of cases with the factor `start` and the measure `answer`; as the engine usually starts it.
public struct ProfileMaker {
    private let results: RunResults
    private let isShortened: Bool
    private let measured: Timestamp

    public init(_ results: RunResults) {
        self.results = results
        let options = results.record["options"]
        let isWhole = results.record["state"] == "complete"
        isShortened = !isWhole || options["quick"].bool != false || !options["rounds"].isNull
        let time = results.record["ended"].string ?? results.record["started"].string ?? ""
        // A run that does not say is an old one.
        measured = (try? Timestamp(parsing: time)) ?? Timestamp(seconds: 0)
    }

    public var profile: HostProfile {
        HostProfile(
            accelerator: results.record["host"]["accelerator"].string,
            entries: shares(.overhead) + shares(.loss) + starts + memories)
    }

    // MARK: overheads and losses

    /// How one case's first measure relates to its base.
    private struct Finding {
        let name: String
        let base: String
        /// Nil when it did not finish, which it does alone.
        let comparison: Comparison?
        let isHigherBetter: Bool
    }

    private func shares(_ kind: HostProfile.Entry.Kind) -> [HostProfile.Entry] {
        var found: [HostProfile.Entry.Key: [Finding]] = [:]
        for experiment in results.experiments {
            for item in experiment.cases where item.base.name == (kind == .loss ? "neighbour" : "isolation") {
                for (index, row) in item.rows.enumerated() {
                    guard let key = key(kind, item, row.condition), let finding = finding(item, index, row) else {
                        continue
                    }
                    found[key, default: []].append(finding)
                }
            }
        }
        return found.map { key, findings in entry(key, findings) }
    }

    private func key(
        _ kind: HostProfile.Entry.Kind, _ item: CaseResults, _ condition: Condition
    ) -> HostProfile.Entry.Key? {
        guard let resource = item.resource, let isolation = condition["isolation"],
            HostProfile.isolations.contains(isolation)
        else { return nil }
        guard kind == .loss else { return .init(kind, resource, isolation) }
        guard let allocation = condition["allocation"], HostProfile.allocations.contains(allocation),
            let neighbour = condition["neighbour"].flatMap(HostProfile.Neighbour.init)
        else { return nil }
        return .init(kind, resource, isolation, allocation, neighbour)
    }

    private func finding(_ item: CaseResults, _ index: Int, _ row: CaseResults.Row) -> Finding? {
        guard let measure = item.measures.first(where: { $0.better != .neither }), let base = item.base(of: index),
            !item.rows[base].hasFailed, item.rows[base].summaries[measure.name] != nil
        else { return nil }
        let comparison = row.comparisons[measure.name]
        // One that failed for another reason than its neighbour says nothing of it.
        guard row.hasFailed ? row.isUnfinished : comparison?.ratio != nil else { return nil }
        return Finding(
            name: item.name, base: item.base.value, comparison: row.hasFailed ? nil : comparison,
            isHigherBetter: measure.better == .higher)
    }

    /// The geometric mean of what is left, as a loss. One case that did not finish is told for all.
    private func entry(_ key: HostProfile.Entry.Key, _ findings: [Finding]) -> HostProfile.Entry {
        let names = Array(Set(findings.map(\.name))).sorted()
        let base = key.kind == .overhead ? findings.first?.base : nil
        func entry(_ value: Double?, _ interval: ClosedRange<Double>?, _ isProved: Bool) -> HostProfile.Entry {
            .init(
                key, value: value, interval: interval, isProved: isProved, base: base, cases: names,
                run: results.identifier, measured: measured, isShortened: isShortened)
        }
        if findings.contains(where: { $0.comparison == nil }) {
            // An isolation that never finishes has no overhead that could be told, only neighbours do harm.
            return entry(key.kind == .loss ? nil : 1, nil, true)
        }
        let count = Double(findings.count)
        var (sum, squares, hasInterval) = (0.0, 0.0, true)
        for finding in findings {
            guard let comparison = finding.comparison, let ratio = comparison.ratio else { continue }
            sum += finding.isHigherBetter ? log(ratio) : -log(ratio)
            guard let interval = comparison.interval else {
                hasInterval = false
                continue
            }
            let half = (log(interval.upperBound) - log(interval.lowerBound)) / 2
            squares += half * half
        }
        let mean = sum / count
        let half = squares.squareRoot() / count
        func loss(_ logarithm: Double) -> Double { min(1, max(-1000, 1 - exp(logarithm))) }
        guard hasInterval, half.isFinite else { return entry(loss(mean), nil, false) }
        // Of a single case it is decided in the family of all comparisons; their mean is held against its interval.
        let isProved =
            findings.count == 1
            ? findings[0].comparison?.isDifferent == true
            : abs(mean) > half && abs(mean) >= log(1 + Comparison.smallestEffect)
        return entry(loss(mean), loss(mean + half)...loss(mean - half), isProved)
    }

    // MARK: sizes and times

    private var starts: [HostProfile.Entry] {
        summaries("answer") { $0["start"] == "usual" }.compactMap { isolation, found in
            found.last.map { entry(.init(.start, nil, isolation), $0.summary, $0.name, minus: nil) }
        }
    }

    /// A container holds the same programs: what is more is the isolation's.
    private var memories: [HostProfile.Entry] {
        let all = summaries("memory") { $0["count"] != nil }
        guard let container = all["container"]?.last else { return [] }
        return all.compactMap { isolation, found in
            guard isolation != "container", isolation != "process", let last = found.last else { return nil }
            return entry(.init(.memory, nil, isolation), last.summary, last.name, minus: container.summary)
        }
    }

    private struct Scaled {
        let summary: Summary
        let name: String
    }

    /// By isolation, in milliseconds or bytes.
    private func summaries(_ measure: String, where isMeant: (Condition) -> Bool) -> [String: [Scaled]] {
        var found: [String: [Scaled]] = [:]
        for experiment in results.experiments {
            for item in experiment.cases {
                guard let unit = item.measures.first(where: { $0.name == measure })?.unit,
                    let scale = ProfileMaker.scales[unit]
                else { continue }
                for row in item.rows where !row.hasFailed && isMeant(row.condition) {
                    guard let isolation = row.condition["isolation"], HostProfile.isolations.contains(isolation),
                        let summary = Summary(row.samples.compactMap { $0.trial.values[measure].map { $0 * scale } })
                    else { continue }
                    found[isolation, default: []].append(Scaled(summary: summary, name: item.name))
                }
            }
        }
        return found
    }

    private static let scales: [String: Double] = [
        "ms": 1, "s": 1000, "MiB each": 1_048_576,
    ]

    private func entry(
        _ key: HostProfile.Entry.Key, _ summary: Summary, _ name: String, minus base: Summary?
    ) -> HostProfile.Entry {
        let value = max(0, summary.median - (base?.median ?? 0))
        var interval: ClosedRange<Double>?
        if let own = summary.interval {
            let other = base.map(\.interval) ?? 0...0
            interval = other.map {
                min(value, own.lowerBound - $0.upperBound)...max(value, own.upperBound - $0.lowerBound)
            }
        }
        return .init(
            key, value: value, interval: interval, isProved: (interval?.lowerBound ?? 0) > 0, cases: [name],
            run: results.identifier, measured: measured, isShortened: isShortened)
    }
}
