import Base
import Planning

/// Which isolation and allocation a run's figures speak for, by trust and by what a workload lives on: what `skala lab advise`
/// says with them. Beside that what it costs there: work alone, against none, and beside each neighbour, against alone.
struct AdviceTable {
    static let titles = ["Trusted by", "Lives on", "Choose", "Alone"] + HostProfile.Neighbour.allCases.map(\.rawValue)
    static let note =
        "Alone: against a process without isolation. Beside a neighbour of each kind: against alone. In brackets: no difference is "
        + "proved. A pod's neighbours are other VMs. The reasons are told by 'skala lab advise --trust none --profile disk'."

    let rows: [[String]]

    init(_ results: RunResults) {
        let profile = ProfileMaker(results).profile
        let figures = Figures(profile: profile)
        rows = Trust.allCases.flatMap { trust in
            Resource.allCases.compactMap { resource -> [String]? in
                guard profile.entries.contains(where: { $0.key.resource == resource }) else { return nil }
                let choice = Advisor.advise(AdviceRequest(trust: trust, profile: resource), profile).choice
                let beside = HostProfile.Neighbour.allCases.map {
                    Figures.short(figures.loss(resource, choice.isolation, choice.allocation, $0))
                }
                return [
                    AdviceTable.name(trust), resource.rawValue, "\(choice.isolation), \(choice.allocation)",
                    Figures.short(profile.overhead(resource, choice.isolation)),
                ] + beside
            }
        }
    }

    private static func name(_ trust: Trust) -> String {
        switch trust {
        case .none: "nobody"
        case .tenant: "its tenant"
        case .full: "everybody"
        }
    }
}
