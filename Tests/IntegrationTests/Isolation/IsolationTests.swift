import Base
import Glibc
import Kernel
import Testing

extension Integration {
    /// The same workloads at every isolation: what a container does, it does in a VM too.
    @Suite(.serialized) struct IsolationTests {
        static let all = ["container", "pod", "microvm"]

        @Test(arguments: all) func streamsAndExitCodes(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run --rm --runtime \(isolation)"
                // The first VM of an engine gets the kernel and the template made.
                try await t.sh(
                    "\(run) busybox sh -c 'echo out; echo err >&2' 2>/dev/null", prints: "out", deadline: 180)
                try await t.sh("\(run) busybox sh -c 'echo out; echo err >&2' 2>&1 >/dev/null", prints: "err")
                try await t.fails("\(run) busybox sh -c 'exit 3'", 3, "")
                try await t.fails("\(run) busybox nosuch", 127, "no such file or directory")
                try await t.sh("\(run) -i busybox cat", prints: "hello", input: "hello\n")
                try await t.sh("seq 20000 | \(run) -i busybox md5sum", prints: t.sh("seq 20000 | md5sum"))
                try await t.sh("\(run) busybox seq 20000 | tail -n 1", prints: "20000")
                try await t.sh("\(run) -t busybox tty | od -c", has: "0  \\r  \\n")
                try await t.sh(
                    "$SUPPORT/terminal.py '# ' 'stty size\\n' '33 101' 'exit 5\\n' -- \(run) -it busybox sh || echo $?",
                    has: "33 101", "5")
            }
        }

        @Test(arguments: all) func whatTheProgramSees(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run --rm --runtime \(isolation)"
                try await t.sh(
                    "\(run) -e A=1 -e B=2 --hostname foo -w /new -u 5:6 busybox sh -c 'hostname; pwd; id; echo $A$B'",
                    prints: "foo\n/new\nuid=5 gid=6 groups=6\n12")
                try await t.sh("\(run) -u guest busybox sh -c 'echo $HOME'", prints: "/home/guest")
                try await t.sh("\(run) --read-only busybox sh -c 'touch /x 2>&1 || echo no'", has: "no")
                try await t.sh("\(run) --tmpfs /t busybox sh -c 'touch /t/x && echo yes'", prints: "yes")
                try await t.sh("\(run) --init busybox sh -c '[ $$ != 1 ] && echo yes'", prints: "yes")
                try await t.sh("\(run) busybox sh -c 'grep CapEff /proc/self/status'", has: "00000000a80425fb")
                try await t.sh("\(run) busybox grep Seccomp: /proc/self/status", has: "2")
                try await t.sh(
                    "\(run) --privileged busybox sh -c 'mount -t tmpfs x /tmp && mknod /x c 1 3 && echo >/x && echo yes'",
                    prints: "yes")
                try await t.sh(
                    "a=$(date +%s); b=$(\(run) busybox date +%s); [ $((b - a)) -ge 0 ] && [ $((b - a)) -lt 5 ] && echo ok",
                    prints: "ok")
            }
        }

        @Test(arguments: all) func limits(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run --runtime \(isolation)"
                // The memory bomb is killed, alone, and the end says so.
                try await t.fails(
                    "\(run) --name ${N}m --memory 32m busybox sh -c 'dd if=/dev/zero of=/dev/null bs=100M count=1'",
                    137, "")
                try await t.sh("docker inspect -f '{{.State.OOMKilled}}' ${N}m", prints: "true")
                try await t.sh(
                    "\(run) --rm --pids-limit 10 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done 2>&1; wait' 2>&1 || true",
                    has: "fork")
            }
        }

        @Test(arguments: all) func life(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run -d --runtime \(isolation)"
                try await t.sh(
                    "\(run) --name ${N}a busybox sh -c 'trap \"exit 4\" TERM; echo up; while :; do sleep 0.1; done'")
                try await t.eventually("docker logs ${N}a", prints: "up")
                try await t.sh(
                    "docker exec ${N}a sh -c 'echo kept >/f; exit 0'; docker stop -t 20 ${N}a",
                    prints: "t\(t.name.dropFirst())a")
                try await t.sh("docker inspect -f '{{.State.ExitCode}} {{.State.Running}}' ${N}a", prints: "4 false")
                // What was written survives the stop; the log goes on.
                try await t.sh("docker start ${N}a >/dev/null; docker exec ${N}a cat /f", prints: "kept")
                try await t.eventually("docker logs ${N}a", prints: "up\nup")
                try await t.fails("docker exec ${N}a sh -c 'exit 9'", 9, "")
                try await t.sh("echo in | docker exec -i ${N}a cat", prints: "in")
                try await t.sh(
                    "docker pause ${N}a >/dev/null; docker inspect -f '{{.State.Status}}' ${N}a", prints: "paused")
                try await t.sh("docker unpause ${N}a >/dev/null; docker exec ${N}a echo again", prints: "again")
                try await t.sh("docker kill -s KILL ${N}a >/dev/null; docker wait ${N}a", prints: "137")
                try await t.sh("docker rm ${N}a", prints: "\(t.name)a")
                try await t.sh("\(run) --restart on-failure:2 --name ${N}r busybox sh -c 'echo x; exit 1'")
                try await t.eventually(
                    "docker inspect -f '{{.RestartCount}} {{.State.Running}}' ${N}r", prints: "2 false")
                try await t.sh("docker logs ${N}r", prints: "x\nx\nx")
                try await t.sh(
                    "\(run) --name ${N}h --health-cmd 'test -f /ok' --health-interval 100ms busybox sh -c 'sleep 0.5; touch /ok; sleep 1000'"
                )
                try await t.eventually("docker inspect -f '{{.State.Health.Status}}' ${N}h", prints: "healthy")
            }
        }

        @Test(arguments: all) func network(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh("docker network create ${N}n")
                try await t.sh(
                    """
                    docker run -d --runtime \(isolation) --name ${N}web --network ${N}n --network-alias ${N}alias -p 127.0.0.1::80 \
                    busybox sh -c 'mkdir /www; echo hello >/www/index.html; httpd -f -h /www'
                    """)
                let fetch = "wget -q -O - http"
                try await t.eventually("curl -sf http://$(docker port ${N}web 80)/", prints: "hello")
                for other in IsolationTests.all {
                    try await t.sh(
                        "docker run --rm --runtime \(other) --network ${N}n busybox \(fetch)://${N}alias/",
                        prints: "hello")
                }
                try await t.sh(
                    "docker run --rm --runtime \(isolation) --network none busybox ls /sys/class/net", has: "lo")
            }
        }

        /// More than one network, from the start and later; each comes and goes while the container runs.
        @Test(arguments: all) func networksWhileItRuns(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh("for n in a b c; do docker network create ${N}$n; done")
                try await t.sh("docker network create --internal ${N}i")
                for name in ["a", "b", "c"] {
                    try await t.sh(
                        "docker run -d --name ${N}peer\(name) --network ${N}\(name) busybox sh -c 'echo \(name) >/n; httpd -f -h /'"
                    )
                }
                try await t.sh(
                    """
                    docker run -d --runtime \(isolation) --name ${N}x --hostname x --network ${N}i --network ${N}a \
                    -p 127.0.0.1::80 busybox sh -c 'echo x >/index.html; httpd -f -h /'
                    """, deadline: 180)
                func inside(_ script: String) -> String { "docker exec ${N}x sh -c '\(script)'" }
                let names = "ls /sys/class/net | tr \"\\n\" \" \""
                let ask =
                    "for p in \(["a", "b", "c"].map { t.name + "peer" + $0 }.joined(separator: " ")); do timeout 2 wget -q -O - http://$p/n 2>/dev/null; done | tr \"\\n\" \" \""
                let route = "ip route | sed -n \"s/default via .* dev //p\""
                try await t.sh(inside("\(names); \(ask); \(route)"), prints: "eth0 eth1 lo a eth1 ")
                try await t.sh("curl -sf http://$(docker port ${N}x 80)/", prints: "x")
                // A further one: found by name in both directions, with the addresses inspect tells of.
                try await t.sh("docker network connect --alias ${N}alias ${N}b ${N}x")
                try await t.sh(inside("\(names); \(ask)"), prints: "eth0 eth1 eth2 lo a b ")
                try await t.sh("docker exec ${N}peerb wget -qO- http://${N}alias/", prints: "x")
                try await t.sh(
                    "docker exec ${N}x ip -o -4 addr | grep -c $(docker inspect -f \"{{.NetworkSettings.Networks.${N}b.IPAddress}}\" ${N}x)/",
                    prints: "1")
                try await t.sh(
                    "docker exec ${N}x cat /sys/class/net/eth2/address",
                    prints: t.sh("docker inspect -f \"{{.NetworkSettings.Networks.${N}b.MacAddress}}\" ${N}x"))
                try await t.sh("docker exec ${N}x grep -c '[0-9].x$' /etc/hosts", prints: "3")
                // The one with the default route and the ports goes: the next has them.
                try await t.sh("docker network disconnect ${N}a ${N}x")
                try await t.sh(inside("\(names); \(ask); \(route)"), prints: "eth0 eth2 lo b eth2 ")
                try await t.sh("docker exec ${N}x grep -c '[0-9].x$' /etc/hosts", prints: "2")
                try await t.sh("curl -sf http://$(docker port ${N}x 80)/", prints: "x")
                // The first one goes and comes back, and the others too.
                try await t.sh("docker network disconnect ${N}i ${N}x; docker network disconnect ${N}b ${N}x")
                try await t.sh(inside(names), prints: "lo ")
                try await t.sh(
                    "docker network connect ${N}c ${N}x; docker network connect ${N}i ${N}x; docker network connect ${N}a ${N}x"
                )
                try await t.sh(inside("\(names); \(ask); \(route)"), prints: "eth0 eth1 eth2 lo a c eth0 ")
                try await t.sh("curl -sf http://$(docker port ${N}x 80)/", prints: "x")
                // It is so after a restart, too; and nothing is left of what it had.
                try await t.sh(
                    "docker restart -t 0 ${N}x >/dev/null; \(inside("\(names); \(ask)"))",
                    prints: "eth0 eth1 eth2 lo a c ")
                guard isolation == "microvm" else { return }
                try await t.sh("docker pause ${N}x")
                try await t.fails("docker network connect ${N}b ${N}x", 1, "is paused")
                try await t.sh("docker unpause ${N}x")
                // The host's ends of the cards go with QEMU, however it ends.
                let taps =
                    "for id in $(ls $ENGINE/run/vm; cat ids 2>/dev/null); do ls /sys/class/net | grep ^sk[g-u]$id; done"
                try await t.sh("ls $ENGINE/run/vm >ids; \(taps) | sort -u | wc -l", prints: "2")
                try await t.sh("kill -9 $(docker inspect -f '{{.State.Pid}}' ${N}x); docker wait ${N}x", prints: "137")
                try await t.eventually("\(taps) | wc -l", prints: "0")
            }
        }

        @Test(arguments: all) func volumesAndBinds(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run --rm --runtime \(isolation)"
                try await t.sh("mkdir b; echo host >b/f; chown 5:6 b/f; ln -s f b/l")
                try await t.sh(
                    "\(run) -v $PWD/b:/b busybox sh -c 'cat /b/l; stat -c %u:%g /b/f; echo vm >/b/g; chown 7:8 /b/g; mkdir -p /b/d/e'",
                    prints: "host\n5:6", deadline: 180)
                try await t.sh("cat b/g; stat -c %u:%g b/g; ls -d b/d/e", prints: "vm\n7:8\nb/d/e")
                try await t.sh(
                    "\(run) -v $PWD/b:/b:ro busybox sh -c 'touch /b/x 2>&1 || true'", has: "Read-only file system")
                try await t.sh("\(run) -v $PWD/b/f:/one busybox cat /one", prints: "host")
                // A named volume gets what the image has there, and both isolations see what is in it.
                try await t.sh("\(run) -v ${N}v:/var busybox sh -c 'ls /var; echo kept >/var/x'", prints: "www")
                for other in IsolationTests.all {
                    try await t.sh("docker run --rm --runtime \(other) -v ${N}v:/v busybox cat /v/x", prints: "kept")
                }
                try await t.sh(
                    "\(run) -v ${N}v:/a/b -v $PWD/b:/a busybox sh -c 'cat /a/f /a/b/x'", prints: "host\nkept")
            }
        }

        /// A log has all that was written when the end is told, and no more than it may.
        @Test(arguments: all) func logs(isolation: String) async throws {
            try await Session.run { t in
                let run = "docker run -d --runtime \(isolation)"
                try await t.sh(
                    "\(run) --name ${N}a busybox seq 50000 >/dev/null; docker wait ${N}a >/dev/null; docker logs ${N}a | md5sum",
                    prints: t.sh("seq 50000 | md5sum"), deadline: 180)
                try await t.sh(
                    """
                    \(run) --name ${N}b --log-opt max-size=10k --log-opt max-file=2 busybox seq 20000 >/dev/null
                    docker wait ${N}b >/dev/null; docker logs ${N}b | tail -n 1
                    path=$(docker inspect -f '{{.LogPath}}' ${N}b); ls $path* | wc -l
                    [ $(stat -c %s $path) -le 10240 ] && [ $(stat -c %s $path.1) -le 10240 ] && echo small
                    """, prints: "20000\n2\nsmall")
                try await t.sh(
                    "\(run) --name ${N}c --log-driver none busybox echo x >/dev/null; docker wait ${N}c", prints: "0")
                guard isolation == "microvm" else { return }
                // What a hostile guest writes through QEMU is left out, and held to the size.
                try await t.sh(
                    "\(run) -i --name ${N}d --log-opt max-size=10k busybox sh -c 'echo before; read x; echo after'")
                try await t.eventually("docker logs ${N}d", prints: "before")
                try await t.sh(
                    """
                    pid=$(docker inspect -f '{{.State.Pid}}' ${N}d)
                    for f in /proc/$pid/fd/*; do case $(readlink $f) in *.pipe*) pipe=$f;; esac; done
                    (head -c 300000 /dev/urandom; echo; echo '{"log":"x"}'; yes '[1,2' | head -c 3000000; echo) >$pipe
                    echo | timeout 10 docker attach ${N}d >/dev/null; docker wait ${N}d; docker logs ${N}d
                    [ $(stat -c %s $(docker inspect -f '{{.LogPath}}' ${N}d)) -le 1000 ] && echo small
                    """, prints: "0\nbefore\nafter\nsmall")
            }
        }

        /// Killed at any moment, the daemon finds the VM and all of its output again.
        @Test(arguments: all) func daemonIsKilled(isolation: String) async throws {
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                let run = "docker run -d --runtime \(isolation)"
                try await t.sh(
                    "\(run) --name ticks busybox sh -c 'i=0; while [ $i -lt 80 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 6'",
                    deadline: 180)
                for _ in 0..<3 {
                    engine.endDaemon(SIGKILL)
                    try await Task.sleep(for: .milliseconds(300))
                    try await engine.startDaemon()
                    try await t.sh("docker exec ticks echo here", prints: "here")
                }
                // Paused, it cannot answer the next daemon, and is found all the same.
                try await t.sh("docker pause ticks")
                engine.endDaemon(SIGKILL)
                try await engine.startDaemon()
                try await t.sh(
                    "docker inspect -f '{{.State.Status}}' ticks; docker unpause ticks", prints: "paused\nticks")
                try await t.eventually("docker exec ticks echo here; docker wait ticks", prints: "here\n6")
                try await t.sh("docker logs ticks", prints: (1...80).map(String.init).joined(separator: "\n"))
                try await t.sh(
                    "docker rm ticks >/dev/null; ls $ENGINE/run/vm 2>/dev/null | grep -v root | wc -l", prints: "0")
            }
        }

        @Test func cloneHasAnIdentityOfItsOwn() async throws {
            try await Session.run { t in
                let random =
                    "docker run --rm --runtime microvm busybox sh -c 'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid'"
                try await t.sh(
                    "for i in 1 2 3 4 5 6; do \(random); done | sort | uniq | wc -l", prints: "12", deadline: 180)
            }
        }

        @Test func whatAVMCannotHaveIsRefused() async throws {
            try await Session.run { t in
                let run = "docker run --rm --runtime microvm"
                try await t.fails("\(run) --network host busybox true", 125, "not possible at isolation microvm")
                try await t.fails("\(run) --pid host busybox true", 125, "its kernel is not the host's")
                try await t.fails("\(run) --device /dev/null busybox true", 125, "the host's devices stay on the host")
                try await t.fails(
                    "docker run --rm --runtime nosuch busybox true", 125, "the isolations are container, pod, microvm")
            }
        }

        /// QEMU is nobody, alone, and cannot leave.
        @Test func wall() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --runtime microvm --name ${N}a busybox sleep 1000", deadline: 180)
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}a")
                try await t.sh("awk '/^Uid/ { print ($2 >= 2013265920) }' /proc/\(pid)/status", prints: "1")
                try await t.sh(
                    "grep -E 'CapEff|CapBnd' /proc/\(pid)/status | awk '{ print $2 }' | sort -u",
                    prints: "0000000000000000")
                try await t.sh(
                    "grep -E '^(NoNewPrivs|Seccomp):' /proc/\(pid)/status | awk '{ print $2 }'", prints: "1\n2")
                try await t.sh(
                    "nsenter -t \(pid) -n ls /sys/class/net 2>/dev/null | wc -l; nsenter -t \(pid) -n ip -o link | grep -vc ' lo:' || true",
                    has: "0")
                try await t.sh("ls /proc/\(pid)/root", prints: t.sh("ls $ENGINE/run/vm/root"))
                try await t.sh(
                    "[ $(readlink /proc/\(pid)/ns/mnt) != $(readlink /proc/self/ns/mnt) ] && echo own", prints: "own")
            }
        }
    }
}
