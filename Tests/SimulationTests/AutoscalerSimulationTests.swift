import Base
import Planning
import TestSupport
import Testing

/// A service under a load that steps, whose tasks take their time to start. One task serves 100 requests a second.
private struct LoadSimulation {
    static let capacity = 100.0

    var random: SeededRandom
    var scaler: Autoscaler
    var now: Int64 = 0
    var replicas: Int
    /// When each task began, or will begin, to serve.
    var servesFrom: [Int64] = []
    var decisions: [ScalingDecision] = []

    var clock: Timestamp { Timestamp(nanoseconds: 1_000_000_000_000 + now * 1_000_000) }
    var serving: Int { servesFrom.count { $0 <= now } }

    init(seed: UInt64, _ targets: [Signal: Double], minimum: Int = 1) {
        random = SeededRandom(seed: seed)
        scaler = Autoscaler(
            policy: AutoscalePolicy(minimum: minimum, maximum: 50, targets: targets, scaleDownAfter: 20_000_000_000))
        replicas = max(1, minimum)
        servesFrom = Array(repeating: 0, count: replicas)
    }

    /// One sampling period of 0.5 to 1 s under so many requests a second.
    mutating func period(_ load: Double) -> ScalingDecision {
        now += Int64(500 + random.below(501))
        // Measurements are not exact.
        let rate = load * (0.97 + Double(random.below(61)) / 1000)
        let usage = serving > 0 ? min(1, rate / (Double(serving) * LoadSimulation.capacity)) : 0
        let concurrency = serving > 0 ? rate * 0.02 / max(0.02, 1 - usage) : 0
        var values: [Signal: Double] = [.requestsPerSecond: rate, .cpu: usage * 100, .concurrency: concurrency]
        values[.latencyP95] = min(2000, 20 / max(0.01, 1 - usage))
        if serving == 0 { values[.concurrency] = rate }
        let sample = LoadSample(
            at: clock, tasks: serving, values: values, held: serving == 0 && load > 0 ? Int(rate) + 1 : 0)
        let decision = scaler.decide(replicas: replicas, sample, at: clock)
        decisions.append(decision)
        while servesFrom.count < decision.to { servesFrom.append(now + Int64(200 + random.below(1500))) }
        servesFrom.removeLast(servesFrom.count - decision.to)
        replicas = decision.to
        return decision
    }
}

struct AutoscalerSimulationTests {
    private static let policies: [[Signal: Double]] = [
        [.requestsPerSecond: 70], [.cpu: 60], [.cpu: 60, .requestsPerSecond: 80, .latencyP95: 300], [.latencyP95: 200],
    ]

    /// Goes through steps of load, each a minute and a half long.
    @Test(arguments: Seeds.first(40))
    func itFollowsTheLoadWithoutFlapping(seed: UInt64) {
        let targets = AutoscalerSimulationTests.policies[Int(seed % 4)]
        var simulation = LoadSimulation(seed: seed, targets)
        for _ in 0..<6 {
            let load = Double(20 + simulation.random.below(2500))
            let began = simulation.now
            let needed = load / LoadSimulation.capacity
            let isOverloaded = needed > Double(simulation.replicas) * 1.1
            var firstRaise: Int64?
            var changes: [Int] = []
            while simulation.now < began + 90_000 {
                let decision = simulation.period(load)
                check(decision, seed)
                if decision.to > decision.from { firstRaise = firstRaise ?? simulation.now - began }
                if decision.to != decision.from { changes.append(decision.to > decision.from ? 1 : -1) }
            }
            if isOverloaded {
                #expect(firstRaise ?? .max <= 2000, "seed \(seed): decided after \(firstRaise ?? -1) ms")
            }
            #expect(Double(simulation.serving) >= needed, "seed \(seed): \(simulation.serving) tasks for \(load)/s")
            // Up, and later down; never up and down again under a load that does not change.
            let turns = zip(changes, changes.dropFirst()).count { $0 != $1 }
            #expect(turns <= (targets[.latencyP95] == nil ? 1 : 3), "seed \(seed): \(changes) at \(load)/s")
        }
    }

    private func check(_ decision: ScalingDecision, _ seed: UInt64) {
        #expect(decision.to <= max(decision.from * 2, decision.from + 4), "seed \(seed): \(decision)")
        #expect((0...50).contains(decision.to), "seed \(seed): \(decision)")
        // Whoever asks why gets an answer.
        if decision.to != decision.wanted { #expect(!decision.limits.isEmpty, "seed \(seed): \(decision)") }
    }

    @Test(arguments: Seeds.first(20))
    func itSleepsAndWakes(seed: UInt64) {
        var simulation = LoadSimulation(seed: seed, [.cpu: 60, .requestsPerSecond: 70], minimum: 0)
        for _ in 0..<3 {
            let slept = simulation.now
            while simulation.replicas > 0, simulation.now < slept + 60_000 { _ = simulation.period(0) }
            #expect(simulation.replicas == 0 && simulation.now - slept >= 19_000, "seed \(seed)")
            for _ in 0..<30 { #expect(simulation.period(0).to == 0, "seed \(seed)") }
            let woken = simulation.period(Double(1 + simulation.random.below(300)))
            #expect(woken.to > 0, "seed \(seed): \(woken)")
            for _ in 0..<30 { #expect(simulation.period(50).to > 0, "seed \(seed)") }
        }
    }
}
