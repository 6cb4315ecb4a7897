import Base
import Planning
import Testing

struct AutoscaleLabelTests {
    private func spec(_ label: String, mode: JSON = ["Replicated": ["Replicas": 1]]) throws -> ServiceSpec {
        try ServiceSpec(json: [
            "Name": "web", "Mode": mode, "Labels": ["skala.autoscale": JSON(label)],
            "TaskTemplate": ["ContainerSpec": ["Image": "busybox"]],
        ])
    }

    @Test func theLabelIsAPolicy() throws {
        let policy = try #require(
            try spec(#"{"min":2,"max":10,"cpu":0.7,"latency-p95":"250ms","concurrency":8,"scale-down-after":"30s"}"#)
                .autoscale)
        #expect(policy.minimum == 2 && policy.maximum == 10)
        #expect(policy.targets == [.cpu: 70, .latencyP95: 250, .concurrency: 8])
        #expect(policy.scaleDownAfter == 30_000_000_000)
        #expect(
            try spec(#"{"max":3,"scale-down-after":5000000000,"memory":1}"#).autoscale?.scaleDownAfter == 5_000_000_000)
    }

    @Test(arguments: [
        ("nonsense", "a JSON object is expected"), (#"{"cpu":0.5}"#, "max is needed"),
        (#"{"max":3}"#, "a target is needed"),
        (#"{"max":3,"min":4,"cpu":0.5}"#, "min is not above max"),
        (#"{"max":3,"cpu":70}"#, "cpu is a share above 0, up to 1"),
        (#"{"max":3,"speed":1}"#, "unknown key 'speed'"), (#"{"max":3,"latency-p95":"soon"}"#, "invalid duration"),
    ])
    func whatIsWrongIsTold(label: String, message: String) {
        let error = #expect(throws: SkalaError.self) { try spec(label) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func onlyReplicatedServicesScale() {
        #expect(throws: SkalaError.self) { try spec(#"{"max":3,"cpu":0.5}"#, mode: ["Global": [:]]) }
    }
}
