import Base
import Planning

/// What a host's profile says, in words.
struct Figures {
    let profile: HostProfile?

    static let notMeasured = "not measured"

    /// `18 % less (15 to 21 %)`.
    func text(_ entry: HostProfile.Entry) -> String {
        guard let value = entry.value else { return "did not finish" }
        var amount = Figures.percent(abs(value)) + (value >= 0 ? " less" : " more")
        if let interval = entry.interval {
            let told = value >= 0 ? interval : -interval.upperBound ... -interval.lowerBound
            amount += " (\(Figures.range(told)))"
        }
        return entry.isProved ? amount : amount + ", which proves no difference"
    }

    /// `−18 %`; in brackets where no difference is proved.
    static func short(_ entry: HostProfile.Entry?) -> String {
        guard let entry else { return Figures.notMeasured }
        guard let value = entry.value else { return "did not finish" }
        let text = (value > 0 ? "−" : "+") + Figures.percent(abs(value))
        return entry.isProved ? text : "(\(text))"
    }

    static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    private static func range(_ interval: ClosedRange<Double>) -> String {
        "\(Int((interval.lowerBound * 100).rounded())) to \(percent(interval.upperBound))"
    }

    // MARK: sentences

    func alone(_ resource: Resource, _ isolation: String) -> String {
        let what = "\(resource.rawValue) work alone, as \(isolation): "
        guard let entry = profile?.overhead(resource, isolation) else { return what + Figures.notMeasured }
        return what + text(entry) + " than as \(entry.base ?? "process")"
    }

    func neighbours(
        _ resource: Resource, _ isolation: String, _ allocation: String, _ rivalries: [HostProfile.Neighbour]
    ) -> [String] {
        rivalries.map { rivalry in
            let what = "beside a\(rivalry == .competing ? " competing" : "n \(rivalry.rawValue)") neighbour: "
            return what + (loss(resource, isolation, allocation, rivalry).map(text) ?? Figures.notMeasured)
        }
    }

    /// What a hostile one can do to others at an isolation.
    func harm(_ resource: Resource, _ isolation: String, _ allocation: String) -> String {
        let loss = loss(resource, isolation, allocation, .adversarial).map(text) ?? Figures.notMeasured
        return "A victim beside a hostile \(isolation): \(loss)"
    }

    func start(_ isolation: String) -> String {
        let what = "start of a \(isolation): "
        guard let entry = profile?.start(isolation), let value = entry.value else { return what + Figures.notMeasured }
        return what + "\(Int(value.rounded())) ms"
            + (entry.interval.map { " (\(Int($0.lowerBound.rounded())) to \(Int($0.upperBound.rounded())) ms)" } ?? "")
    }

    func memory(_ isolation: String) -> String {
        let what = "memory of a \(isolation) beyond a container's: "
        guard let entry = profile?.memory(isolation), let value = entry.value else { return what + Figures.notMeasured }
        return what + ByteSize.binary(Int64(value))
            + (entry.interval.map {
                " (\(ByteSize.binary(Int64($0.lowerBound))) to \(ByteSize.binary(Int64($0.upperBound))))"
            } ?? "")
    }

    func remarks(_ resource: Resource) -> [String] {
        guard let profile else { return ["nothing has been measured of this host: 'skala lab run --quick' does"] }
        var remarks: [String] = []
        if profile.isEmulated {
            remarks.append(
                "VMs ran under software emulation (tcg): what they compute is several times slower than with KVM, and all "
                    + "figures of pod and microvm are of that")
        }
        let used = profile.entries.filter { $0.key.resource == resource || $0.key.resource == nil }
        let shortened = Set(used.filter(\.isShortened).map(\.run)).sorted()
        if !shortened.isEmpty {
            remarks.append(
                "measured by shortened runs (\(shortened.joined(separator: ", "))): few rounds, wide intervals")
        }
        if !used.contains(where: { $0.key.kind == .loss }) {
            remarks.append("neighbours are not measured: 'skala lab run interference' does")
        }
        if !used.contains(where: { $0.key.kind == .overhead }) {
            remarks.append("overheads are not measured: 'skala lab run baseline' does")
        }
        return remarks
    }

    // MARK: comparisons

    /// Pods are VMs to those outside them; where they are not measured, microVMs are.
    func loss(
        _ resource: Resource, _ isolation: String, _ allocation: String, _ rivalry: HostProfile.Neighbour
    ) -> HostProfile.Entry? {
        profile?.loss(resource, isolation, allocation, rivalry)
            ?? (isolation == "pod" ? profile?.loss(resource, "microvm", allocation, rivalry) : nil)
    }

    /// The largest loss beside any of these neighbours; nil when none is measured.
    func worst(
        _ resource: Resource, _ isolation: String, _ allocation: String, _ rivalries: [HostProfile.Neighbour]
    ) -> HostProfile.Entry? {
        rivalries.compactMap { loss(resource, isolation, allocation, $0) }.max { $0.countedLoss < $1.countedLoss }
    }

    /// Whether the one loses more: their intervals do not touch, or it alone did not finish.
    static func isProvedWorse(_ one: HostProfile.Entry, than other: HostProfile.Entry) -> Bool {
        guard one.value != nil else { return other.value != nil }
        guard let interval = one.interval, let otherInterval = other.interval, one.isProved else { return false }
        return interval.lowerBound > otherInterval.upperBound
    }

    func isWorse(
        _ one: String, _ other: String, _ figure: (HostProfile, String) -> HostProfile.Entry?
    ) -> Bool {
        guard let profile, let one = figure(profile, one), let other = figure(profile, other) else { return false }
        return Figures.isProvedWorse(one, than: other)
    }

    /// What is left of a process's work beside the worst neighbour, at the better allocation; nil when a part is not measured.
    private func left(
        _ resource: Resource, _ isolation: String, _ rivalries: [HostProfile.Neighbour]
    ) -> (value: Double, interval: ClosedRange<Double>)? {
        guard let overhead = profile?.overhead(resource, isolation), let value = overhead.value,
            let interval = overhead.interval
        else { return nil }
        let losses = ["dedicated", "shared"].compactMap { worst(resource, isolation, $0, rivalries) }
        guard let loss = losses.min(by: { $0.countedLoss < $1.countedLoss }) else { return nil }
        guard let lost = loss.value else { return (0, 0...0) }
        guard let lostInterval = loss.interval else { return nil }
        func kept(_ loss: Double) -> Double { max(0, 1 - loss) }
        return (
            kept(value) * kept(lost),
            kept(interval.upperBound) * kept(lostInterval.upperBound)...kept(interval.lowerBound)
                * kept(lostInterval.lowerBound)
        )
    }

    /// What is won by an isolation, for people; nil unless it is proved.
    func gain(
        of isolation: String, over other: String, _ resource: Resource, _ rivalries: [HostProfile.Neighbour]
    ) -> String? {
        guard let own = left(resource, isolation, rivalries), let others = left(resource, other, rivalries),
            own.interval.lowerBound > others.interval.upperBound
        else { return nil }
        return
            "beside the worst of them \(Figures.percent(own.value)) is left of what a process does alone, as \(other) "
            + Figures.percent(others.value)
    }
}
