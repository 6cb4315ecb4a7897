import Base
import Planning
import Testing

@testable import Lab

/// Advice by tables: what is measured, and what follows.
@Suite struct AdvisorTests {
    /// An entry whose interval is as wide as two hundredths to either side.
    private static func entry(
        _ key: HostProfile.Entry.Key, _ value: Double?, isProved: Bool = true, width: Double = 0.02
    ) -> HostProfile.Entry {
        .init(
            key, value: value, interval: value.map { $0 - width...$0 + width }, isProved: isProved,
            base: key.kind == .overhead ? "process" : nil, cases: ["c"], run: "20261126-080000",
            measured: Timestamp(seconds: 1_800_000_000), isShortened: false)
    }

    /// - Parameter losses: beside any neighbour, by isolation and allocation; nil: did not finish.
    private static func profile(
        accelerator: String = "kvm", overheads: [String: Double] = ["container": 0.02, "microvm": 0.1],
        losses: [String: Double?]
    ) -> HostProfile {
        var entries = overheads.map { entry(.init(.overhead, .disk, $0.key), $0.value) }
        for (name, value) in losses {
            let words = name.split(separator: " ").map(String.init)
            for neighbour in HostProfile.Neighbour.allCases {
                entries.append(entry(.init(.loss, .disk, words[0], words[1], neighbour), value))
            }
        }
        return HostProfile(accelerator: accelerator, entries: entries)
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let request: AdviceRequest
        var losses: [String: Double?] = [:]
        var overheads: [String: Double] = ["container": 0.02, "microvm": 0.1]
        let expected: String

        var testDescription: String { name }
    }

    private static let even: [String: Double?] = [
        "container shared": 0.3, "container dedicated": 0.3, "microvm shared": 0.3, "microvm dedicated": 0.3,
    ]
    private static let dedicatedWins: [String: Double?] = [
        "container shared": 0.5, "container dedicated": 0.1, "microvm shared": 0.5, "microvm dedicated": 0.1,
    ]
    private static let microvmWins: [String: Double?] = [
        "container shared": 0.7, "container dedicated": 0.6, "microvm shared": 0.2, "microvm dedicated": 0.2,
    ]

    private static func ask(
        _ trust: Trust, fast: Bool = false, dense: Bool = false, use: Double? = nil
    ) -> AdviceRequest {
        var request = AdviceRequest(trust: trust, profile: .disk, startsFast: fast, isDense: dense)
        if let use {
            request.service = .init(name: "web", image: "web:1", isolation: "container", allocation: "shared", use: use)
        }
        return request
    }

    static let rows: [Row] = [
        .init(name: "no trust, nothing measured", request: ask(.none), overheads: [:], expected: "microvm shared"),
        .init(name: "a tenant, nothing measured", request: ask(.tenant), overheads: [:], expected: "pod shared"),
        .init(name: "trust, nothing measured", request: ask(.full), overheads: [:], expected: "container shared"),
        .init(name: "no difference", request: ask(.none), losses: even, expected: "microvm shared"),
        .init(name: "dedicated wins", request: ask(.none), losses: dedicatedWins, expected: "microvm dedicated"),
        .init(name: "in containers, too", request: ask(.full), losses: dedicatedWins, expected: "container dedicated"),
        .init(name: "never in pods", request: ask(.tenant), losses: dedicatedWins, expected: "pod shared"),
        .init(name: "density", request: ask(.full, dense: true), losses: dedicatedWins, expected: "container shared"),
        .init(
            name: "density, but shared did not finish", request: ask(.none, dense: true),
            losses: ["microvm shared": nil as Double?, "microvm dedicated": 0.1], expected: "microvm dedicated"),
        .init(name: "little used", request: ask(.full, use: 0.2), losses: dedicatedWins, expected: "container shared"),
        .init(name: "well used", request: ask(.full, use: 0.9), losses: dedicatedWins, expected: "container dedicated"),
        .init(name: "a VM disturbed less", request: ask(.full), losses: microvmWins, expected: "microvm shared"),
        .init(
            name: "a VM disturbed less, but slow", request: ask(.full), losses: microvmWins,
            overheads: ["container": 0.02, "microvm": 0.8], expected: "container dedicated"),
        .init(
            name: "half of it is measured", request: ask(.full), losses: microvmWins, overheads: ["container": 0.02],
            expected: "container dedicated"),
    ]

    @Test(arguments: rows) func rulesGiveTheAdviceOfTheTable(row: Row) {
        let profile =
            row.losses.isEmpty && row.overheads.isEmpty
            ? nil : AdvisorTests.profile(overheads: row.overheads, losses: row.losses)
        let advice = Advisor.advise(row.request, profile)
        #expect("\(advice.choice.isolation) \(advice.choice.allocation)" == row.expected)
        #expect(advice.runnerUp.choice != advice.choice && !advice.runnerUp.why.isEmpty)
        #expect(!advice.reasons.isEmpty && !advice.reasons.contains(""))
    }

    @Test func wishesForStartAndDensityKeepAContainer() {
        var entries = AdvisorTests.profile(losses: AdvisorTests.microvmWins).entries
        entries.append(AdvisorTests.entry(.init(.start, nil, "container"), 20, width: 5))
        entries.append(AdvisorTests.entry(.init(.start, nil, "microvm"), 90, width: 5))
        entries.append(AdvisorTests.entry(.init(.memory, nil, "microvm"), 3e7, width: 1e6))
        let profile = HostProfile(accelerator: "kvm", entries: entries)
        #expect(Advisor.advise(AdvisorTests.ask(.full), profile).choice.isolation == "microvm")
        let fast = Advisor.advise(AdvisorTests.ask(.full, fast: true), profile)
        #expect(fast.choice.isolation == "container")
        #expect(fast.reasons.contains { $0.contains("20 ms (15 to 25 ms)") })
        #expect(Advisor.advise(AdvisorTests.ask(.full, dense: true), profile).choice.isolation == "container")
        // The wall is not for sale.
        let walled = Advisor.advise(AdvisorTests.ask(.none, dense: true), profile)
        #expect(walled.choice.isolation == "microvm")
        #expect(walled.reasons.contains { $0.contains("memory of a microvm beyond a container's: 28.61MiB") })
    }

    @Test func reasonsAreWhatWasMeasured() {
        let profile = AdvisorTests.profile(accelerator: "tcg", losses: AdvisorTests.dedicatedWins)
        let advice = Advisor.advise(AdvisorTests.ask(.none), profile)
        let text = advice.text
        #expect(text.contains("disk work alone, as microvm: 10 % less (8 to 12 %) than as process"))
        #expect(text.contains("beside an adversarial neighbour: 10 % less (8 to 12 %)"))
        #expect(text.contains("on shared ones 50 % less (48 to 52 %)"))
        #expect(text.contains("software emulation"))
        #expect(text.contains("skala run --isolation microvm --allocation dedicated IMAGE"))
        let unknown = Advisor.advise(AdviceRequest(trust: .none, profile: .cpu), profile).text
        #expect(unknown.contains("cpu work alone, as microvm: not measured"))
        #expect(unknown.contains("neighbours are not measured"))
        #expect(Advisor.advise(AdvisorTests.ask(.none), nil).text.contains("nothing has been measured"))
    }

    @Test func aServiceIsToldWhatToType() {
        var request = AdvisorTests.ask(.none, use: 0.95)
        let profile = AdvisorTests.profile(losses: AdvisorTests.dedicatedWins)
        let commands = Advisor.advise(request, profile).commands
        #expect(
            commands.first
                == "docker service update --isolation microvm --container-label-add skala.allocation=dedicated web")
        request.service?.isolation = "microvm"
        request.service?.allocation = "dedicated"
        #expect(Advisor.advise(request, profile).commands.isEmpty, "it is so already")
    }
}
