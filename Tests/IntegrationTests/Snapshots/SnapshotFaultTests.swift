import Base
import Glibc
import Kernel
import Testing

extension Integration {
    /// What goes wrong in the middle of a snapshot, a clone, a restoration or a conversion.
    @Suite(.serialized) struct SnapshotFaultTests {
        private static let skala = "$PROGRAMS/skala"
        private static let options = ["--accelerator", "tcg", "--spare-vms", "0"]
        private static let counter =
            "sh -c 'i=0; while :; do i=$((i+1)); echo $i >/new; mv /new /count; sleep 0.05; done'"
        /// Whether `$1` goes on.
        private static let counts = """
            counts() { a=; for i in $(seq 200); do b=$(timeout 10 docker exec $1 cat /count) && { [ -n "$a" ] || a=$b; } && \
            [ "$b" != "$a" ] && return; sleep 0.1; done; echo "$1 stands still at $a" >&2; docker ps -a >&2; \
            df -m $ENGINE/data >&2; tail -n 20 $ENGINE/daemon.log >&2; false; }
            """

        /// The host's warden dies, and with it all that runs: what it was about to become is whole, and nothing else is left.
        @Test(arguments: ["snapshot", "clone --count 2", "restore", "convert"]) func wardenIsKilled(verb: String)
            async throws
        {
            try await EngineFixture.with(options: SnapshotFaultTests.options) { engine in
                let t = try Session(engine)
                let (skala, counts) = (SnapshotFaultTests.skala, SnapshotFaultTests.counts)
                let names = ["container", "pod", "microvm"]
                for name in names {
                    try await t.sh(
                        "docker run -d --name \(name) --runtime \(name) busybox \(SnapshotFaultTests.counter)",
                        deadline: 180)
                    try await t.sh(
                        "docker exec \(name) sh -c 'echo kept >/kept'; \(skala) snapshot -q \(name) base",
                        prints: "base")
                }
                for delay in [40, 250, 600] {
                    let warden = try #require(engine.wardenProcess)
                    let command =
                        switch verb {
                        case "convert":
                            """
                            case $(docker inspect -f '{{.HostConfig.Runtime}}' $c) in container) to=microvm;; microvm) to=pod;; *) to=container;; esac
                            \(skala) convert $c --to $to
                            """
                        case "restore": "\(skala) restore $c base"
                        default: "\(skala) \(verb) $c"
                        }
                    async let working = t.raw(
                        "for c in \(names.joined(separator: " ")); do (\(command)) 2>&1 & done; wait", deadline: 100)
                    try await Task.sleep(for: .milliseconds(delay))
                    kill(warden, SIGKILL)
                    let said = try await working
                    // What was under way says so, or was done before or after.
                    #expect(!said.output.contains("panic"), "\(said.output)")
                    try await t.eventually("docker info >/dev/null 2>&1 && echo up", prints: "up")
                    for name in names {
                        // A conversion or a restoration may have started it again under the new warden.
                        try await t.eventually(
                            """
                            [ $(docker inspect -f '{{.State.Running}}' \(name)) = true ] || docker start \(name) >/dev/null
                            docker exec \(name) cat /kept
                            """, prints: "kept")
                        try await t.sh("\(counts); counts \(name)")
                        try await t.sh(
                            "id=$(docker inspect -f '{{.Id}}' \(name)); \(skala) snapshot ls -q \(name) | sort >a; ls -A $ENGINE/data/containers/$id/snapshots | sort | diff a -",
                            prints: "")
                    }
                    try await t.sh("docker ps -aq --filter name=-[12]$ | xargs -r docker rm -f >/dev/null")
                    try await t.sh("ls $ENGINE/data/containers | wc -l", prints: "3")
                    try await t.sh("ls $ENGINE/data/containers/* | grep -c '\\.new' || true", prints: "0")
                    let virtual = try await t.sh(
                        "docker inspect -f '{{.HostConfig.Runtime}}' \(names.joined(separator: " ")) | grep -vc container || true"
                    )
                    try await t.eventually("ls $ENGINE/run/vm | grep -vc root || true", prints: virtual)
                    try await t.sh(
                        "\(skala) pod ls --format '{{.Name}}' | wc -l",
                        prints: t.sh(
                            "docker inspect -f '{{.HostConfig.Runtime}}' \(names.joined(separator: " ")) | grep -c pod || true"
                        ))
                }
                try await t.sh(
                    "docker rm -f \(names.joined(separator: " ")) >/dev/null; ls $ENGINE/data/containers | wc -l",
                    prints: "0")
                try await t.sh("ls $ENGINE/data/machines/running | wc -l; ls $ENGINE/data/pods | wc -l", prints: "0\n0")
            }
        }

        /// The daemon dies while one of a pod's containers is captured, restored, cloned or converted: that one is whole, and its
        /// neighbour has noticed nothing.
        @Test(arguments: ["snapshot", "clone --count 2", "restore", "convert"]) func daemonIsKilledInAPod(verb: String)
            async throws
        {
            try await EngineFixture.with(options: SnapshotFaultTests.options) { engine in
                let t = try Session(engine)
                let (skala, counts) = (SnapshotFaultTests.skala, SnapshotFaultTests.counts)
                let run = "docker run -d --runtime pod --annotation skala.pod=web --name"
                try await t.sh("\(run) bb busybox \(SnapshotFaultTests.counter)", deadline: 180)
                try await t.sh("\(run) aa busybox \(SnapshotFaultTests.counter)")
                try await t.sh("docker exec aa sh -c 'echo kept >/kept'; \(skala) snapshot -q aa base", prints: "base")
                let neighbour = try await t.sh("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' bb")
                for delay in [20, 150, 500] {
                    let command =
                        switch verb {
                        case "convert":
                            """
                            if [ $(docker inspect -f '{{.HostConfig.Runtime}}' aa) = pod ]; then \(skala) convert aa --to microvm
                            else \(skala) convert aa --to pod --pod web; fi
                            """
                        case "restore": "\(skala) restore aa base"
                        default: "\(skala) \(verb) aa"
                        }
                    async let working = t.raw("(\(command)) 2>&1", deadline: 60)
                    try await Task.sleep(for: .milliseconds(delay))
                    engine.endDaemon(SIGKILL)
                    _ = try await working
                    try await engine.startDaemon(options: SnapshotFaultTests.options)
                    try await t.sh("docker start aa >/dev/null; docker exec aa cat /kept", prints: "kept")
                    try await t.sh("\(counts); counts aa && counts bb")
                    try await t.sh("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' bb", prints: neighbour)
                    try await t.sh("docker ps -aq --filter name=aa- | xargs -r docker rm -f >/dev/null")
                    try await t.sh("ls $ENGINE/data/containers | wc -l; ls $ENGINE/data/pods | wc -l", prints: "2\n1")
                    try await t.sh(
                        "id=$(docker inspect -f '{{.Id}}' aa); \(skala) snapshot ls -q aa | sort >a; ls -A $ENGINE/data/containers/$id/snapshots | sort | diff a -",
                        prints: "")
                    try await t.sh("ls $ENGINE/data/containers/* | grep -c '\\.new' || true", prints: "0")
                    try await t.sh(
                        "ls $ENGINE/run/vm | grep -vc root || true",
                        prints: t.sh("[ $(docker inspect -f '{{.HostConfig.Runtime}}' aa) = pod ] && echo 1 || echo 2"))
                }
                // Its places are its containers': there are as many free ones as there should be.
                try await t.sh(
                    "docker rm -f aa >/dev/null; for i in $(seq 15); do \(run) cc$i busybox sleep 1000; done | wc -l",
                    prints: "15",
                    deadline: 120)
                try await t.sh(
                    "\(skala) pod rm -f web >/dev/null; ls $ENGINE/data/containers $ENGINE/data/machines/running | wc -w",
                    has: "2")
            }
        }

        /// The disk is full before the snapshot is whole: the workload goes on, and nothing of it stays.
        @Test func diskIsFull() async throws {
            let engine = try EngineFixture()
            defer { engine.stop() }
            let data = engine.folder + "/data"
            try FileContents.makeDirectories(data)
            _ = try await engine.run("mount -t tmpfs -o size=1200m skala-test \(data)")
            try await engine.startDaemon(options: SnapshotFaultTests.options)
            try await engine.importBusybox()
            let t = try Session(engine)
            let (skala, counts) = (SnapshotFaultTests.skala, SnapshotFaultTests.counts)
            for isolation in ["container", "pod", "microvm"] {
                try await t.sh(
                    "docker run -d --name \(isolation) --runtime \(isolation) busybox \(SnapshotFaultTests.counter)",
                    deadline: 180)
                try await t.sh(
                    "docker exec \(isolation) sh -c 'dd if=/dev/zero of=/big bs=1M count=30 2>/dev/null; echo kept >/kept; sync'"
                )
                for left in [1, 20] {
                    try await t.sh(
                        """
                        free=$(($(stat -f -c '%a * %S' $ENGINE/data) / 1048576 - \(left)))
                        fallocate -l ${free}M $ENGINE/data/filler
                        """)
                    try await t.fails("\(skala) snapshot -q \(isolation)", 1, "o space left")
                    try await t.fails("\(skala) clone -q \(isolation)", 1, "o space left")
                    try await t.sh("rm $ENGINE/data/filler; \(counts); counts \(isolation)")
                    try await t.sh(
                        "ls -A $ENGINE/data/containers/*/snapshots | grep -c . || true; ls $ENGINE/data/containers | wc -l",
                        prints: "0\n1")
                    try await t.sh("\(skala) history -q \(isolation)", prints: "")
                }
                // With room again it works, and is whole.
                try await t.sh(
                    "\(skala) snapshot -q \(isolation) s; docker exec \(isolation) rm /kept /big", prints: "s")
                try await t.sh(
                    """
                    free=$(($(stat -f -c '%a * %S' $ENGINE/data) / 1048576 - 1)); fallocate -l ${free}M $ENGINE/data/filler
                    """)
                try await t.fails("\(skala) restore -q \(isolation) s", 1, "o space left")
                try await t.sh("rm $ENGINE/data/filler; \(counts); counts \(isolation)")
                try await t.sh("\(skala) restore -q \(isolation) s; docker exec \(isolation) cat /kept", has: "kept")
                try await t.sh("docker rm -f \(isolation) >/dev/null")
            }
            // A VM beside that, which needs ever more of the disk, goes on when there is room again.
            try await t.sh(
                "docker run -d --name writer --runtime microvm busybox sh -c 'while :; do head -c 16384 /dev/urandom >>/w; sync; date +%s%N >/new; mv /new /count; done'"
            )
            try await t.sh(
                "docker run -d --name big busybox sh -c 'dd if=/dev/zero of=/big bs=1M count=300; sleep 1000'")
            try await t.eventually("docker exec big ls -l /big | grep -c 314572800", prints: "1")
            for _ in 1...4 {
                try await t.sh(
                    """
                    free=$(($(stat -f -c '%a * %S' $ENGINE/data) / 1048576 - 60)); [ $free -lt 1 ] || fallocate -l ${free}M $ENGINE/data/filler
                    """)
                try await t.fails("\(skala) snapshot -q big", 1, "o space left")
                try await t.sh("\(counts); counts writer; rm -f $ENGINE/data/filler", deadline: 300)
            }
        }
    }
}
