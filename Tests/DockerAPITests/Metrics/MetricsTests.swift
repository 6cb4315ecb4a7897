import Base
import Testing

@testable import DockerAPI

struct MetricsTests {
    @Test func textIsEscapedAndNumbersAreWhole() {
        var text = MetricsText()
        text.family("a_total", .counter, "Help.")
        text.sample(MetricLabels(["x": "a\"b\\c\nd"]), 3.0)
        text.value(0.25)
        text.sample(MetricLabels(["le": MetricsText.text(.infinity)]), 7, suffix: "_bucket")
        #expect(
            String(decoding: text.bytes, as: UTF8.self)
                == "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"a\\\"b\\\\c\\nd\"} 3\na_total 0.25\n"
                + "a_total_bucket{le=\"+Inf\"} 7\n")
    }

    @Test func labelsAreBounded() {
        let labels = MetricLabels(["x": String(repeating: "y", count: 10_000)])
        #expect(labels.text.utf8.count == MetricLabels.longestValue + 4)
    }

    /// As many series as routes, whatever clients ask for.
    @Test func requestsAreCountedByRoute() async throws {
        try await ServerFixture.run { router in
            router.get("/things/{id}") { _ in .json([:]) }
        } _: { fixture in
            for path in ["/things/1", "/things/2", "/v1.50/things/3", "/nothing/1", "/nothing/2"] {
                _ = try await fixture.ask("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            }
            let counts = fixture.requests.snapshot
            #expect(
                counts.map(\.route) == [.init(method: "", pattern: ""), .init(method: "GET", pattern: "/things/{id}")])
            #expect(counts.map(\.counts.byStatus) == [[404: 2], [200: 3]])
            #expect(counts.last?.counts.buckets.reduce(0, +) == 3)
        }
    }

    @Test func durationsFallIntoTheirBuckets() {
        let requests = RequestMetrics()
        let route = RequestMetrics.Route(method: "GET", pattern: "/x")
        for nanoseconds: Int64 in [500_000, 1_000_000, 3_000_000, 60_000_000_000] {
            requests.count(route, status: 200, nanoseconds: nanoseconds)
        }
        #expect(requests.snapshot.first?.counts.buckets == [2, 1, 0, 0, 0, 0, 0, 1])
    }
}
