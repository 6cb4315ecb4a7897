import Base
import Planning
import Testing

struct SchedulerTests {
    private func node(
        _ id: String, cpus: Int64 = 4, memory: Int64 = 8, labels: [String: String] = [:],
        isolations: [String: TaskResources.Amounts] = ["container": .init()]
    ) -> NodeDescription {
        NodeDescription(
            id: id, hostname: "host-\(id)", labels: labels,
            capacity: .init(nanoCPUs: cpus * 1_000_000_000, memoryBytes: memory << 30), isolations: isolations)
    }

    private func scheduler(_ nodes: [NodeDescription], _ strategy: Scheduler.Strategy = .spread) -> Scheduler {
        var scheduler = Scheduler(strategy: strategy)
        for node in nodes { scheduler.set(node) }
        return scheduler
    }

    private func places(_ placed: Placed, _ scheduler: Scheduler) -> [String] {
        placed.seats.map { scheduler.node(of: $0) ?? "?" }
    }

    private func demand(cpus: Double = 0, memory: Int64 = 0) -> Demand {
        Demand(reservations: .init(nanoCPUs: Int64(cpus * 1e9), memoryBytes: memory << 30))
    }

    @Test func spreadingGoesWhereTheServiceHasFewest() {
        var scheduler = scheduler([node("a"), node("b"), node("c")])
        #expect(places(scheduler.place(demand(cpus: 1), of: "web", count: 4), scheduler) == ["a", "b", "c", "a"])
        // Another service: where least is promised.
        #expect(places(scheduler.place(demand(), of: "db", count: 1), scheduler) == ["b"])
        #expect(scheduler.tasks(of: "web", on: "a") == 2)
    }

    @Test func consolidatingFillsANodeFirst() {
        var scheduler = scheduler([node("a"), node("b")], .consolidate)
        let placed = scheduler.place(demand(cpus: 1), of: "web", count: 6)
        #expect(places(placed, scheduler) == ["a", "a", "a", "a", "b", "b"])
    }

    @Test func preferencesShareTasksByLabels() {
        let nodes = [("a", "x", "1"), ("b", "x", "2"), ("c", "x", "2"), ("d", "y", "1")].map { id, zone, rack in
            node(id, labels: ["zone": zone, "rack": rack])
        }
        var scheduler = scheduler(nodes + [node("e")])
        var demand = demand()
        demand.spread = ["node.labels.zone", "node.labels.rack"]
        let placed = scheduler.place(demand, of: "web", count: 9)
        var counts: [String: Int] = [:]
        for id in places(placed, scheduler) { counts[id, default: 0] += 1 }
        // Three a zone, of which one has no label; in zone x two racks, one of them with two nodes.
        #expect(counts["d"] == 3 && counts["e"] == 3)
        #expect((counts["a"] ?? 0) + (counts["b"] ?? 0) + (counts["c"] ?? 0) == 3)
        #expect((counts["b"] ?? 0) + (counts["c"] ?? 0) >= 1 && counts["a"] ?? 0 >= 1)
    }

    @Test func reasonsAreCountedByWhatIsMissing() {
        var drained = node("c", memory: 64)
        drained.availability = .drain
        var scheduler = scheduler([node("a", memory: 1), node("b", memory: 2), drained])
        let placed = scheduler.place(demand(memory: 4), of: "web", count: 2)
        #expect(placed.seats.isEmpty && placed.shortfall?.count == 2)
        let text = "no suitable node (2 nodes lack memory: 4GiB wanted, 2GiB free at most; 1 node is drained)"
        #expect(placed.shortfall?.description == text)
        var empty = Scheduler()
        #expect(
            empty.place(demand(), of: "web").shortfall?.description == "no suitable node (there are no nodes)")
    }

    @Test func constraintsAreSwarms() throws {
        var first = node("a", labels: ["disk": "SSD"])
        first.architecture = "x86_64"
        first.role = .manager
        func fulfils(_ text: String) throws -> Bool { first.fulfils(try Placement.Constraint(parsing: text)) }
        for text in [
            "node.labels.disk==ssd", "node.labels.disk != hdd", "node.labels.none!=x", "node.id==a",
            "node.hostname == host-a", "node.role==manager", "node.platform.os==linux", "node.platform.arch==amd64",
            "engine.labels.x!=y",
        ] { #expect(try fulfils(text), "\(text)") }
        for text in ["node.labels.none==x", "node.role!=manager", "node.id==b", "node.platform.arch==aarch64"] {
            #expect(try !fulfils(text), "\(text)")
        }
        var scheduler = scheduler([first, node("b")])
        var demand = demand()
        demand.constraints = [try .init(parsing: "node.labels.disk==hdd")]
        #expect(
            scheduler.place(demand, of: "web").shortfall?.description
                == "no suitable node (2 nodes do not fulfil node.labels.disk==hdd)")
        demand.constraints = []
        demand.platforms = [.init(os: "linux", architecture: "arm64")]
        #expect(
            scheduler.place(demand, of: "web").shortfall?.description
                == "no suitable node (2 nodes have another platform)")
        // A label that changes changes the result.
        demand.platforms = []
        demand.constraints = [try .init(parsing: "node.labels.disk==hdd")]
        scheduler.set(node("b", labels: ["disk": "hdd"]))
        #expect(places(scheduler.place(demand, of: "web"), scheduler) == ["b"])
    }

    @Test func portsReplicasAndNeighboursKeepApart() {
        var scheduler = scheduler([node("a"), node("b")])
        var port = demand()
        port.hostPorts = [.init(port: 80)]
        #expect(places(scheduler.place(port, of: "web", count: 3), scheduler) == ["a", "b"])
        #expect(
            scheduler.place(port, of: "other").shortfall?.description
                == "no suitable node (2 nodes have port 80/tcp in use)")
        var limited = demand()
        limited.maximumReplicas = 2
        let placed = scheduler.place(limited, of: "limited", count: 5)
        #expect(placed.seats.count == 4)
        #expect(placed.shortfall?.description == "no suitable node (2 nodes have their 2 replicas)")
        var shy = demand()
        shy.keepsAwayFrom = ["noisy", "shy"]
        let seats = scheduler.place(shy, of: "shy", count: 3).seats
        #expect(seats.count == 2)
        // In both directions.
        #expect(
            scheduler.place(demand(), of: "noisy").shortfall?.description
                == "no suitable node (2 nodes run shy, which it keeps away from)")
        scheduler.release(seats[0])
        #expect(places(scheduler.place(demand(), of: "noisy"), scheduler) == ["a"])
    }

    @Test func dedicatedCoresAreWholeAndOneStaysForAllOthers() {
        var node = node("a", cpus: 4)
        node.overcommit = Overcommit(cpuPercent: 200, memoryPercent: 100)
        var scheduler = scheduler([node])
        var dedicated = demand(cpus: 1.5)
        dedicated.allocation = .dedicated
        // Two cores each: 2 of 3 are given away, and a third is too few.
        let placed = scheduler.place(dedicated, of: "d", count: 2)
        #expect(placed.seats.count == 1)
        #expect(placed.shortfall?.description == "no suitable node (1 node lacks CPU: 2 wanted, 1 free at most)")
        // The other two, promised twice.
        #expect(scheduler.place(demand(cpus: 1), of: "s", count: 9).seats.count == 4)
        var rest = demand(cpus: 8, memory: 64)
        rest.allocation = .bestEffort
        #expect(scheduler.place(rest, of: "b").seats.count == 1)
    }

    @Test func aTenantsVMIsPaidOnce() {
        let isolations: [String: TaskResources.Amounts] = ["container": .init(), "pod": .init(memoryBytes: 1 << 30)]
        var scheduler = scheduler([node("a", memory: 4, isolations: isolations)])
        var demand = demand()
        demand.reservations.memoryBytes = 256 << 20
        demand.isolation = "pod"
        demand.tenancy = .init(tenant: "t", places: 4)
        let seats = scheduler.place(demand, of: "web", count: 9).seats
        // Two VMs of 1 GiB with four tasks of 256 MiB each fill the node.
        #expect(seats.map(\.machine) == [0, 0, 0, 0, 1, 1, 1, 1])
        #expect(scheduler.usage(of: "a")?.promised.memoryBytes == 4 << 30)
        // The first VM ends with its last task, and its number is free again.
        for seat in seats.prefix(4) { scheduler.release(seat) }
        #expect(scheduler.usage(of: "a")?.promised.memoryBytes == 2 << 30)
        demand.tenancy = .init(tenant: "u", places: 4)
        #expect(scheduler.place(demand, of: "db").seats.map(\.machine) == [0])
        // A cost that is measured anew counts for the VMs that are there.
        var dearer = node("a", memory: 8, isolations: isolations)
        dearer.isolations["pod"] = .init(memoryBytes: 2 << 30)
        scheduler.set(dearer)
        #expect(scheduler.usage(of: "a")?.promised.memoryBytes == Int64(2 * 2048 + 5 * 256) << 20)
    }

    @Test func nodesComeAndGo() throws {
        var scheduler = scheduler([node("a"), node("b")])
        let demand = demand(cpus: 1)
        let seats = scheduler.place(demand, of: "web", count: 2).seats
        var down = node("b")
        down.isReady = false
        scheduler.set(down)
        #expect(places(scheduler.place(demand, of: "web", count: 1), scheduler) == ["a"])
        #expect(scheduler.nodes(for: demand, of: "web") == ["a"])
        #expect(throws: Obstacle.down) { try scheduler.place(demand, of: "web", on: "b") }
        scheduler.removeNode("b")
        #expect(scheduler.node(of: seats[1]) == nil && scheduler.nodeCount == 1)
        scheduler.set(node("c"))
        scheduler.release(seats[1])
        #expect(places(scheduler.place(demand, of: "web", count: 1), scheduler) == ["c"])
        // What failed is tried elsewhere, when there is an elsewhere.
        #expect(
            places(scheduler.place(demand, of: "web", count: 1, avoiding: ["c"]), scheduler) == ["a"])
        let seat = try scheduler.place(demand, of: "web", on: "c")
        #expect(scheduler.node(of: seat) == "c")
    }
}
