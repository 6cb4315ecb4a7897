import Base
import Glibc
import Kernel
import Testing

/// A container that takes all it can get leaves the host and the others alone. Its limits (64 processes, 64 MB) are those
/// of the fixture's spec; everything has a deadline.
@Suite(.serialized) struct BombTests {
    @Test func aForkBombIsContained() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        // A shell ends when it cannot fork; awk goes on.
        let id = try start("exec busybox awk 'BEGIN { while (1) system(\"sleep 100 &\") }'", warden)
        usleep(500_000)
        try expectResponsive(warden)
        let stats = try warden.perform("stats", ["id": JSON(id)])
        #expect((60...64).contains(stats["pids"]["current"].int ?? 0), "\(stats["pids"].text)")
        let begin = SystemClock.monotonicNanoseconds()
        try warden.perform("delete", ["id": JSON(id)])
        #expect(SystemClock.monotonicNanoseconds() - begin < 10_000_000_000)
    }

    @Test func aMemoryBombIsContained() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        // A line without an end, which tail keeps.
        let id = try start("while :; do tail /dev/zero; done", warden)
        usleep(500_000)
        try expectResponsive(warden)
        let stats = try warden.perform("stats", ["id": JSON(id)])
        #expect((stats["memory"]["peak"].int ?? .max) <= 67_108_864, "\(stats["memory"].text)")
        let single = try warden.run("exec tail /dev/zero")
        #expect(single.exit["exitCode"].int == 137 && single.exit["oomKilled"].bool == true)
        try warden.perform("delete", ["id": JSON(id)])
    }

    private func start(_ script: String, _ warden: WardenFixture) throws -> String {
        let id = Identifier.make()
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["sh", "-c", JSON(script)]), "rootfs": try warden.makeRoot(),
                "io": [:], "start": true,
            ])
        return id
    }

    /// The host starts programs, and the warden containers, in reasonable time.
    private func expectResponsive(_ warden: WardenFixture) throws {
        for _ in 0..<5 {
            let begin = SystemClock.monotonicNanoseconds()
            #expect(try Subprocess.run(["/bin/true"]) == 0)
            #expect(try warden.run("echo here").text == "here\n")
            #expect(SystemClock.monotonicNanoseconds() - begin < 5_000_000_000)
        }
    }
}
