import Base
import Load
import Testing

@testable import SkalaCLI

struct LoadOptionsTests {
    private func options(_ line: String) throws -> LoadOptions {
        try LoadOptions(Arguments(line.split(separator: " ").map(String.init), for: LoadCommand.command))
    }

    private let second: Int64 = 1_000_000_000

    @Test func loadsAreUnderstood() throws {
        var plan = try options("http://a/").plan
        #expect(plan.profile == LoadProfile(.concurrency, constant: 10, duration: 10 * second))
        plan = try options("--rate 500 -d 1m -c 4 -t 9 http://a/ http://b/").plan
        #expect(plan.profile == LoadProfile(.rate, constant: 500, duration: 60 * second))
        #expect(plan.connectionLimit == 4 && plan.threads == 9 && plan.targets.map(\.host) == ["a", "b"])
        plan = try options("--ramp 1:80 --duration 60s a:1").plan
        #expect(plan.profile == LoadProfile(.concurrency, from: 1, to: 80, duration: 60 * second))
        plan = try options("--stage 10s:50/s --stage 0s:100/s --stage 5s:100/s a").plan
        #expect(plan.profile == LoadProfile(.rate, stages: [(10 * second, 50), (0, 100), (5 * second, 100)]))
        plan = try options("-n 7 a").plan
        #expect(plan.requestLimit == 7 && plan.profile.duration > 3600 * second)
    }

    @Test func requestsAreUnderstood() throws {
        let plan = try options("-X PUT -H A:1 -H B: --body text --no-keepalive -k --timeout 2s --expect 2xx a").plan
        #expect(plan.method == "PUT" && plan.body == Array("text".utf8) && !plan.keepsAlive && plan.isInsecure)
        #expect(plan.headers.map(\.name) == ["A", "B"] && plan.headers.map(\.value) == ["1", ""])
        #expect(plan.timeout == 2 * second && !plan.expectedStatuses.contains(304))
        #expect(try options("--body x a").plan.method == "POST")
    }

    @Test func contradictionsAreRefused() {
        for line in [
            "--rate 5 --ramp 1:2 a", "--ramp 1:2 --stage 1s:2 a", "--ramp 1:2/s a", "--ramp 1 a", "-c 5 --ramp 1:2 a",
            "--stage 1s:5 -d 2s a", "--stage 5 a", "--stage 1s:1 --stage 1s:1/s a", "-c 0 a", "-n 0 a", "-d 0s a",
            "--rate x a", "--max-failures x a", "--max-failures 101% a", "-H x a", "--interval 1us a", "ftp://a",
        ] {
            #expect(throws: (any Error).self, "\(line)") { try options(line) }
        }
    }
}
