import Base
import Glibc
import Planning

// Places tasks on nodes that exist in memory only, with the scheduler that the daemon uses, and prints what it took:
// a JSON document a line. Numbers follow from the seed.
//
//     planning-benchmark [SCENARIO] [NODES] [TASKS] [SEED]

struct Random {
    var state: UInt64

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// A cluster of three zones and a hundred racks, a third of it with fast disks, with room for about 120 tasks a node.
///
/// - Parameter interference: what is known of each node.
func cluster(_ count: Int, _ strategy: Scheduler.Strategy, _ interference: Interference?) -> Scheduler {
    var scheduler = Scheduler(strategy: strategy)
    for index in 0..<count {
        let isLarge = index % 4 == 0
        scheduler.set(
            NodeDescription(
                id: "node-\(index)", hostname: "host-\(index)",
                labels: [
                    "zone": "abc".map(String.init)[index % 3], "rack": "r\(index % 100)",
                    "disk": index % 3 == 1 ? "ssd" : "hdd",
                ],
                capacity: .init(
                    nanoCPUs: isLarge ? 96_000_000_000 : 48_000_000_000, memoryBytes: isLarge ? 384 << 30 : 192 << 30),
                isolations: [
                    "container": .init(), "microvm": .init(nanoCPUs: 10_000_000, memoryBytes: 24 << 20),
                    "pod": .init(nanoCPUs: 10_000_000, memoryBytes: 96 << 20),
                ], interference: interference))
    }
    return scheduler
}

/// A host on which everything disturbs everything, its like most.
let profile = HostProfile(
    accelerator: "kvm",
    entries: Resource.allCases.flatMap { resource in
        ["container", "pod", "microvm"].flatMap { isolation in
            ["dedicated", "shared"].flatMap { allocation in
                [(HostProfile.Neighbour.competing, 0.03), (.orthogonal, 0.01)].map { neighbour, loss in
                    HostProfile.Entry(
                        .init(.loss, resource, isolation, allocation, neighbour), value: loss, isProved: true,
                        run: "none", measured: Timestamp(seconds: 0), isShortened: false)
                }
            }
        }
    })

/// What a service asks for: one of many sizes, and now and then a constraint, a spread, a VM, cores of its own.
func demand(_ random: inout Random) -> Demand {
    var demand = plainDemand(&random)
    if scenario == "profiles" { demand.profile = Resource.allCases[random.below(Resource.allCases.count)] }
    return demand
}

func plainDemand(_ random: inout Random) -> Demand {
    var demand = Demand(
        reservations: .init(
            nanoCPUs: Int64(50 + random.below(40) * 10) * 1_000_000,
            memoryBytes: Int64(64 + random.below(60) * 16) << 20))
    switch random.below(20) {
    case 0, 1: demand.constraints = [.init(key: "node.labels.disk", isEqual: true, value: "ssd")]
    case 2: demand.constraints = [.init(key: "node.labels.zone", isEqual: false, value: "c")]
    case 3, 4: demand.spread = ["node.labels.zone"]
    case 5: demand.spread = ["node.labels.zone", "node.labels.rack"]
    case 6, 7: demand.isolation = "microvm"
    case 8:
        demand.isolation = "pod"
        demand.tenancy = .init(tenant: "tenant-\(random.below(500))")
    case 9: demand.allocation = .bestEffort
    case 10:
        demand.allocation = .dedicated
        demand.reservations.nanoCPUs = 1_000_000_000
    case 11: demand.maximumReplicas = 2
    default: break
    }
    return demand
}

/// The number on a line of `/proc/self/status`, in kB.
func memory(_ name: String) -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix(name + ":") { return Int(text.filter(\.isNumber)) ?? 0 }
    }
    return 0
}

struct Result {
    var seconds = 0.0
    var placed = 0
    var refused = 0
    var calls = 0
}

func measure(_ body: () -> Void) -> Double {
    let time = ContinuousClock().measure(body).components
    return Double(time.seconds) + Double(time.attoseconds) / 1e18
}

/// Services until there are so many tasks. `sizes` says how many tasks the next one has.
func fill(
    _ scheduler: inout Scheduler, _ seats: inout [Seat], tasks: Int, _ random: inout Random,
    sizes: (inout Random) -> Int
) -> Result {
    var result = Result()
    result.seconds = measure {
        while result.placed + result.refused < tasks {
            let size = min(sizes(&random), tasks - result.placed - result.refused)
            let placed = scheduler.place(demand(&random), of: "service-\(result.calls)", count: size)
            seats += placed.seats
            result.placed += placed.seats.count
            result.refused += placed.shortfall?.count ?? 0
            result.calls += 1
        }
    }
    return result
}

/// Ends a task somewhere, and places another one: what a cluster does all day.
func churn(_ scheduler: inout Scheduler, _ seats: inout [Seat], rounds: Int, _ random: inout Random) -> Result {
    var result = Result()
    result.seconds = measure {
        for round in 0..<rounds where !seats.isEmpty {
            let index = random.below(seats.count)
            scheduler.release(seats[index])
            let placed = scheduler.place(demand(&random), of: "churn-\(round)")
            if let seat = placed.seats.first { seats[index] = seat } else { seats.swapAt(index, seats.count - 1) }
            if placed.seats.isEmpty { seats.removeLast() }
            result.placed += placed.seats.count
            result.refused += placed.shortfall?.count ?? 0
            result.calls += 1
        }
    }
    return result
}

func report(_ scenario: String, _ nodes: Int, _ result: Result) {
    let json: JSON = [
        "scenario": JSON(scenario), "nodes": JSON(nodes), "placed": JSON(result.placed),
        "refused": JSON(result.refused),
        "calls": JSON(result.calls), "seconds": .double(result.seconds),
        "placements_per_second": JSON(Int(Double(result.placed) / result.seconds)),
        "memory_peak_kb": JSON(memory("VmHWM")),
    ]
    print(json.text)
    fflush(nil)
}

let arguments = CommandLine.arguments.dropFirst()
func argument(_ index: Int, _ fallback: Int) -> Int {
    arguments.count > index ? Int(arguments[arguments.startIndex + index]) ?? fallback : fallback
}
let scenario = arguments.first ?? "services"
let nodes = argument(1, 10_000)
let tasks = argument(2, 1_000_000)
var random = Random(state: UInt64(argument(3, 1)))
var scheduler = cluster(
    nodes, scenario == "consolidate" ? .consolidate : .spread, scenario == "profiles" ? Interference(profile) : nil)
var seats: [Seat] = []
switch scenario {
case "services", "profiles", "consolidate", "churn":
    // Most services are small, most tasks are of large ones.
    let result = fill(&scheduler, &seats, tasks: tasks, &random) { random in
        switch random.below(100) {
        case 0..<60: 1 + random.below(10)
        case 60..<95: 10 + random.below(200)
        default: 200 + random.below(5000)
        }
    }
    if scenario != "churn" { report(scenario, nodes, result) }
    if scenario == "churn" { report(scenario, nodes, churn(&scheduler, &seats, rounds: tasks / 10, &random)) }
case "singles": report(scenario, nodes, fill(&scheduler, &seats, tasks: tasks, &random) { _ in 1 })
case "one": report(scenario, nodes, fill(&scheduler, &seats, tasks: tasks, &random) { _ in tasks })
case "cluster": simulateCluster(scheduler, nodes: nodes, tasks: tasks, &random)
default:
    print(
        "planning-benchmark: unknown scenario \(scenario); expected services, profiles, singles, one, consolidate, churn or cluster"
    )
    exit(2)
}
