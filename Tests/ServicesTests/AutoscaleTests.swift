import Base
import Planning
import Testing

@testable import Services

struct AutoscaleTests {
    @Test func labelsMakeThePolicy() throws {
        let policy = try AutoscalePolicy(labels: [
            "skala.autoscale.min": "2", "skala.autoscale.max": "9", "skala.autoscale.cpu": "70%",
            "skala.autoscale.scale-down-after": "2m", "tier": "front",
        ])
        #expect(
            policy
                == AutoscalePolicy(minimum: 2, maximum: 9, targets: [.cpu: 70], scaleDownAfter: 120_000_000_000))
        #expect(try AutoscalePolicy(labels: ["tier": "front"]) == nil)
    }

    @Test(arguments: [
        ["max": "0", "cpu": "50"], ["max": "2", "min": "3", "cpu": "50"], ["max": "2"], ["cpu": "50"],
        ["max": "2", "cpu": "0"], ["max": "2", "cpu": "x"], ["max": "2", "nothing": "1"],
        ["max": "2", "latency-p95": "100ms"], ["max": "2", "min": "0", "cpu": "50"],
        ["max": "2", "cpu": "50", "scale-down-after": "soon"],
    ])
    func wrongOnesAreRefused(_ labels: [String: String]) {
        let all = Dictionary(uniqueKeysWithValues: labels.map { ("skala.autoscale." + $0.key, $0.value) })
        #expect(throws: SkalaError.self) { try AutoscalePolicy(labels: all) }
    }

    @Test func requestsAreSignalsOfHTTPServices() throws {
        func policy(_ labels: [String: String]) throws -> AutoscalePolicy? {
            let all = labels.map { ("skala.autoscale." + $0.key, $0.value) } + [("skala.http.port", "80")]
            return try AutoscalePolicy(labels: Dictionary(uniqueKeysWithValues: all))
        }
        let all = try policy([
            "min": "0", "max": "9", "requests-per-second": "50", "concurrency": "2.5", "latency-p95": "1.5s",
        ])
        let targets: [Signal: Double] = [.requestsPerSecond: 50, .concurrency: 2.5, .latencyP95: 1500]
        #expect(all == AutoscalePolicy(minimum: 0, maximum: 9, targets: targets))
        for wrong in [["latency-p95": "100"], ["latency-p95": "0s"], ["concurrency": "0"], ["concurrency": "5%"]] {
            #expect(throws: SkalaError.self) { try policy(wrong.merging(["max": "2"]) { $1 }) }
        }
    }

    private func document(cpu: Int64, memory: Int64, waited: Int64) -> JSON {
        [
            "cpu_stats": ["cpu_usage": ["total_usage": JSON(cpu)]],
            "memory_stats": ["usage": JSON(memory), "limit": 100],
            "pressure": ["cpu": ["some": ["total": JSON(waited)]]],
        ]
    }

    @Test func loadIsTheMeanOfThoseMeasuredTwice() {
        var meter = LoadMeter()
        let resources = TaskResources(limits: .init(nanoCPUs: 500_000_000))
        let second: Int64 = 1_000_000_000
        let first = meter.sample(
            [("a", 0, document(cpu: 0, memory: 10, waited: 0))], serving: 1, resources: resources)
        #expect(first.values.isEmpty)
        #expect(first.measuredTasks == 0)
        let next = meter.sample(
            [
                ("a", second, document(cpu: second / 4, memory: 20, waited: 100_000)),
                ("b", second, document(cpu: 99, memory: 99, waited: 0)),
            ], serving: 2, resources: resources)
        // A quarter of a core of half a core; a tenth of a second.
        #expect(next.values == [.cpu: 50, .memory: 20, .pressure: 10])
        #expect(next.tasks == 2)
        #expect(next.measuredTasks == 1)
        // A tenth of a second of half a core's.
        #expect(next.waitedForCPU == 20)
        // Of a VM its guest knows less than the host.
        var machine = document(cpu: second / 4, memory: 20, waited: 200_000)
        machine["host"]["pressure"]["cpu"]["some"]["total"] = 1_000_000
        _ = meter.sample([("vm", second, machine)], serving: 1, resources: resources)
        machine["host"]["pressure"]["cpu"]["some"]["total"] = 1_400_000
        let starved = meter.sample([("vm", 2 * second, machine)], serving: 1, resources: resources)
        #expect(starved.values[.cpu] == 0 && starved.waitedForCPU == 80)
    }
}
