import Base
import TestSupport
import Testing

@testable import Planning

struct HostProfileTests {
    private func entry(
        _ value: Double?, run: String = "a", isShortened: Bool = false, isProved: Bool = true,
        _ neighbour: HostProfile.Neighbour = .competing
    ) -> HostProfile.Entry {
        .init(
            .init(.loss, .cpu, "container", "shared", neighbour), value: value,
            interval: value.map { $0 - 0.1...$0 + 0.1 }, isProved: isProved, cases: ["compile"], run: run,
            measured: Timestamp(seconds: 1_800_000_000), isShortened: isShortened)
    }

    @Test func aDocumentIsReadAsItWasWritten() throws {
        let profile = HostProfile(
            accelerator: "tcg",
            entries: [
                entry(0.4), entry(nil, .adversarial),
                .init(
                    .init(.overhead, .disk, "microvm"), value: 0.62, interval: 0.5...0.7, isProved: true,
                    base: "process",
                    cases: ["disk-read", "disk-sync"], run: "r", measured: Timestamp(seconds: 1), isShortened: true),
                .init(
                    .init(.memory, nil, "microvm"), value: 2e7, isProved: true, run: "r",
                    measured: Timestamp(seconds: 1),
                    isShortened: false),
            ])
        #expect(try HostProfile(json: JSON(parsing: profile.json.text)) == profile)
        #expect(profile.loss(.cpu, "container", "shared", .adversarial)?.countedLoss == 1)
    }

    @Test func whatIsWrongIsRefusedAndNamed() throws {
        let good = HostProfile(accelerator: nil, entries: [entry(0.4)]).json
        func refusal(_ change: (inout JSON) -> Void) -> String? {
            var entry = good["Entries"][0]
            change(&entry)
            var json = good
            json["Entries"] = [entry]
            do { _ = try HostProfile(json: json) } catch { return error.message }
            return nil
        }
        #expect(refusal { _ in } == nil)
        #expect(refusal { $0["Kind"] = "gain" } == "Entries[0]: Kind is one of overhead, loss, memory, start")
        #expect(refusal { $0["Value"] = 1.5 }?.contains("Value is a number") == true)
        #expect(refusal { $0["Value"] = "much" }?.contains("Value is a number") == true)
        #expect(refusal { $0["Low"] = 0.45 }?.contains("between Low and High") == true)
        #expect(refusal { $0["High"] = .null }?.contains("stand together") == true)
        #expect(refusal { $0["Isolation"] = "jail" }?.contains("Isolation is one of") == true)
        #expect(refusal { $0["Kind"] = "start" }?.contains("has no place") == true)
        #expect(refusal { $0["Allocation"] = .null }?.contains("Allocation is one of") == true)
        #expect(refusal { $0["Proved"] = 1 }?.contains("true or false") == true)
        #expect(refusal { $0["Run"] = "a\nb" }?.contains("Run is") == true)
        #expect(refusal { $0["Measured"] = "today" }?.contains("Measured is a time") == true)
        #expect(refusal { $0["Extra"] = 1 }?.contains("no member Extra") == true)
        var twice = good
        twice["Entries"] = [good["Entries"][0], good["Entries"][0]]
        #expect(throws: SkalaError.self) { try HostProfile(json: twice) }
        var many = good
        many["Entries"] = JSON(Array(repeating: good["Entries"][0], count: HostProfile.maximumEntries + 1))
        #expect(throws: SkalaError.self) { try HostProfile(json: many) }
        for text in [
            "[]", "{}", "{\"Version\":2,\"Entries\":[]}", "{\"Version\":1,\"Accelerator\":\"x\",\"Entries\":[]}",
        ] {
            #expect(throws: SkalaError.self) { try HostProfile(json: JSON(parsing: text)) }
        }
    }

    @Test func aShortenedRunReplacesNoFullOne() {
        let full = HostProfile(accelerator: "tcg", entries: [entry(0.4, run: "full")])
        let short = HostProfile(
            accelerator: "tcg",
            entries: [
                entry(0.6, run: "short", isShortened: true), entry(0.1, run: "short", isShortened: true, .orthogonal),
            ])
        let (merged, leftOut) = full.merging(short)
        #expect(leftOut == 1 && merged.entries.map(\.run) == ["full", "short"])
        #expect(full.merging(short, force: true).profile.entries.allSatisfy { $0.run == "short" })
        #expect(short.merging(full).profile.entries.map(\.run) == ["full", "short"])
        // VMs are others with another accelerator: nothing stays.
        let other = HostProfile(accelerator: "kvm", entries: [entry(0.1, run: "k", isShortened: true, .orthogonal)])
        #expect(full.merging(other).profile == other)
    }

    @Test func interferenceIsMultipliedAndCountsWhatIsProvedOnly() throws {
        let profile = HostProfile(
            accelerator: nil, entries: [entry(0.4), entry(0.3, isProved: false, .orthogonal)])
        let interference = Interference(profile)
        let cpu = try #require(Interference.Work(Demand(profile: .cpu)))
        let disk = try #require(Interference.Work(Demand(profile: .disk)))
        let groups = [Interference.Group(work: cpu, count: 2), .init(work: disk, count: 5)]
        // Each of the two beside one other of its kind; disks beside each other are not measured.
        #expect(abs(interference.totalLoss(of: groups) - 0.8) < 1e-9)
        // The third loses beside two, and each of the two loses once more of what is left.
        let added = interference.addedLoss(of: cpu, to: groups)
        #expect(abs(added - ((1 - 0.36) + 2 * 0.6 * 0.4)) < 1e-9)
        let third = [Interference.Group(work: cpu, count: 3), .init(work: disk, count: 5)]
        #expect(abs(interference.totalLoss(of: third) - 0.8 - added) < 1e-9)
        #expect(Interference.Work(Demand()) == nil)
        // Best effort has what is shared, dedicated is another figure.
        let idle = try #require(Interference.Work(Demand(allocation: .bestEffort, profile: .cpu)))
        let dedicated = try #require(Interference.Work(Demand(allocation: .dedicated, profile: .cpu)))
        #expect(abs(interference.loss(of: idle, beside: .init(groups)) - 0.64) < 1e-9)
        #expect(interference.loss(of: dedicated, beside: .init(groups)) == 0)
    }

    @Test func whatAVMLosesStandsForPodsAndMachines() throws {
        var vm = entry(0.2)
        vm.key.isolation = "microvm"
        let interference = Interference(HostProfile(accelerator: nil, entries: [vm]))
        let groups = [Interference.Group(work: try #require(Interference.Work(Demand(profile: .cpu))), count: 1)]
        for (isolation, loss) in [("container", 0.0), ("microvm", 0.2), ("pod", 0.2), ("machine", 0.2)] {
            let work = try #require(Interference.Work(Demand(isolation: isolation, profile: .cpu)))
            #expect(abs(interference.loss(of: work, beside: .init(groups)) - loss) < 1e-9, "\(isolation)")
        }
    }
}
