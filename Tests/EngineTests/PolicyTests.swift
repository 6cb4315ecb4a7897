import Base
import TestSupport
import Testing

@testable import Engine

struct PolicyTests {
    private func policy(_ name: String, _ count: Int = 0) -> RestartPolicy {
        RestartPolicy(["Name": JSON(name), "MaximumRetryCount": JSON(count)])
    }

    @Test func restartsFollowThePolicy() {
        func restarts(_ policy: RestartPolicy, code: Int64, after restarts: Int64 = 0, byUser: Bool = false) -> Bool {
            policy.shouldRestart(exitCode: code, restarts: restarts, wasStoppedByUser: byUser)
        }
        for name in ["always", "unless-stopped"] {
            #expect(restarts(policy(name), code: 0) && restarts(policy(name), code: 1, after: 99))
        }
        #expect(!restarts(policy("on-failure"), code: 0) && restarts(policy("on-failure"), code: 1, after: 99))
        #expect(
            restarts(policy("on-failure", 3), code: 1, after: 2)
                && !restarts(policy("on-failure", 3), code: 1, after: 3))
        #expect(!restarts(policy("no"), code: 1) && !restarts(RestartPolicy(.null), code: 1))
        for name in ["always", "unless-stopped", "on-failure", "no"] {
            #expect(!restarts(policy(name), code: 1, byUser: true), "\(name)")
        }
    }

    @Test func theDaemonStartsWhatThePolicySays() {
        func starts(_ name: String, running: Bool, stopped: Bool) -> Bool {
            policy(name).startsWithDaemon(wasRunning: running, wasStoppedByUser: stopped)
        }
        #expect(starts("always", running: false, stopped: true))
        #expect(starts("unless-stopped", running: false, stopped: false))
        #expect(!starts("unless-stopped", running: false, stopped: true))
        #expect(
            starts("on-failure", running: true, stopped: false) && !starts("on-failure", running: false, stopped: false)
        )
        #expect(!starts("no", running: true, stopped: false))
    }

    @Test func theDelayDoublesUpToACeiling() {
        var delay = RestartPolicy.initialDelay
        var sum: Int64 = 0
        for _ in 0..<100 {
            sum += delay
            let next = RestartPolicy.next(delay)
            #expect(next == delay * 2 || next == RestartPolicy.maximumDelay)
            delay = next
        }
        #expect(delay == RestartPolicy.maximumDelay && sum > 90 * RestartPolicy.maximumDelay)
    }

    @Test func impossiblePoliciesAreRefusedInDockersWords() {
        for name in ["", "no", "always", "on-failure", "unless-stopped"] {
            #expect(throws: Never.self) { try RestartPolicy.validate(["Name": JSON(name)]) }
        }
        #expect(throws: Never.self) { try RestartPolicy.validate(["Name": "on-failure", "MaximumRetryCount": 5]) }
        let unknown = #expect(throws: SkalaError.self) { try RestartPolicy.validate(["Name": "sometimes"]) }
        #expect(unknown?.message == "invalid restart policy: unknown policy 'sometimes'")
        for policy: JSON in [
            ["Name": "always", "MaximumRetryCount": 5], ["Name": "on-failure", "MaximumRetryCount": -1],
            ["MaximumRetryCount": 1],
        ] {
            let error = #expect(throws: SkalaError.self) { try RestartPolicy.validate(policy) }
            #expect(error?.message.contains("maximum retry count can only be used with 'on-failure'") == true)
        }
    }

    @Test func healthNeedsFailuresInARow() {
        var health = HealthState()
        func check(_ code: Int64, starting: Bool = false) -> String? {
            health.record(["ExitCode": JSON(code)], isInStartPeriod: starting, retries: 3)
        }
        #expect(health.status == "starting")
        for _ in 0..<9 { #expect(check(1, starting: true) == nil) }
        #expect(health.failingStreak == 0 && health.status == "starting", "failures of the start period do not count")
        #expect(health.log.count == HealthState.logLimit)
        #expect(check(1) == nil && check(1) == nil && health.failingStreak == 2)
        #expect(check(0) == "healthy" && health.failingStreak == 0)
        // A success ends the start period.
        #expect(check(1, starting: true) == nil && health.failingStreak == 1)
        #expect(check(-1) == nil && check(137) == "unhealthy" && check(1) == nil && health.failingStreak == 4)
        #expect(check(0) == "healthy")
        #expect(health.json["Log"].array?.count == 5 && health.json["Status"] == "healthy")
    }

    /// A disk that was full between two rounds has stopped VMs that nobody else tells of.
    @Test func vmsAreAskedAfterEveryMomentWithoutRoom() {
        let (plenty, scarce) = (RoomWatch.scarceRoom, RoomWatch.scarceRoom - 1)
        var watch = RoomWatch()
        func ticks(_ rooms: [Int64?], isDue: Bool = false) -> [Bool] {
            rooms.map { watch.tick(room: $0, isDue: isDue) }
        }
        #expect(ticks([plenty, plenty, plenty, plenty]) == [false, false, false, false])
        #expect(ticks([plenty, scarce, plenty, plenty]) == [false, false, false, true])
        #expect(ticks([plenty, plenty, plenty, scarce]) == [false, false, false, true])
        #expect(
            ticks([plenty, plenty, plenty, plenty]) == [false, false, false, true], "it may have stopped just after")
        #expect(ticks([plenty, nil, plenty, plenty]) == [false, false, false, true])
        #expect(ticks([plenty, plenty, plenty, plenty]) == [false, false, false, false])
        #expect(ticks([plenty, plenty], isDue: true) == [true, true])
        #expect(ticks(Array(repeating: plenty, count: 600)).count { $0 } == 10)
    }

    @Test func healthChecksAreRead() throws {
        let shell = ["/bin/sh", "-c"]
        #expect(HealthMonitor(.null, shell: shell) == nil)
        #expect(HealthMonitor(["Test": ["NONE"]], shell: shell) == nil)
        #expect(HealthMonitor(["Test": []], shell: shell) == nil)
        #expect(HealthMonitor(["Test": ["OTHER", "x"]], shell: shell) == nil)
        let standard = try #require(HealthMonitor(["Test": ["CMD", "a", "b"], "Interval": 0], shell: shell))
        #expect(standard.command == ["a", "b"] && standard.interval == 30 && standard.timeout == 30)
        #expect(standard.retries == 3 && standard.startPeriod == 0 && standard.startInterval == 5)
        let own = try #require(
            HealthMonitor(
                ["Test": ["CMD-SHELL", "exit 0"], "Interval": 1_500_000_000, "Retries": 7, "StartPeriod": 1_000_000],
                shell: shell))
        #expect(own.command == ["/bin/sh", "-c", "exit 0"] && own.interval == 1.5 && own.retries == 7)
        #expect(own.startPeriod == 0.001)
    }

    @Test(
        arguments: [
            ("", 9), ("SIGTERM", 15), ("term", 15), ("sigint", 2), ("9", 9), ("64", 64), ("HUP", 1), ("RTMIN", 34),
            ("SIGRTMIN+3", 37), ("rtmax-1", 63), ("SIGRTMAX", 64), ("WINCH", 28), ("STKFLT", 16), ("SYS", 31),
        ] as [(String, Int32)])
    func signalsHaveNamesAndNumbers(text: String, number: Int32) throws { #expect(try Signal.parse(text) == number) }

    @Test(arguments: [
        "0", "65", "-1", "SIG", "SIGFOO", "15x", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMAX-", "RTMIN++3", "RTMIN+-3",
        " 9",
    ])
    func whatIsNoSignalIsRefused(text: String) {
        let error = #expect(throws: SkalaError.self) { try Signal.parse(text) }
        #expect(error?.message == "invalid signal: \(text)")
    }

    @Test func namesAreTwoWordsAndANumber() {
        for _ in 0..<200 {
            let parts = RandomName.make().split(separator: "_", omittingEmptySubsequences: false)
            #expect(parts.count == 3 && parts[..<2].allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isLowercase) })
            #expect(Int(parts[2]) != nil)
        }
    }
}
