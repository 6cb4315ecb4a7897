import Base
import Glibc
import Testing

extension Integration {
    /// Snapshots and clones of machines, which boot from their own disk.
    @Suite(.serialized) struct MachineSnapshotTests {
        private static let skala = "$PROGRAMS/skala"
        private static let waiting = MachineTests.waiting
        private static let console = MachineTests.console
        /// Counts in memory, and serves what it has counted.
        private static let counting =
            "ln -sf /run/count /www/count; (i=0; while :; do i=$((i+1)); echo $i >/run/new; mv /run/new /run/count; usleep 50000; done) & sleep 1"
        private static let count = "curl -sf --max-time 10 http://$(docker port ${N}a 80)/count"

        @Test func machineGoesBackAndIsCloned() async throws {
            try await MachineTests.withDisk { t in
                let (skala, waiting, console) = (
                    MachineSnapshotTests.skala, MachineSnapshotTests.waiting, MachineSnapshotTests.console
                )
                let count = MachineSnapshotTests.count
                try await t.sh(
                    "docker run -dit --runtime machine --name ${N}a -p 127.0.0.1::80 -m 128m --cpus 1 ${N}disk",
                    deadline: 120)
                try await t.sh("\(waiting); shows ${N}a 'is up'", deadline: 70)
                let address = try await t.sh("docker inspect -f '{{.NetworkSettings.IPAddress}}' ${N}a")
                let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}a")
                try await t.sh(
                    """
                    \(console); $SUPPORT/terminal.py '' '\\n' 'login: ' 'root\\n' '# ' '\(MachineSnapshotTests.counting); echo do"ne"\\n' \
                    'done' '' '# ' '\\x10\\x11' -- docker attach ${N}a || true
                    """)
                let early = try #require(Int(try await t.sh(count)))
                // It runs: disk, memory and devices.
                try await t.sh("\(skala) snapshot -q ${N}a now", prints: "now")
                try await t.sh(
                    "\(skala) history --format '{{.Name}} {{.Isolation}} {{.Content}} {{.Current}}' ${N}a",
                    prints: "now machine files, memory *")
                try await t.sh(
                    "cp $ENGINE/data/containers/\(id)/snapshots/now/disk d; qemu-img check -q d 2>&1; ls $ENGINE/data/containers/\(id)/snapshots/now",
                    prints: "disk\nstate")
                try await t.sh("\(console); at ${N}a 'echo later >/www/later; sync'; \(count)")
                try await t.sh("sleep 4")
                let later = try #require(Int(try await t.sh(count)))
                try await t.sh("\(skala) restore -q ${N}a now", prints: "\(t.name)a", deadline: 120)
                let after = try #require(Int(try await t.sh(count)))
                #expect(after >= early && after < later, "\(early) \(after) \(later)")
                try await t.fails("curl -sf --max-time 10 http://$(docker port ${N}a 80)/later", 22, "")
                try await t.sh("docker inspect -f '{{.NetworkSettings.IPAddress}}' ${N}a", prints: address)
                // It is one as any other: it can be captured and restored again, hears its button, and boots from that disk.
                try await t.sh("\(console); at ${N}a 'echo kept >/www/kept; sync'; \(skala) snapshot -q ${N}a again")
                try await t.sh("\(skala) restore -q ${N}a again; \(count)", deadline: 120)
                try await t.sh(
                    "docker stop ${N}a >/dev/null; docker inspect -f '{{.State.ExitCode}}' ${N}a", prints: "0")
                try await t.sh("\(skala) snapshot -q ${N}a off; docker start ${N}a >/dev/null", prints: "off")
                try await t.sh(
                    "\(waiting); shows ${N}a 'is up.*'; sleep 8; docker logs ${N}a | grep -c 'is up'", deadline: 80)
                try await t.eventually(
                    "curl -sf --max-time 2 http://$(docker port ${N}a 80)/kept || true", prints: "kept")
                // Clones boot, from disks of their own.
                try await t.sh(
                    "\(skala) clone -q --count 2 ${N}a", prints: "\(t.name)a-1\n\(t.name)a-2", deadline: 120)
                let each = "for c in ${N}a ${N}a-1 ${N}a-2; do"
                for clone in ["a-1", "a-2"] {
                    try await t.sh("\(waiting); shows ${N}\(clone) 'is up'", deadline: 130)
                    try await t.sh("curl -sf --max-time 10 http://$(docker port ${N}\(clone) 80)/kept", prints: "kept")
                }
                for question in [
                    "docker inspect -f '{{.NetworkSettings.IPAddress}}' $c",
                    "docker inspect -f '{{.NetworkSettings.MacAddress}}' $c",
                    "curl -sf --max-time 10 http://$(docker port $c 80)/",
                ] {
                    try await t.sh("\(each) \(question); done | sort -u | wc -l", prints: "3")
                }
                try await t.sh(
                    "docker rm -f ${N}a-1 >/dev/null; \(skala) clone -q --snapshot off ${N}a ${N}z",
                    prints: "\(t.name)z")
                try await t.sh("\(waiting); shows ${N}z 'is up'; docker rm -f ${N}z ${N}a-2 >/dev/null", deadline: 130)
                // Of the disk alone; what runs is started anew, and what does not stays so.
                try await t.sh(
                    "\(skala) restore -q --disk-only ${N}a now; docker inspect -f '{{.State.Running}}' ${N}a",
                    has: "true")
                try await t.sh(
                    "docker kill ${N}a >/dev/null; \(skala) restore -q ${N}a off; docker inspect -f '{{.State.Running}}' ${N}a",
                    has: "false")
                // Another size is another machine.
                try await t.sh("docker update -m 256m --memory-swap -1 ${N}a >/dev/null")
                try await t.fails("\(skala) restore ${N}a now", 1, "--disk-only")
                try await t.fails("\(skala) convert ${N}a --to container", 1, "cannot be converted")
                try await t.sh("docker start ${N}a >/dev/null; docker pause ${N}a >/dev/null")
                try await t.fails("\(skala) snapshot ${N}a", 1, "unpause it first")
                try await t.sh(
                    "docker rm -f ${N}a >/dev/null; ls -d $ENGINE/data/containers/\(id) 2>&1 || true", has: "No such")
            }
        }

        /// Killed at any moment, the daemon finds a machine that runs on, or has been stopped to be restored, and nothing else.
        @Test(arguments: ["snapshot", "restore"]) func daemonIsKilled(verb: String) async throws {
            if let obstacle = MachineTests.obstacle() { return skip("MachineSnapshotTests", obstacle) }
            let options = ["--accelerator", "tcg", "--spare-vms", "0"]
            try await EngineFixture.with(options: options) { engine in
                let t = try Session(engine)
                let (skala, waiting) = (MachineSnapshotTests.skala, MachineSnapshotTests.waiting)
                try await MachineTests.importDisk(t)
                try await t.sh("docker run -dit --runtime machine --name aa -p 127.0.0.1::80 -m 128m --cpus 1 ${N}disk")
                try await t.sh("\(waiting); shows aa 'is up'", deadline: 70)
                try await t.sh("\(skala) snapshot -q aa base", prints: "base")
                let disk = "$ENGINE/data/containers/$(docker inspect -f '{{.Id}}' aa)"
                for delay in [20, 100, 200, 350, 600] {
                    let command = verb == "restore" ? "restore aa base" : "snapshot aa"
                    async let working = t.raw("\(skala) \(command) 2>&1", deadline: 60)
                    try await Task.sleep(for: .milliseconds(delay))
                    engine.endDaemon(SIGKILL)
                    _ = try await working
                    try await engine.startDaemon(options: options)
                    let state = try await t.sh("docker inspect -f '{{.State.Running}}' aa")
                    #expect(state == "true" || verb == "restore")
                    // From memory: a boot would take seconds, and is not what is asked for.
                    if state != "true" { try await t.sh("\(skala) restore -q aa base", prints: "aa") }
                    try await t.sh("curl -sf --max-time 15 http://$(docker port aa 80)/", has: "hello from")
                    try await t.sh(
                        "\(skala) snapshot ls -q aa | sort >a; ls -A \(disk)/snapshots | sort | diff a -", prints: "")
                    try await t.sh(
                        "ls \(disk) | grep -c '\\.new' || true; ls $ENGINE/run/vm | grep -vc root", prints: "0\n1")
                }
                try await t.sh("docker rm -f aa >/dev/null; ls $ENGINE/data/containers | wc -l", prints: "0")
            }
        }

        /// QEMU dies while it saves: nothing of the snapshot stays, and the machine has ended. A full disk does not hurt it.
        @Test func machineIsKilledOrHasNoRoom() async throws {
            try await MachineTests.withDisk { t in
                let (skala, waiting) = (MachineSnapshotTests.skala, MachineSnapshotTests.waiting)
                try await t.sh(
                    "docker run -dit --runtime machine --name ${N}a -p 127.0.0.1::80 -m 128m --cpus 1 ${N}disk",
                    deadline: 120)
                try await t.sh("\(waiting); shows ${N}a 'is up'", deadline: 70)
                let folder = try await t.sh("echo $ENGINE/data/containers/$(docker inspect -f '{{.Id}}' ${N}a)")
                // A small file system in the place of the snapshots': what is written there finds no room.
                try await t.sh("mkdir \(folder)/snapshots; mount -t tmpfs -o size=20m skala-test \(folder)/snapshots")
                try await t.fails("\(skala) snapshot -q ${N}a", 1, "cannot save the machine")
                try await t.sh("ls -A \(folder)/snapshots | wc -l; \(skala) history -q ${N}a", prints: "0")
                try await t.sh("curl -sf --max-time 15 http://$(docker port ${N}a 80)/", has: "hello from")
                try await t.sh("umount \(folder)/snapshots; \(skala) snapshot -q ${N}a whole", prints: "whole")
                for delay in ["0.02", "0.15"] {
                    let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}a")
                    try await t.sh(
                        "(sleep \(delay); kill -9 \(pid)) & \(skala) snapshot -q ${N}a 2>&1 || true; wait; docker wait ${N}a",
                        has: "137")
                    try await t.sh(
                        "\(skala) snapshot ls -q ${N}a | sort", prints: t.sh("ls -A \(folder)/snapshots | sort"))
                    try await t.sh("\(skala) restore -q ${N}a whole", prints: "\(t.name)a")
                    try await t.sh("curl -sf --max-time 15 http://$(docker port ${N}a 80)/", has: "hello from")
                }
                try await t.sh("docker rm -f ${N}a", prints: "\(t.name)a")
            }
        }
    }
}
