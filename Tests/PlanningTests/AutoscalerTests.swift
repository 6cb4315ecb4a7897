import Base
import Planning
import Testing

struct AutoscalerTests {
    private static let second: Int64 = 1_000_000_000

    private func at(_ seconds: Double) -> Timestamp { Timestamp(seconds: 1000).advanced(by: Int64(seconds * 1e9)) }

    private func sample(
        _ seconds: Double, tasks: Int, measured: Int? = nil, held: Int = 0, _ values: [Signal: Double]
    ) -> LoadSample {
        LoadSample(at: at(seconds), tasks: tasks, measuredTasks: measured, values: values, held: held)
    }

    private func policy(
        _ targets: [Signal: Double], minimum: Int = 1, maximum: Int = 20, after: Int64 = 60
    ) -> AutoscalePolicy {
        AutoscalePolicy(
            minimum: minimum, maximum: maximum, targets: targets, scaleDownAfter: after * AutoscalerTests.second)
    }

    @Test func theLargestAnswerWinsAtOnce() {
        var scaler = Autoscaler(policy: policy([.cpu: 50, .requestsPerSecond: 100, .memory: 80]))
        let values: [Signal: Double] = [.cpu: 60, .requestsPerSecond: 590, .memory: 20]
        let decision = scaler.decide(replicas: 3, sample(0, tasks: 3, values), at: at(0))
        #expect(decision.to == 6 && decision.decisive == .requestsPerSecond)
        #expect(decision.readings.map(\.wanted) == [4, 1, 6])
        #expect(decision.description == "3 → 6: requests-per-second 590/s of 100/s wants 6")
    }

    @Test func aStepHasALimit() {
        var scaler = Autoscaler(policy: policy([.concurrency: 1], maximum: 40))
        let load: [Signal: Double] = [.concurrency: 100]
        var decision = scaler.decide(replicas: 2, sample(0, tasks: 2, load), at: at(0))
        #expect(decision.to == 6 && decision.limits == [.maximum(40), .step(6)])
        #expect(
            decision.description == "2 → 6: concurrency 100 of 1 wants 100 (maximum 40; at most 6 in one step)")
        // The new tasks have to be seen first.
        decision = scaler.decide(replicas: 6, sample(1, tasks: 2, load), at: at(1))
        #expect(decision.to == 6 && decision.limits == [.maximum(40), .interval(until: at(1.5))])
        #expect(scaler.decide(replicas: 6, sample(1.5, tasks: 6, load), at: at(1.5)).to == 12)
        #expect(scaler.decide(replicas: 12, sample(3, tasks: 12, load), at: at(3)).to == 24)
        #expect(scaler.decide(replicas: 24, sample(4.5, tasks: 24, load), at: at(4.5)).to == 40)
    }

    @Test func downOnlyWhenFewerWereEnoughForTheWholeWindow() {
        var scaler = Autoscaler(policy: policy([.requestsPerSecond: 10], after: 10))
        #expect(scaler.decide(replicas: 5, sample(0, tasks: 5, [.requestsPerSecond: 50]), at: at(0)).to == 5)
        var decision = scaler.decide(replicas: 5, sample(1, tasks: 5, [.requestsPerSecond: 15]), at: at(1))
        #expect(decision.to == 5 && decision.limits == [.stabilising(5, until: at(10))])
        // A peak in between counts from its time on.
        #expect(scaler.decide(replicas: 5, sample(5, tasks: 5, [.requestsPerSecond: 31]), at: at(5)).to == 5)
        decision = scaler.decide(replicas: 5, sample(10, tasks: 5, [.requestsPerSecond: 15]), at: at(10))
        #expect(decision.to == 4 && decision.limits == [.stabilising(4, until: at(15))])
        #expect(scaler.decide(replicas: 4, sample(15, tasks: 4, [.requestsPerSecond: 15]), at: at(15)).to == 2)
    }

    @Test func smallDeviationsChangeNothing() {
        var scaler = Autoscaler(policy: policy([.cpu: 50], after: 0))
        for value in [45.5, 50, 54.9] {
            #expect(scaler.decide(replicas: 10, sample(0, tasks: 10, [.cpu: value]), at: at(0)).to == 10, "\(value)")
        }
        #expect(scaler.decide(replicas: 10, sample(0, tasks: 10, [.cpu: 56]), at: at(0)).to == 12)
        #expect(scaler.decide(replicas: 10, sample(0, tasks: 10, [.cpu: 44]), at: at(0)).to == 9)
    }

    /// The CPU signal of a task whose CPU others take is low. It is no reason for fewer, nor for more.
    @Test func whoWaitsForCPUIsNotIdle() {
        func decide(_ used: Double, _ waited: Double, _ replicas: Int = 10) -> ScalingDecision {
            var scaler = Autoscaler(policy: policy([.cpu: 50], after: 0))
            let sample = LoadSample(
                at: at(0), tasks: replicas, values: [.cpu: used], waitedForCPU: waited)
            return scaler.decide(replicas: replicas, sample, at: at(0))
        }
        #expect(decide(10, 0).to == 2)
        let starved = decide(10, 85)
        #expect(starved.to == 10)
        #expect(starved.description == "10: cpu 10% (85% more was waited for) of 50% wants 10")
        // As many as would do if it got what it waits for.
        #expect(decide(10, 10).to == 4 && decide(10, 35).to == 10 && decide(0, 100).to == 10)
        // It never asks for more than there are, and changes nothing where more are wanted anyway.
        #expect(decide(49, 100).to == 10 && decide(80, 100).to == 16)
        #expect(decide(80, 100).readings.first?.waited == nil)
        // New tasks have no measurement yet.
        var scaler = Autoscaler(policy: policy([.cpu: 50], after: 0))
        var sample = LoadSample(at: at(0), tasks: 6, measuredTasks: 3, values: [.cpu: 10], waitedForCPU: 90)
        #expect(scaler.decide(replicas: 6, sample, at: at(0)).to == 6)
        sample.waitedForCPU = .nan
        #expect(scaler.decide(replicas: 6, sample, at: at(0)).to == 4)
    }

    @Test func tasksThatStartAreNotAskedForTwice() {
        var scaler = Autoscaler(policy: policy([.cpu: 50], after: 0))
        // 6 are wanted, 3 serve at full load: as many as are coming.
        #expect(scaler.decide(replicas: 6, sample(0, tasks: 3, [.cpu: 100]), at: at(0)).to == 6)
        // Three of six have no measurement yet: neither more nor fewer for that.
        #expect(scaler.decide(replicas: 6, sample(0, tasks: 6, measured: 3, [.cpu: 90]), at: at(0)).to == 6)
        #expect(scaler.decide(replicas: 6, sample(0, tasks: 6, measured: 3, [.cpu: 30]), at: at(0)).to == 5)
    }

    @Test func whatIsNotKnownIsNoReasonForLess() {
        var scaler = Autoscaler(policy: policy([.cpu: 50, .concurrency: 10], after: 0))
        let decision = scaler.decide(replicas: 4, sample(0, tasks: 4, [.cpu: 5]), at: at(0))
        #expect(decision.to == 4 && decision.limits == [.missing([.concurrency])])
        // But for more.
        #expect(scaler.decide(replicas: 4, sample(0, tasks: 4, [.cpu: 90]), at: at(0)).to == 8)
        // An old sample says nothing at all.
        let old = scaler.decide(replicas: 4, sample(0, tasks: 4, [.cpu: 5, .concurrency: 0]), at: at(6))
        #expect(old.to == 4 && old.wanted == nil)
        #expect(old.description == "4: cpu is not known")
    }

    @Test func itSleepsWhenNobodyAsksAndWakesForTheFirstRequest() {
        var scaler = Autoscaler(policy: policy([.cpu: 50, .concurrency: 10], minimum: 0, after: 10))
        let idle: [Signal: Double] = [.cpu: 1, .concurrency: 0]
        #expect(scaler.decide(replicas: 1, sample(0, tasks: 1, idle), at: at(0)).to == 1)
        #expect(scaler.decide(replicas: 1, sample(9, tasks: 1, idle), at: at(9)).to == 1)
        #expect(scaler.decide(replicas: 1, sample(10, tasks: 1, idle), at: at(10)).to == 0)
        #expect(scaler.decide(replicas: 0, sample(11, tasks: 0, [.concurrency: 0]), at: at(11)).to == 0)
        let decision = scaler.decide(
            replicas: 0, sample(12, tasks: 0, held: 25, [.concurrency: 25]), at: at(12))
        #expect(decision.to == 3)
        // By whatever way it is told.
        var other = Autoscaler(policy: policy([.cpu: 50], minimum: 0, after: 10))
        let wake = other.decide(replicas: 0, sample(0, tasks: 0, held: 1, [:]), at: at(0))
        #expect(wake.to == 1 && wake.limits == [.wake])
        // Nobody says whether somebody asks: it stays awake.
        #expect(other.decide(replicas: 1, sample(30, tasks: 1, [.cpu: 0]), at: at(30)).to == 1)
    }

    @Test func symptomsAskForMoreAndLetGoSlowly() {
        var scaler = Autoscaler(policy: policy([.latencyP95: 200], after: 10))
        let decision = scaler.decide(replicas: 10, sample(0, tasks: 10, [.latencyP95: 300]), at: at(0))
        #expect(decision.to == 15)
        #expect(decision.description == "10 → 15: latency-p95 300ms of 200ms wants 15")
        var now = 0.0
        var replicas = 15
        var counts: [Int] = []
        while now < 31 {
            now += 1
            replicas =
                scaler.decide(replicas: replicas, sample(now, tasks: replicas, [.latencyP95: 20]), at: at(now)).to
            if counts.last != replicas { counts.append(replicas) }
        }
        #expect(counts == [15, 14, 13, 12])
    }

    @Test func minimumAndMaximumHold() {
        var scaler = Autoscaler(policy: policy([.concurrency: 1], minimum: 3, maximum: 5, after: 0))
        let low = scaler.decide(replicas: 3, sample(0, tasks: 3, [.concurrency: 0]), at: at(0))
        #expect(low.to == 3 && low.limits == [.minimum(3)])
        let high = scaler.decide(replicas: 5, sample(0, tasks: 5, [.concurrency: 50]), at: at(0))
        #expect(high.to == 5 && high.limits == [.maximum(5)])
        // A user's number outside of them is corrected.
        #expect(scaler.decide(replicas: 1, sample(0, tasks: 1, [.concurrency: 1]), at: at(0)).to == 3)
        #expect(scaler.decide(replicas: 9, sample(0, tasks: 9, [.concurrency: 9]), at: at(0)).to == 5)
    }
}
