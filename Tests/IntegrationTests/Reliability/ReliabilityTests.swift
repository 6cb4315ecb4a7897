import Testing

extension Integration {
    /// The short forms of `make soak`: engines of their own that are killed, starved and made to fail, not beside the
    /// other tests: those have deadlines.
    @Suite(.serialized) struct ReliabilityTests {
        @Test(arguments: [
            "kill --rounds 10 --wardens 2", "faults --limit 2 --calls clone3,mount,mkdir,sendto,openat",
            "faults --limit 2 --calls unlink,rename,rmdir,sendmsg", "disk",
            "machines --seconds 40 --vms 4 --pods 4 --containers 10",
            // Not the kinds that need minutes; twice the time, beside whatever else the machine does.
            "services --minutes 0.3 --vms 0 --pause 0.3 --patience 3 --only "
                + "kill_task,kill_daemon,kill_daemon_and_task,stop_task,freeze_task,change_rules,fill_disk,move_clock,kill_haproxy",
        ])
        func nothingIsLostOrLeaked(arguments: String) async throws {
            if let obstacle = EngineFixture.obstacle { return skip("soak.py \(arguments)", obstacle) }
            if arguments.hasPrefix("faults"), ProcessEnvironment.find("strace") == nil {
                return skip("soak.py \(arguments)", "needs strace")
            }
            guard let programs = EngineFixture.programFolder else { return }
            let script = EngineFixture.supportFolder + "../../../scripts/soak/soak.py"
            let result = try await ChildProcess.run(
                ["python3", script] + arguments.split(separator: " ").map(String.init) + ["--programs", programs],
                environment: ProcessEnvironment.inherited, folder: "/", deadline: 180)
            // Counted by `make test` as our own.
            for line in result.output.split(separator: "\n") where line.hasPrefix("SKIP: ") { print(line) }
            #expect(result.code == 0, "soak.py \(arguments)\n\(result.output)\(result.error)")
        }
    }
}
