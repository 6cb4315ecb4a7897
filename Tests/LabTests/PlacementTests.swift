import Base
import Kernel
import Planning
import TestSupport
import Testing

@testable import Lab

/// The experiment's places, decided by the engine's scheduler, with a profile that is given.
@Suite struct PlacementTests {
    /// Two that compute and halve each other, two that wait for the disk.
    private static let plan = PlacementPlan(
        kinds: [.init(resource: .cpu, count: 2), .init(resource: .disk, count: 2)], nodes: 2, processors: 1,
        memory: 256 << 20)

    private static func profile(_ losses: [(Resource, HostProfile.Neighbour, Double)]) -> HostProfile {
        HostProfile(
            accelerator: nil,
            entries: losses.map { resource, neighbour, value in
                .init(
                    .init(.loss, resource, "container", "shared", neighbour), value: value, isProved: true, run: "r",
                    measured: Timestamp(seconds: 1), isShortened: false)
            })
    }

    private static let judge = Interference(profile([(.cpu, .competing, 0.5)]))

    private static func nodes(_ order: [Int], _ knowledge: Interference?) throws -> [Int] {
        try plan.places(order, isolation: "container", knowledge: knowledge, judge: judge).map(\.node)
    }

    @Test func ordersAreAllThereAreAndEachOnceInAPack() {
        let plan = Self.plan
        #expect(plan.orderCount == 6)
        #expect(Set(plan.orders).count == 6 && plan.orders.allSatisfy { $0.sorted() == [0, 0, 1, 1] })
        // Three rounds of two orders use up a pack; so do six of one.
        for count in [1, 2, 3, 6] {
            let rounds = (1...6 / count).flatMap { plan.arrivals(count, round: $0, seed: 7) }
            #expect(Set(rounds) == Set(plan.orders), "\(count) a round")
        }
        #expect(plan.arrivals(6, round: 1, seed: 7) == plan.arrivals(6, round: 1, seed: 7))
        #expect((2...9).contains { plan.arrivals(6, round: 1, seed: $0) != plan.arrivals(6, round: 1, seed: 1) })
        #expect((2...9).contains { plan.arrivals(6, round: $0, seed: 1) != plan.arrivals(6, round: 1, seed: 1) })
        let many = PlacementPlan(
            kinds: Resource.allCases.map { .init(resource: $0, count: 3) }, nodes: 2, processors: 1, memory: 1)
        #expect(many.orderCount == nil)
        let most = PlacementPlan(
            kinds: [.init(resource: .cpu, count: 6), .init(resource: .disk, count: 6)], nodes: 2, processors: 1,
            memory: 1)
        #expect(most.orderCount == 924 && most.orders.count == 924)
    }

    /// Without a profile tasks alternate, whatever they do: two of the six orders put like beside like.
    @Test func withoutAProfileTheOrderOfArrivalDecides() throws {
        #expect(try Self.nodes([0, 1, 0, 1], nil) == [0, 1, 0, 1])
        #expect(try Self.nodes([0, 0, 1, 1], nil) == [0, 1, 0, 1])
        let together = try Self.plan.orders.filter { order in
            let places = try Self.nodes(order, nil)
            #expect(places == [0, 1, 0, 1])
            return order[0] == order[2]
        }
        #expect(together == [[0, 1, 0, 1], [1, 0, 1, 0]])
    }

    @Test func withAProfileWhatHurtsIsApartInEveryOrder() throws {
        for order in Self.plan.orders {
            let places = try Self.plan.places(
                order, isolation: "container", knowledge: Self.judge, judge: Self.judge)
            let computing = order.indices.filter { order[$0] == 0 }.map { places[$0].node }
            #expect(Set(computing).count == 2, "\(order): \(places)")
            #expect(places.allSatisfy { $0.loss == 0 })
        }
        // What is known of another isolation says nothing.
        let places = try Self.plan.places(
            [0, 1, 0, 1], isolation: "microvm", knowledge: Self.judge, judge: Self.judge)
        #expect(places.map(\.node) == [0, 1, 0, 1])
    }

    @Test func lossesArePredictedWhereverTheTasksAre() throws {
        let places = try Self.plan.places([0, 1, 0, 1], isolation: "container", knowledge: nil, judge: Self.judge)
        #expect(places.map(\.loss) == [0.5, 0, 0.5, 0])
    }

    @Test func theScoreIsTheGeometricMeanOfWhatIsKept() throws {
        var score = PlacementScore(["primes", "reads"])
        let (names, resources) = (["primes", "reads", "primes", "reads"], [Resource.cpu, .disk, .cpu, .disk])
        score.add(
            names: names, resources: resources, nodes: [0, 1, 0, 1], kept: [0.5, 1, 0.5, 1],
            predicted: [0.5, 1, 0.5, 1])
        score.add(
            names: names, resources: resources, nodes: [0, 0, 1, 1], kept: [1, 1, 1, 1], predicted: [1, 1, 1, 1])
        let values = score.values
        func isNear(_ name: String, _ value: Double) -> Bool { abs((values[name] ?? 0) - value) < 0.01 }
        #expect(isNear("primes", 70.71) && isNear("reads", 100) && isNear("kept", 84.09) && isNear("slowest", 70.71))
        #expect(isNear("predicted", 84.09))
        // All four beside one of their kind, then none.
        #expect(values["together"] == 2)
    }

    @Test func theProfileIsToldInWords() {
        var profile = Self.profile([(.cpu, .competing, 0.517), (.disk, .orthogonal, -0.07)])
        #expect(
            PlacementGround.text(profile)
                == "the profile was measured on a node: cpu −52 % beside its like, disk +7 % beside the others")
        let unfinished = HostProfile.Entry(
            .init(.loss, .disk, "container", "shared", .competing), value: nil, run: "r",
            measured: Timestamp(seconds: 1), isShortened: false)
        profile = HostProfile(accelerator: nil, entries: [unfinished])
        #expect(PlacementGround.text(profile).hasSuffix("disk did not finish beside its like (not proved)"))
    }

    @Test func threadsOfACoreFallIntoOneNode() {
        #expect(NodeCores.shares(2, of: [0, 4, 1, 5, 2, 6, 3, 7]) == ["0,1,4,5", "2,3,6,7"])
        #expect(NodeCores.shares(2, of: [0, 1]) == ["0", "1"])
        #expect(NodeCores.shares(2, of: [0, 1, 2]) == ["0", "1"])
        #expect(NodeCores.shares(2, of: [0]) == nil)
        #expect(Set(NodeCores.processors()).count == HostFacts.onlineCPUs)
    }

    // MARK: the file

    private static let small = """
        title: T
        question: Q?
        procedure: placement
        images: { box: busybox }
        placements: [without, by profile, by host profile]
        nodes: 2
        tasks: { count: 2, wait: 2 }
        workloads:
          count:
            image: box
            resource: cpu
            run: echo 1
            measures: { m: { pattern: '([0-9]+)', unit: s, better: higher } }
          wait:
            image: box
            resource: disk
            run: echo 1
            measures: { m: { pattern: '([0-9]+)', unit: s, better: lower } }
          silent:
            image: box
            run: echo 1
        """

    private static func scope(_ profile: HostProfile?, processors: Int = 2) -> Scope {
        Scope(
            isolations: Set(LabIsolation.allCases), allocations: Set(LabAllocation.allCases), processors: processors,
            memory: 24 << 30, profile: profile)
    }

    @Test func conditionsAreWhatTheSchedulerKnows() throws {
        let procedure = try Specs.experiment(Self.small).procedure
        let known = Self.scope(Self.profile([(.cpu, .competing, 0.5)]))
        let item = try #require(procedure.cases(known).first)
        #expect(item.conditions.map(\.description) == ["without", "by profile", "by host profile"])
        #expect(item.base(of: item.conditions[1]) == item.conditions[0])
        // It tells nothing of the host, whose shares the nodes are.
        #expect(item.resource == nil)
        #expect(procedure.obstacles(known).isEmpty)
        // What the engine does not know is left out, and told.
        let unknown = Self.scope(Self.profile([(.network, .competing, 0.5)]))
        #expect(procedure.cases(unknown).first?.conditions.count == 2)
        #expect(procedure.obstacles(unknown).first?.contains("the engine has no profile") == true)
        #expect(procedure.cases(Self.scope(nil, processors: 1)).isEmpty)
        #expect(procedure.obstacles(Self.scope(nil, processors: 1)).contains("2 nodes need as many processors"))
    }

    @Test(
        "errors name line and column",
        arguments: [
            ("[without, by profile, by host profile]", "[without, by magic]", "5:23: placements[1]: "),
            ("nodes: 2", "nodes: 1", "6:8: nodes: 1 is not within 2 and 16"),
            ("{ count: 2, wait: 2 }", "{ count: 2, sleep: 2 }", "no workload 'sleep' stands under 'workloads'"),
            (
                "{ count: 2, wait: 2 }", "{ count: 2, silent: 2 }",
                "7:28: tasks.silent: silent does not say by 'resource'"
            ),
            ("{ count: 2, wait: 2 }", "{ count: 0, wait: 2 }", "7:17: tasks.count: 0 is not within 1 and 8"),
            ("{ count: 2, wait: 2 }", "{ count: 1 }", "tasks: at least two tasks are expected"),
            ("{ count: 2, wait: 2 }", "{ count: 8, wait: 8 }", "there are more than 1000 orders"),
            ("better: lower", "better: neither", "wait: a task has 'run', and a measure"),
            ("nodes: 2", "nodes: 2\nisolations: [container, pod]", "7:13: isolations: 'pod' cannot be put on a node"),
            ("nodes: 2", "node: 2", "6:1: unknown key 'node'; did you mean 'nodes'?"),
        ])
    func errorsNameLineAndColumn(_ right: String, _ wrong: String, _ message: String) {
        Specs.expectRefusal(of: Self.small, replacing: right, with: wrong, message)
    }
}
