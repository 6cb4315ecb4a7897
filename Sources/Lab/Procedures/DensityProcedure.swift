import Base
import Client
import Glibc
import Kernel
import YAML

/// What instances cost when there are many: memory and disk of the host, and the time until all answer.
struct DensityProcedure: Procedure {
    static let keys: Set<String> = Application.keys.union(["isolations", "counts", "settle"])
    static let takesPeers = true

    let application: Application
    let isolations: [LabIsolation]
    let counts: [Int]
    /// Nanoseconds between the last answer and the look at the host.
    let settle: Int64
    private let measures = [
        Measure("memory", unit: "MiB each", better: .lower), Measure("disk", unit: "MiB each", better: .lower),
        Measure("start", unit: "s for all", better: .lower),
    ]
    /// What an instance is expected to take, in bytes, with much to spare: what would fill two thirds of the host is not tried.
    private static let footprint: [LabIsolation: Int64] = [
        .process: 8 << 20, .container: 12 << 20, .microvm: 64 << 20, .machine: 512 << 20,
    ]

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        application = try Application(spec, images: images)
        isolations = try spec.required("isolations").words(LabIsolation.self)
        let counts = try spec.required("counts")
        var numbers: [Int] = []
        for element in try counts.elements() { numbers.append(Int(try element.integer(1...1000))) }
        guard !numbers.isEmpty else { throw counts.fault("at least one number is expected") }
        self.counts = numbers
        settle = try spec["settle"]?.duration() ?? 1_000_000_000
        if let wrong = isolations.first(where: { DensityProcedure.footprint[$0] == nil }) {
            throw try spec.required("isolations").fault(
                "'\(wrong.rawValue)' cannot be multiplied: process, container, microvm and machine can")
        }
    }

    private func fits(_ runner: Runner, _ count: Int, _ scope: Scope) -> Bool {
        if runner == .skala(.machine), application.memory < MachineInstance.leastMemory { return false }
        let footprint: Int64 =
            switch runner {
            case .skala(let isolation): DensityProcedure.footprint[isolation] ?? 0
            // A process of the engine's beside each.
            case .peer: 32 << 20
            }
        return footprint * Int64(count) < scope.memory * 2 / 3
    }

    /// Servers of the host itself would all want the same port.
    private func isPossible(_ runner: Runner, _ count: Int) -> Bool { !runner.isInHostNetwork || count == 1 }

    func obstacles(_ scope: Scope) -> [String] {
        var obstacles: [String] = []
        for runner in scope.runners(isolations) {
            for count in counts where !fits(runner, count, scope) {
                obstacles.append("\(count) × \(runner.name): too little memory")
            }
        }
        return obstacles
    }

    func cases(_ scope: Scope) -> [Case] {
        var conditions: [Condition] = []
        for runner in scope.runners(isolations) {
            for count in counts where fits(runner, count, scope) && isPossible(runner, count) {
                conditions.append(Condition([("isolation", runner.name), ("count", "\(count)")]))
            }
        }
        return [
            Case(
                "density", title: "Many instances", conditions: conditions, measures: measures,
                base: ("isolation", LabIsolation.container.rawValue), expected: 8_000_000_000)
        ]
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let runner = condition.runner, let count = condition["count"].flatMap({ Int($0) })
        else { throw SkalaError(.invalid, "no such condition: \(condition)") }
        let deadline = bench.deadline(300_000_000_000)
        let dataRoot = try bench.dataRoot(runner)
        try HostMemory.rest(settle, until: deadline)
        let before = (memory: HostMemory.available(), disk: HostMemory.freeDisk(dataRoot))
        var instances: [any Instance] = []
        defer { for instance in instances { instance.remove() } }
        let started = SystemClock.monotonicNanoseconds()
        for _ in 0..<count {
            try deadline.check()
            instances.append(try bench.instance(application.instance, by: runner))
        }
        for instance in instances {
            guard try FirstAnswer.wait(for: instance.address, port: application.port, until: deadline) else {
                return Trial(failure: "one of \(count) did not answer: \(instance.log())")
            }
        }
        let elapsed = SystemClock.monotonicNanoseconds() - started
        try deadline.pause(settle)
        let share = Double(count) * Double(1 << 20)
        return Trial(values: [
            "memory": Double(before.memory - HostMemory.available()) / share,
            "disk": Double(before.disk - HostMemory.freeDisk(dataRoot)) / share, "start": Double(elapsed) / 1e9,
        ])
    }
}

/// What the host has left.
enum HostMemory {
    /// What a quiet host's memory varies by from one look to the next, in bytes.
    private static let stir: Int64 = 2 << 20
    private static let looks = 4

    /// Waits until what earlier instances gave back is free: until nothing more becomes free from one look to the next.
    ///
    /// - Parameter pause: nanoseconds between two looks; after four what there is has to do.
    static func rest(_ pause: Int64, until deadline: Deadline) throws {
        var last = available()
        for _ in 0..<looks {
            try deadline.pause(pause)
            let now = available()
            if now - last < stir { return }
            last = now
        }
    }

    /// Bytes that programs could have without others being moved out: MemAvailable of /proc/meminfo.
    static func available() -> Int64 {
        for line in HostRecord.text("/proc/meminfo").split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0) << 10
        }
        return 0
    }

    /// Free bytes of the file system a path lies on.
    static func freeDisk(_ path: String) -> Int64 {
        var facts = statvfs()
        return statvfs(path, &facts) == 0 ? Int64(facts.f_bfree) * Int64(facts.f_frsize) : 0
    }
}
