import Glibc
import Testing

extension Integration {
    /// `skala lab` on an engine of its own: the whole way from the experiment's file to the tables.
    @Suite(.serialized) struct LabTests {
        static let lab = "env SKALA_LAB=$PWD/lab timeout 300 $PROGRAMS/skala lab"

        /// An experiment of a few seconds: a program that counts what it gets done.
        static func write(_ isolations: String, duration: String = "1s", rounds: String) -> String {
            """
            mkdir -p tiny && cat >tiny/experiment.yaml <<'E'
            title: Tiny
            question: Does it work?
            procedure: workload
            images: { box: busybox }
            isolations: [\(isolations)]
            allocations: [hard]
            duration: \(duration)
            rounds: \(rounds)
            workloads:
              count:
                image: box
                memory: 64m
                deadline: 200s
                run: "n=0; end=$(($(date +%s) + DURATION)); while [ $(date +%s) -lt $end ]; do n=$((n+1)); done; echo counted $n"
                measures:
                  count: { pattern: 'counted ([0-9]+)', unit: rounds, better: higher }
            E
            """
        }

        @Test func anExperimentIsMeasuredAtEachIsolation() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with(options: ["--accelerator", "tcg"]) { engine in
                let t = try Session(engine)
                try await t.sh(Self.write("process, container, pod, microvm", rounds: "{ min: 1, max: 1 }"))
                try await t.sh("\(Self.lab) run ./tiny >table 2>progress || { cat progress; false; }", deadline: 300)
                try await t.sh("grep -c -E '^(process|container|pod|microvm) +[0-9.]+ ' table", prints: "4")
                try await t.sh("grep -c '\"values\":{\"count\":' lab/runs/*/samples.jsonl", prints: "4")
                try await t.sh("grep -c '\"state\": \"complete\"' lab/runs/*/run.json", prints: "1")
                try await t.sh("grep -c '\"accelerator\": \"tcg\"' lab/runs/*/run.json", prints: "1")
                // Nothing is left of it, nor of the process's mounts.
                try await t.sh(
                    "docker ps -aq; $PROGRAMS/skala pod ls -q; grep $PWD/lab /proc/self/mounts || true", prints: "")
            }
        }

        /// A disk is made of an image, boots, and its program and scripts are those of any other instance.
        @Test func aMachineIsMeasured() async throws {
            let missing = ["mmdebstrap", "ssh", "ssh-keygen"].filter { access("/usr/bin/" + $0, X_OK) != 0 }
            if let obstacle = EngineFixture.obstacle ?? MachineTests.obstacle() { return skip("lab", obstacle) }
            if !missing.isEmpty { return skip("lab", "needs \(missing.joined(separator: ", ")) for machines") }
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                try await t.sh(
                    #"""
                    mkdir -p tiny && cat >tiny/experiment.yaml <<'E'
                    title: Tiny
                    question: Does it work?
                    procedure: workload
                    images: { box: busybox }
                    isolations: [process, machine]
                    allocations: [shared]
                    rounds: { min: 1, max: 1 }
                    workloads:
                      say:
                        image: box
                        memory: 128m
                        program: 'mkdir -p /var/tmp; echo "it''s \$HOME" >/var/tmp/said; exec sleep 1000'
                        ready: test -s /var/tmp/said
                        prepare: '[ "$(cat /var/tmp/said)" = "it''s \$HOME" ]'
                        run: |
                          printf '%s\n' "it's" '$HOME `id` \ %s' "$DURATION" "$(cat)"
                          echo "value $(cat /var/tmp/said | wc -c)"
                        measures:
                          value: { pattern: "it's\n[$]HOME `id` . %s\n5\n\nvalue ([0-9]+)", unit: bytes, better: neither }
                    E
                    """#)
                // What all disks boot from is made once on this host.
                try await t.sh(
                    """
                    cache=${SKALA_CACHE:-~root/.cache/skala}/lab-machines; mkdir -p lab $cache; ln -s $cache lab/machines
                    flock $cache \(Self.lab) run ./tiny >table 2>progress
                    """, deadline: 300)
                try await t.sh(
                    "cat progress; grep -E '^(process|machine) +[0-9.]+ ' table | awk '{ print $1, $2 }'",
                    has: "machine 11", "process 11")
                try await t.sh("grep -c '\"state\": \"complete\"' lab/runs/*/run.json", prints: "1")
                // Its disk is kept for the next run; nothing else is left: no machine, no keys, no connection.
                try await t.sh("docker images -q skala-lab/busybox-disk | grep -c .", prints: "1")
                try await t.sh("docker ps -aq; ls lab/runs/*/scratch 2>&1 | grep -v 'No such file' || true", prints: "")
                try await t.sh("readlink /proc/[0-9]*/cwd | grep $PWD/lab || true", prints: "")
            }
        }

        @Test func aRunThatIsStoppedIsResumed() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.write("process, container", rounds: "{ min: 4, max: 4 }"))
                try await t.sh("setsid \(Self.lab) run ./tiny >table 2>progress & echo $! >pid")
                try await t.eventually("test -s lab/runs/*/samples.jsonl && echo yes", prints: "yes")
                // Ctrl-C while the next trial is under way.
                try await t.sh("kill -INT -$(cat pid)")
                try await t.eventually("grep -c '\"state\": \"stopped\"' lab/runs/*/run.json", prints: "1")
                try await t.sh("docker ps -aq", prints: "")
                // What it would measure now is not what it measured before.
                try await t.sh("cp tiny/experiment.yaml kept && sed -i 's/n+1/n+2/' tiny/experiment.yaml")
                try await t.sh(
                    "\(Self.lab) run --resume $(ls lab/runs) 2>&1 | grep -c 'tiny: its experiment.yaml, or an image.s recipe, has changed'",
                    prints: "1")
                try await t.sh("mv kept tiny/experiment.yaml")
                try await t.sh("\(Self.lab) run --resume $(ls lab/runs) >table 2>&1")
                try await t.sh("grep -c . lab/runs/*/samples.jsonl", prints: "8")
                // Each condition once a round, none twice.
                try await t.sh(
                    "grep -o '\"isolation\":\"[a-z]*\"},\"round\":[0-9]*' lab/runs/*/samples.jsonl | sort -u | grep -c .",
                    prints: "8")
                // More rounds of what is complete add to it; without a number there is nothing to do.
                try await t.fails(
                    "\(Self.lab) run --resume $(ls lab/runs)", 1, "a number of rounds (--rounds) adds to it")
                try await t.sh("\(Self.lab) run --resume $(ls lab/runs) --rounds 6 >table 2>&1")
                try await t.sh(
                    """
                    grep -o '"isolation":"[a-z]*"},"round":[0-9]*' lab/runs/*/samples.jsonl | sort -u | grep -c .
                    grep -c . lab/runs/*/samples.jsonl; grep -c '"state": "complete"' lab/runs/*/run.json
                    """, prints: "12\n12\n1")
            }
        }

        @Test func aRunWhoseEngineIsKilledIsResumed() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.write("process, container", rounds: "{ min: 4, max: 4 }"))
                try await t.sh("(\(Self.lab) run ./tiny >table 2>progress; echo $? >status) >/dev/null 2>&1 &")
                try await t.eventually("test -s lab/runs/*/samples.jsonl && echo yes", prints: "yes")
                // One run of an engine at a time, whatever its folder is.
                try await t.sh(
                    "env SKALA_LAB=$PWD/other timeout 60 $PROGRAMS/skala lab run ./tiny 2>&1 | grep -c 'another run of the lab'",
                    prints: "1")
                engine.endDaemon(SIGKILL)
                try await t.eventually("cat status", prints: "1")
                try await t.sh("grep -c '\"state\": \"failed\"' lab/runs/*/run.json", prints: "1")
                try await t.sh("grep -c 'go on with: skala lab run --resume' progress", prints: "1")
                try await engine.startDaemon()
                try await t.sh(
                    "\(Self.lab) run --quick --resume $(ls lab/runs) 2>&1 | grep -c 'exclude each other'", prints: "1")
                try await t.fails(
                    "\(Self.lab) run --peer runc --resume $(ls lab/runs)", 125, "--peer and --resume exclude each other"
                )
                try await t.sh("\(Self.lab) run --resume $(ls lab/runs) >table 2>&1")
                try await t.sh(
                    "grep -o '\"isolation\":\"[a-z]*\"},\"round\":[0-9]*' lab/runs/*/samples.jsonl | sort -u | grep -c .",
                    prints: "8")
                try await t.sh("docker ps -aq; ls lab/runs/*/scratch 2>&1 | grep -v 'No such file' || true", prints: "")
            }
        }

        /// Memory is overcommitted in a control group of the lab's; who needs more than there is is killed, and that is told.
        @Test func instancesAreInAFence() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(
                    """
                    mkdir tiny && cat >tiny/experiment.yaml <<'E'
                    title: Tiny
                    question: Does it work?
                    procedure: group
                    images: { box: busybox }
                    isolations: [container]
                    allocations: [hard, soft]
                    fence: 64m
                    levels: [1, 4]
                    duration: 1s
                    rounds: { min: 1, max: 1 }
                    workloads:
                      take:
                        image: box
                        memory: 32m
                        prepare: "[ $NUMBER -lt $COUNT ] && [ $PROMISED = 32 ]"
                        run: dd if=/dev/zero of=/dev/shm/f bs=1M count=20 && sleep $DURATION && echo took $(wc -c </dev/shm/f)
                        measures:
                          bytes: { pattern: 'took ([0-9]+)', unit: bytes, better: higher }
                    E
                    """)
                // What a killed run has left is in nobody's way.
                let fence = Self.fence(of: engine)
                try await t.sh(
                    "[ -e /sys/fs/cgroup/cgroup.controllers ] && g=/sys/fs/cgroup || g=/sys/fs/cgroup/memory; mkdir $g\(fence)"
                )
                try await t.sh("\(Self.lab) run ./tiny >table 2>progress || { cat progress; false; }", deadline: 120)
                try await t.sh(
                    Self.told,
                    prints: """
                        hard 1 41943040
                        hard 4 was killed: 8 instances did not get on with what they were given of the fence's 64 MiB
                        soft 1 41943040
                        soft 4 was killed: 8 instances did not get on with what they were given of the fence's 64 MiB
                        """)
                try await t.sh(Self.leftovers(of: engine), prints: "")
            }
        }

        /// The limit that each VM of a trial has in the end is its promise, or with a balloon its share.
        @Test func guestsInAFenceAreMadeSmaller() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                try await t.sh(
                    """
                    mkdir tiny && cat >tiny/experiment.yaml <<'E'
                    title: Tiny
                    question: Does it work?
                    procedure: group
                    images: { box: busybox }
                    isolations: [microvm]
                    allocations: [hard]
                    guests: [promised, balloon]
                    fence: 600m
                    levels: [2]
                    duration: 1s
                    rounds: { min: 1, max: 1 }
                    workloads:
                      limit:
                        image: box
                        memory: 600m
                        run: echo limit $(cat /sys/fs/cgroup/memory.max)
                        measures:
                          bytes: { pattern: 'limit ([0-9]+)', unit: bytes, better: lower }
                    E
                    """)
                try await t.sh("\(Self.lab) run ./tiny >table 2>progress || { cat progress; false; }", deadline: 300)
                try await t.sh(Self.told, prints: "balloon  314572800\npromised  629145600")
                try await t.sh(Self.leftovers(of: engine), prints: "")
            }
        }

        /// The lab's control group for an engine.
        private static func fence(of engine: EngineFixture) -> String {
            let path = "\(engine.folder)/run/skala.sock"
            let hash = path.utf8.reduce(UInt64(14_695_981_039_346_656_037)) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
            return "/skala-lab-" + String(hash, radix: 16)
        }

        /// Prints containers, and fences of the lab's.
        private static func leftovers(of engine: EngineFixture) -> String {
            let fence = fence(of: engine)
            return "docker ps -aq; ls -d /sys/fs/cgroup\(fence) /sys/fs/cgroup/*\(fence) 2>/dev/null || true"
        }

        /// Prints allocation, level, and the first measure or the failure of each trial, sorted.
        private static let told =
            """
            python3 -c '
            import glob, json
            for line in sorted(open(glob.glob("lab/runs/*/samples.jsonl")[0]), key=lambda l: str(json.loads(l)["condition"])):
                s = json.loads(line)
                v = s["values"]
                print(s["condition"]["allocation"], s["condition"].get("level", ""), s.get("failure") or int(v.get("total", v.get("mean"))))
            '
            """

        @Test func anExperimentWithoutItsImageIsLeftOut() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.write("container", rounds: "{ min: 1, max: 1 }"))
                try await t.sh(
                    "cp -r tiny broken && sed -i 's|box: busybox|box: 127.0.0.1:9/nobody:none|' broken/experiment.yaml")
                try await t.sh("\(Self.lab) run ./broken ./tiny >table 2>progress; echo $?", prints: "1")
                try await t.sh("grep -c 'not measured: broken: image 127.0.0.1:9/nobody:none' progress", prints: "1")
                // The other one was measured.
                try await t.sh("grep -c '^container ' table", prints: "1")
            }
        }

        @Test func whatNoExperimentNeedsIsRemoved() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.write("process", rounds: "{ min: 1, max: 1 }"))
                try await t.sh(
                    "mkdir mine && mv tiny mine && \(Self.lab) run --experiments mine tiny >table 2>progress")
                try await t.sh("docker tag busybox skala-lab/tools:0123456789ab && docker tag busybox other/lab:1")
                try await t.sh(
                    "mkdir lab/images/00000000000000ff && head -c 100000 /dev/zero >lab/images/00000000000000ff/x")
                // Nobody is there to be asked.
                let prune = "\(Self.lab) prune --experiments mine"
                try await t.sh(
                    "\(prune) >list 2>errors </dev/null; echo $?; grep -c 'Use --force' errors; grep -c -E '^(image|files) ' list",
                    prints: "1\n1\n2")
                try await t.sh(
                    "docker images -q skala-lab/tools | grep -c . ; ls lab/images | grep -c -v complete", prints: "1\n2"
                )
                try await t.sh("\(prune) --force | grep -c 'Total reclaimed space'", prints: "1")
                // What the experiment needs is there, and what is not the lab's.
                try await t.sh("docker images -q skala-lab/tools; docker images -q other/lab | grep -c .", prints: "1")
                try await t.sh(
                    "ls lab/images | grep -c -v complete; ls lab/images/*.complete | grep -c .", prints: "1\n1")
                try await t.sh("\(prune) --force", prints: "Nothing to remove: the experiments need all there is")
                try await t.sh("id=$(ls lab/runs); \(Self.lab) rm $id | grep -c \"^$id$\"; ls lab/runs", prints: "1")
                try await t.sh("\(Self.lab) rm 2026 2>&1 | grep -c \"no run '2026'\"", prints: "1")
            }
        }

        @Test func whatIsWrongIsSaidBeforeAnythingStarts() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh("mkdir -p none")
                try await t.sh(
                    "\(Self.lab) run --experiments none nothing 2>&1 | grep -c 'no experiments in none'", prints: "1")
                try await t.sh(Self.write("container", rounds: "{ min: 1, max: 1 }"))
                try await t.sh(
                    "\(Self.lab) run --experiments . other 2>&1 | grep -c \"unknown experiment 'other': there are tiny\"",
                    prints: "1")
                try await t.sh("sed -i 's/better: higher/beter: higher/' tiny/experiment.yaml")
                try await t.sh(
                    "\(Self.lab) run ./tiny 2>&1 | grep -c 'tiny/experiment.yaml:16:.*beter.*better'", prints: "1")
                // Peers: unknown, not there, and not what they should be.
                try await t.sh("sed -i 's/beter/better/' tiny/experiment.yaml")
                try await t.fails("\(Self.lab) run ./tiny --peer krun", 1, "expected docker, podman, lxc, runc, crun")
                try await t.sh(
                    "SKALA_LAB_DOCKER=$PWD/none.sock \(Self.lab) run ./tiny --peer docker --dry-run 2>&1",
                    has: "not measured: peer docker: its daemon does not answer at", "count")
                try await t.sh(
                    "SKALA_LAB_DOCKER=$DOCKER_HOST \(Self.lab) run ./tiny --peer docker --dry-run 2>&1",
                    has: "not measured: peer docker: Skala itself answers at")
                try await t.sh("test -e lab/runs || echo nothing", prints: "nothing")
            }
        }
    }
}
