import Glibc
import Kernel
import Testing

extension Integration {
    /// Other programs' containers in the lab: those that are installed here, with folders of their own.
    @Suite(.serialized) struct PeerTests {
        private static let lab = LabTests.lab

        private static func isInstalled(_ program: String) -> Bool {
            Subprocess.find(program, path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") != nil
        }

        /// Podman's store, and limits that this process may set.
        private static let podman = """
            cat >containers.conf <<E
            [containers]
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
            netns = "none"
            [engine]
            cgroup_manager = "cgroupfs"
            events_logger = "none"
            runtime = "runc"
            exit_command_delay = 1
            E
            cat >storage.conf <<E
            [storage]
            driver = "overlay"
            graphroot = "$PWD/podman"
            runroot = "$PWD/podman-run"
            E
            """

        private static let variables =
            "CONTAINERS_CONF=$PWD/containers.conf CONTAINERS_STORAGE_CONF=$PWD/storage.conf SKALA_LAB_DOCKER=$PWD/docker.sock"

        /// A daemon that leaves the host's network alone.
        private static let dockerd = """
            setsid dockerd --data-root $PWD/docker --exec-root $PWD/docker-run --pidfile $PWD/docker.pid \\
                -H unix://$PWD/docker.sock --bridge none --iptables=false --ip6tables=false --ip-masq=false \\
                --ip-forward=false --cgroup-parent /skala-test-docker-$$ >dockerd.log 2>&1 </dev/null &
            echo /skala-test-docker-$$ >docker.cgroup
            """

        @Test func theInstalledOnesAreColumnsAndKeepNothing() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            var peers: [String] = []
            for (peer, programs) in [
                ("docker", ["dockerd"]), ("podman", ["podman", "conmon", "runc"]), ("lxc", ["lxc-start"]),
                ("runc", ["runc"]),
            ] {
                if let missing = programs.first(where: { !Self.isInstalled($0) }) {
                    skip("peer \(peer)", "\(missing) is not installed")
                } else {
                    peers.append(peer)
                }
            }
            guard !peers.isEmpty else { return }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.podman)
                try await t.sh(LabTests.write("container", rounds: "{ min: 1, max: 1 }"))
                if peers.contains("docker") {
                    try await t.sh(Self.dockerd)
                    try await t.eventually("test -S docker.sock && echo yes || cat dockerd.log", prints: "yes")
                }
                let names = peers.joined(separator: ",")
                try await t.sh(
                    "\(Self.variables) \(Self.lab) run ./tiny --peer \(names) --no-profile >table 2>progress; cat table progress >&2",
                    deadline: 300)
                for name in ["container"] + peers {
                    try await t.sh("grep -c -E '^\(name) +[0-9.]+ ' table || cat table progress", prints: "1")
                }
                // The versions are the run's.
                try await t.sh(
                    #"tr -d ' \n' <$(ls lab/runs/*/run.json) | grep -o '"peers":\[{[^]]*' | grep -o '"version":"[0-9]' | grep -c ."#,
                    prints: "\(peers.count)")
                // Nothing is left in them, nor of them.
                try await t.sh("ls lab/peers 2>/dev/null; grep $PWD/lab /proc/self/mounts || true", prints: "")
                if peers.contains("podman") {
                    try await t.sh("\(Self.variables) podman ps -aq && \(Self.variables) podman images -aq", prints: "")
                }
                if peers.contains("docker") {
                    let docker = "env DOCKER_HOST=unix://$PWD/docker.sock docker"
                    try await t.sh("\(docker) ps -aq && \(docker) images -aq", prints: "")
                    try await t.sh("kill $(cat docker.pid)")
                    try await t.eventually("test -e docker.pid || echo gone", prints: "gone")
                    try await t.sh(
                        "rmdir /sys/fs/cgroup/*$(cat docker.cgroup) /sys/fs/cgroup$(cat docker.cgroup) 2>&1 || true")
                }
            }
        }

        @Test func whatAKilledRunLeavesGoesWithTheNext() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab", obstacle) }
            guard Self.isInstalled("runc") else { return skip("peer runc", "runc is not installed") }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                // Long enough that one runs when the lab is killed.
                try await t.sh(LabTests.write("container", duration: "600s", rounds: "{ min: 1, max: 1 }"))
                // Of processes there are none in it: a peer alone.
                try await t.sh(
                    "(SKALA_LAB=$PWD/lab exec $PROGRAMS/skala lab run ./tiny --isolation process --peer runc) >output 2>&1 & echo $! >pid"
                )
                let list = "runc --root lab/peers/runc/state list -q 2>/dev/null | grep -c lab- || true"
                try await t.eventually(list, prints: "1")
                try await t.sh("kill -KILL $(cat pid)")
                try await t.sh(list, prints: "1")
                try await t.sh(LabTests.write("container", rounds: "{ min: 1, max: 1 }"))
                try await t.sh("\(Self.lab) run ./tiny >table 2>&1; cat table >&2", deadline: 300)
                try await t.sh("ls lab/peers 2>/dev/null; grep $PWD/lab /proc/self/mounts || true", prints: "")
                try await t.sh("docker ps -aq", prints: "")
            }
        }
    }
}
