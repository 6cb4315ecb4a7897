import Base
import Glibc
import Kernel
import Testing

extension Integration {
    /// Several containers in one VM. What each of them does alone is in `IsolationTests`.
    @Suite(.serialized) struct PodTests {
        private static let server = "mkdir -p /www; hostname >/www/index.html; exec httpd -f -h /www -p"

        /// One address, each with its own ports, names and root; others find all of them.
        @Test func networkIsShared() async throws {
            try await Session.run { t in
                try await t.sh("docker network create ${N}n; $PROGRAMS/skala pod create ${N}p --network ${N}n")
                let run = "docker run -d --runtime pod --annotation skala.pod=${N}p"
                try await t.sh(
                    "\(run) --name ${N}a --hostname one -p 127.0.0.1::80 busybox sh -c '\(PodTests.server) 80'",
                    deadline: 180)
                try await t.sh(
                    """
                    \(run) --name ${N}b --hostname two --network ${N}n --network-alias ${N}alias -p 127.0.0.1::81/tcp \
                    busybox sh -c '\(PodTests.server) 81'
                    """)
                try await t.eventually("curl -sf http://$(docker port ${N}a 80)/", prints: "one")
                try await t.eventually("curl -sf http://$(docker port ${N}b 81)/", prints: "two")
                try await t.sh("docker exec ${N}a wget -qO- http://localhost:81/", prints: "two")
                try await t.sh("docker exec ${N}b wget -qO- http://${N}a/", prints: "one")
                for isolation in IsolationTests.all {
                    try await t.sh(
                        "docker run --rm --runtime \(isolation) --network ${N}n busybox sh -c 'for n in a alias:81 p; do wget -qO- http://'$N'$n/; done'",
                        prints: "one\ntwo\none")
                }
                let address = try await t.sh("$PROGRAMS/skala pod inspect --format '{{.IPAddress}}' ${N}p")
                for name in ["a", "b"] {
                    try await t.sh(
                        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${N}\(name)",
                        prints: address)
                }
                // Apart in all else: processes, files, names.
                try await t.sh("docker exec ${N}a ps | grep -c 'httpd.*81' || true", prints: "0")
                try await t.sh("docker exec ${N}a hostname; docker exec ${N}b cat /www/index.html", prints: "one\ntwo")
                // One's end is the other's neither, and takes its ports and names along.
                let port = try await t.sh("docker port ${N}b 81")
                try await t.sh("docker rm -f ${N}b")
                try await t.fails("curl -sf --max-time 2 http://\(port)/", 7, "")
                try await t.sh(
                    "docker exec ${N}a sh -c 'nslookup \(t.name)alias >/dev/null 2>&1 || echo none'", prints: "none")
                try await t.sh("curl -sf http://$(docker port ${N}a 80)/", prints: "one")
                try await t.fails("$PROGRAMS/skala pod rm ${N}p", 1, "has 1 container")
                try await t.sh("$PROGRAMS/skala pod rm -f ${N}p", prints: "\(t.name)p")
                try await t.sh("docker ps -aq --filter name=${N}a | wc -l", prints: "0")
            }
        }

        @Test func limitsAreEachOnes() async throws {
            try await Session.run { t in
                let run = "docker run --runtime pod --annotation skala.pod=${N}p"
                try await t.sh("\(run) -d --name ${N}a busybox sleep 1000", deadline: 180)
                try await t.fails(
                    "\(run) --name ${N}m --memory 32m busybox sh -c 'dd if=/dev/zero of=/dev/null bs=100M count=1'",
                    137, "")
                try await t.sh("docker inspect -f '{{.State.OOMKilled}} {{.Pod}}' ${N}m", prints: "true \(t.name)p")
                try await t.sh(
                    "\(run) --rm --memory 64m --pids-limit 20 --cpus 0.5 busybox sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max; cut -d\" \" -f1 cpu.max'",
                    prints: "67108864\n20\n50000")
                try await t.fails("\(run) --memory 1g busybox true", 125, "of which 928 MiB are for containers")
                try await t.fails("\(run) --network none busybox true", 125, "share the network bridge")
                try await t.fails("\(run) --pid host busybox true", 125, "not possible at isolation pod")
                try await t.sh("docker exec ${N}a echo still", prints: "still")
                // A pause is one container's alone.
                try await t.sh("\(run) -d --name ${N}b busybox sleep 1000; docker pause ${N}a")
                try await t.sh("docker exec ${N}b echo awake; docker unpause ${N}a", has: "awake")
                try await t.sh("docker exec ${N}a echo again", prints: "again")
                try await t.sh("docker stats --no-stream --format '{{.Name}}' ${N}a", prints: "\(t.name)a")
            }
        }

        /// A pod on demand lives as long as it has containers; its VM as long as they run.
        @Test func comesAndGoes() async throws {
            try await Session.run { t in
                let pods = "$PROGRAMS/skala pod ls --format '{{.Name}} {{.State}} {{.Containers}}' | grep ${N} || true"
                try await t.sh(
                    "docker run -d --name ${N}a --annotation skala.tenant=${N} busybox sleep 1000", deadline: 180)
                try await t.sh(
                    "docker run -d --name ${N}b --runtime pod --label skala.tenant=${N} busybox sleep 1000")
                try await t.sh(pods, prints: "tenant-\(t.name) running 2/2")
                try await t.sh("docker stop -t 0 ${N}a; \(pods)", has: "running 1/2")
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}b")
                try await t.sh("docker start ${N}a >/dev/null; docker inspect -f '{{.State.Pid}}' ${N}a", prints: pid)
                try await t.sh(
                    "docker stop -t 0 ${N}a ${N}b >/dev/null; \(pods)", prints: "tenant-\(t.name) stopped 0/2")
                try await t.sh("[ -d /proc/\(pid) ] || echo gone", prints: "gone")
                try await t.sh("docker rm ${N}a ${N}b >/dev/null; \(pods)", prints: "")
                // Without a word, one of its own, which has its name.
                try await t.sh(
                    "docker run -d --runtime pod --name ${N}own busybox sleep 1000 >/dev/null; \(pods)",
                    prints: "\(t.name)own running 1/1")
                try await t.sh("docker rm -f ${N}own >/dev/null; \(pods)", prints: "")
                try await t.sh("$PROGRAMS/skala pod create ${N}p >/dev/null")
                try await t.fails("docker run --rm --runtime pod --name ${N}p busybox true", 125, "a pod named")
                try await t.fails("$PROGRAMS/skala pod create ${N}p", 1, "exists already")
                try await t.sh("$PROGRAMS/skala pod rm ${N}p")
            }
        }

        /// Places, and folders of the host in them, are used again and again; beyond the last one it says so.
        @Test func placesAreUsedAgain() async throws {
            try await Session.run { t in
                let run = "docker run --runtime pod --annotation skala.pod=${N}p"
                try await t.sh("echo host >f; \(run) -d --name ${N}a busybox sleep 1000", deadline: 180)
                for number in 0..<4 {
                    try await t.sh(
                        "\(run) --rm -v $PWD/f:/f -v ${N}v:/v busybox sh -c 'cat /f; echo \(number) >>/v/log; wc -l </v/log'",
                        prints: "host\n\(number + 1)")
                }
                try await t.sh(
                    "for i in $(seq 20); do \(run) --rm busybox echo $i; done | tail -n 1", prints: "20", deadline: 120)
                try await t.sh(
                    "for i in $(seq 15); do \(run) -d --label test=$N busybox sleep 1000; done | wc -l", prints: "15",
                    deadline: 120)
                try await t.fails("\(run) --rm busybox true", 125, "places for 16 running containers")
                try await t.sh("docker exec ${N}a ls /run/skala 2>&1 || true", has: "No such file")
                try await t.sh(
                    "docker rm -f $(docker ps -q --filter label=test=$N | head -n 1) >/dev/null; \(run) --rm busybox echo room",
                    prints: "room")
                try await t.sh("$PROGRAMS/skala pod rm -f ${N}p", deadline: 120)
            }
        }

        /// Killed at any moment, the daemon finds the VM, those in it, and what has ended meanwhile.
        @Test func daemonAndMachineAreKilled() async throws {
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                let run = "docker run -d --runtime pod --annotation skala.pod=web"
                try await t.sh("docker network create net; $PROGRAMS/skala pod create web --network net")
                let address = try await t.sh("$PROGRAMS/skala pod inspect --format '{{.IPAddress}}' web")
                try await t.sh(
                    "\(run) --name aa -p 127.0.0.1:18087:80 busybox sh -c '\(PodTests.server) 80'", deadline: 180)
                try await t.sh("\(run) --name bb busybox sh -c 'echo out; sleep 2; echo more; exit 6'")
                try await t.sh("\(run) --name cc busybox sleep 1000; docker stop -t 0 cc", has: "cc")
                engine.endDaemon(SIGKILL)
                try await Task.sleep(for: .milliseconds(3000))
                try await engine.startDaemon()
                try await t.sh("docker wait bb; docker logs bb", prints: "6\nout\nmore")
                try await t.sh(
                    "docker exec aa echo here; docker start cc; docker exec cc echo there", prints: "here\ncc\nthere")
                try await t.sh(
                    "$PROGRAMS/skala pod inspect --format '{{.IPAddress}} {{.State}}' web", prints: address + " running"
                )
                try await t.sh("docker run --rm --network net busybox wget -qO- http://aa/ | wc -l", prints: "1")
                try await t.sh("curl -sf http://127.0.0.1:18087/ | wc -l", prints: "1")
                // The VM's end is the end of all in it.
                try await t.sh(
                    "docker run -d --name rr --restart always --runtime pod --annotation skala.pod=web busybox sleep 1000"
                )
                try await t.sh(
                    "kill -9 $(docker inspect -f '{{.State.Pid}}' aa); docker wait aa cc", prints: "137\n137")
                try await t.sh("docker inspect -f '{{.State.Error}}' aa", prints: "its VM ended")
                try await t.eventually("docker exec rr echo back", prints: "back")
                try await t.sh("docker start aa; docker exec aa cat /www/index.html | wc -l", prints: "aa\n1")
                // Without a daemon too.
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' aa")
                engine.endDaemon(SIGKILL)
                try await t.sh("kill -9 \(pid)")
                try await engine.startDaemon()
                try await t.sh("docker inspect -f '{{.State.ExitCode}}' aa", prints: "137")
                try await t.eventually("docker exec rr echo back", prints: "back")
                try await t.sh("$PROGRAMS/skala pod rm -f web; $PROGRAMS/skala pod ls -q | wc -l", prints: "web\n0")
                try await t.sh(
                    "ls $ENGINE/run/vm $ENGINE/data/machines/running $ENGINE/data/pods | grep -vE '^root$|:$|^$' | wc -l",
                    prints: "0")
                try await t.sh("docker network rm net", prints: "net")
            }
        }
    }
}
