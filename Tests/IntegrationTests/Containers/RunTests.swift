import Testing

extension Integration {
    /// `docker run` and what its options do inside the container.
    @Suite(.serialized) struct RunTests {
        @Test func exitCodes() async throws {
            try await Session.run { t in
                try await t.fails("docker run --rm --label gone busybox sh -c 'exit 3'", 3, "")
                try await t.fails("docker run --rm --label gone busybox nosuch", 127, "no such file or directory")
                try await t.fails("docker run --rm busybox /etc", 126, "permission denied")
                try await t.fails("docker run --rm --cpus=-1 busybox true", 125, "invalid CPU")
                try await t.fails("docker run --rm --pull never nosuch true", 125, "No such image: nosuch:latest")
                try await t.fails("docker run  --rm --init busybox sh -c 'kill -9 $$'", 137, "")
                try await t.sh("docker ps -aq --filter label=gone | wc -l", prints: "0")
            }
        }

        @Test func streams() async throws {
            try await Session.run { t in
                try await t.sh("docker run --rm -i busybox cat", prints: "hello", input: "hello\n")
                try await t.sh("seq 100000 | docker run --rm -i busybox md5sum", prints: t.sh("seq 100000 | md5sum"))
                try await t.sh(
                    "head -c 30000000 /dev/urandom >in; cat in | docker run --rm -i busybox cat | cmp - in && echo same",
                    prints: "same")
                try await t.sh("docker run --rm busybox sh -c 'echo out; echo err >&2' 2>/dev/null", prints: "out")
                try await t.sh("docker run --rm busybox sh -c 'echo out; echo err >&2' 2>&1 >/dev/null", prints: "err")
                try await t.sh("docker run --rm busybox seq 200000 | tail -n 1", prints: "200000")
                // Without -i the program's input is empty.
                try await t.sh("docker run --rm busybox cat", prints: "", input: "lost")
                try await t.sh("docker run --rm -a stderr busybox sh -c 'echo out; echo err >&2' 2>&1", prints: "err")
            }
        }

        @Test func terminal() async throws {
            try await Session.run { t in
                try await t.sh(
                    "$SUPPORT/terminal.py '# ' 'tty; stty size; echo x$TERM\\n' xterm 'exit 5\\n' -- docker run --rm -it busybox sh || echo $?",
                    has: "/dev/pts/0", "33 101", "xxterm", "5")
                // Ctrl-C reaches the program; Ctrl-P Ctrl-Q detaches.
                try await t.sh(
                    "$SUPPORT/terminal.py ready '\\x03' -- docker run --rm -it busybox sh -c 'trap \"echo got; exit 9\" INT; echo ready; while :; do sleep 0.1; done' || echo $?",
                    has: "got", "9")
                try await t.sh(
                    "$SUPPORT/terminal.py ready '\\x10\\x11' -- docker run -it --name ${N}d busybox sh -c 'echo ready; while :; do sleep 0.2; echo tick; done'",
                    has: "ready")
                try await t.sh("docker inspect -f '{{.State.Running}}' ${N}d", prints: "true")
                try await t.sh(
                    "$SUPPORT/terminal.py tick '\\x10\\x11' -- docker attach ${N}d; docker inspect -f '{{.State.Running}}' ${N}d",
                    has: "true")
                try await t.sh("docker run --rm -t busybox tty | od -c", has: "0  \\r  \\n")
            }
        }

        @Test func environmentFolderAndUser() async throws {
            try await Session.run { t in
                // Sorted: the docker CLI sends the variables in any order.
                try await t.sh(
                    "B=2 docker run --rm -e A=1 -e B -e NOSUCH busybox env | grep -E '^(A|B|NOSUCH)=' | sort",
                    prints: "A=1\nB=2")
                try await t.sh(
                    "printf 'X=1\\n#c\\nY=2 3\\n' >env; docker run --rm --env-file env busybox sh -c 'echo $X $Y $HOME'",
                    prints: "1 2 3 /root")
                try await t.sh(
                    "docker run --rm -w /new/dir -u 5:6 --group-add 7 busybox sh -c 'pwd; id'",
                    prints: "/new/dir\nuid=5 gid=6 groups=6,7")
                try await t.sh(
                    "docker run --rm -u guest busybox id",
                    prints: "uid=1000(guest) gid=1000(guest) groups=1000(guest),1001(extra)")
                try await t.sh("docker run --rm -u guest busybox sh -c 'echo $HOME'", prints: "/home/guest")
                try await t.fails("docker run --rm -u nobodyhere busybox id", 125, "unable to find user nobodyhere")
                try await t.sh("docker run --rm --entrypoint echo busybox a b", prints: "a b")
                try await t.sh("docker run --rm --entrypoint '' busybox echo c", prints: "c")
            }
        }

        @Test func initProcess() async throws {
            try await Session.run { t in
                // The init program is the first process, hands signals on, reaps orphans, and answers the exit code.
                try await t.fails("docker run --rm --init busybox sh -c '[ $$ != 1 ] && exit 4'", 4, "")
                try await t.sh(
                    "docker run --rm --init busybox sh -c '(sleep 0.1 &) ; sleep 0.4; ps -o stat,comm | grep -c ^Z || true'",
                    prints: "0")
                try await t.sh("docker run -d --init --name ${N}a busybox sleep 1000")
                try await t.sh("docker stop -t 8 ${N}a; docker inspect -f '{{.State.ExitCode}}' ${N}a", has: "143")
            }
        }

        @Test func isolation() async throws {
            try await Session.run { t in
                try await t.sh("docker run --rm busybox sh -c 'echo $$; ls -d /proc/[0-9]* | wc -l'", has: "1\n")
                try await t.sh("docker run --rm --hostname foo busybox hostname", prints: "foo")
                try await t.sh("docker run --rm --uts host busybox hostname", prints: t.sh("hostname"))
                try await t.sh(
                    "docker run --rm --ipc host busybox readlink /proc/1/ns/ipc",
                    prints: t.sh("readlink /proc/self/ns/ipc"))
                try await t.sh(
                    "docker run --rm --pid host busybox readlink /proc/1/exe >/dev/null; docker run --rm --pid host busybox sh -c '[ $$ != 1 ] && echo ok'",
                    prints: "ok")
                try await t.sh("docker run -d --name ${N}a busybox sleep 1000")
                try await t.sh("docker run --rm --pid container:${N}a busybox ps -o args", has: "sleep 1000")
                try await t.sh(
                    "[ $(docker run --rm --ipc container:${N}a busybox readlink /proc/self/ns/ipc) = $(docker exec ${N}a readlink /proc/self/ns/ipc) ] && echo same",
                    prints: "same")
                try await t.fails(
                    "docker run --rm --pid container:nosuch busybox true", 125, "No such container: nosuch")
                try await t.sh(
                    "docker run --rm --cgroupns private busybox sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u'",
                    has: "/")
            }
        }

        @Test func privileges() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --rm --cap-drop ALL --cap-add NET_RAW busybox grep CapEff /proc/1/status",
                    prints: "CapEff:\t0000000000002000")
                try await t.sh(
                    "docker run --rm busybox grep CapEff /proc/1/status", prints: "CapEff:\t00000000a80425fb")
                try await t.sh(
                    "docker run --rm -u 5 busybox grep CapEff /proc/1/status", prints: "CapEff:\t0000000000000000")
                try await t.fails("docker run --rm --cap-add NOSUCH busybox true", 125, "NOSUCH")
                try await t.sh(
                    "docker run --rm --security-opt no-new-privileges busybox grep -E 'NoNewPrivs|Seccomp:' /proc/1/status",
                    prints: "NoNewPrivs:\t1\nSeccomp:\t2")
                try await t.sh(
                    "docker run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/1/status",
                    prints: "Seccomp:\t0")
                try await t.sh(
                    """
                    echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' >p.json
                    docker run --rm --security-opt seccomp=p.json busybox mkdir /x 2>&1 || echo refused
                    """, has: "not permitted", "refused")
                try await t.sh(
                    "docker run --rm --privileged busybox sh -c 'mount -t tmpfs x /tmp && echo mounted'",
                    prints: "mounted")
                try await t.fails("docker run --rm busybox mount -t tmpfs x /tmp", 1, "")
                try await t.sh(
                    "docker run --rm busybox sh -c 'echo 1 >/proc/sys/kernel/panic' 2>&1 || echo no", has: "Read-only")
                try await t.sh(
                    "docker run --rm --device /dev/null:/dev/xnull busybox sh -c 'ls -l /dev/xnull; echo a >/dev/xnull'",
                    has: "1,   3")
                try await t.fails("docker run --rm --device /dev/nosuch busybox true", 125, "/dev/nosuch")
            }
        }

        @Test func filesAndLimits() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --rm --read-only --tmpfs /t:size=1m busybox sh -c 'touch /x 2>/dev/null || echo ro; touch /t/x; df -k /t | tail -n 1'",
                    has: "ro\n", "1024 ")
                try await t.sh("docker run --rm --shm-size 1m busybox df -k /dev/shm", has: "1024 ")
                try await t.sh(
                    "docker run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'", prints: "100\n200")
                try await t.sh(
                    "docker run --rm --sysctl net.ipv4.ip_unprivileged_port_start=7 busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
                    prints: "7")
                try await t.sh(
                    "docker run --rm --cpuset-cpus 0 busybox grep Cpus_allowed_list /proc/1/status",
                    prints: "Cpus_allowed_list:\t0")
                try await t.sh(
                    "docker run -d --name ${N}a --memory 64m --cpus 0.5 --pids-limit 20 busybox sleep 1000; docker stats --no-stream --format '{{.MemUsage}}' ${N}a",
                    has: "/ 64MiB")
                try await t.sh(
                    "docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' ${N}a",
                    prints: "67108864 500000000 20")
                try await t.fails("docker exec ${N}a sh -c 'for i in $(seq 30); do sleep 5 & done'", 2, "can't fork")
                try await t.sh(
                    "docker update --memory 128m --memory-swap 128m ${N}a; docker stats --no-stream --format '{{.MemUsage}}' ${N}a",
                    has: "/ 128MiB")
                try await t.fails("docker run --rm --memory 1k busybox true", 125, "Minimum memory limit")
            }
        }

        @Test func outOfMemory() async throws {
            try await Session.run { t in
                let result = try await t.raw(
                    "docker run --name ${N}a --memory 16m --memory-swap 16m busybox sh -c 'x=$(head -c 60000000 /dev/zero | tr \"\\0\" a)'"
                )
                #expect(result.code == 137)
                try await t.sh("docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' ${N}a", prints: "true 137")
                try await t.sh(
                    "docker events --since 1m --until $(date +%s.%N) --filter event=oom --filter container=${N}a --format '{{.Action}}'",
                    prints: "oom")
            }
        }

        @Test func pullPolicyNameAndLabels() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a --label a=b --annotation x=y --cidfile cid busybox sleep 1000 >out; cmp <(cat cid) <(tr -d '\\n' <out) && echo same",
                    prints: "same")
                try await t.sh(
                    "docker inspect -f '{{.Config.Labels.a}} {{index .HostConfig.Annotations \"x\"}}' ${N}a",
                    prints: "b y")
                try await t.fails("docker run --name ${N}a busybox true", 125, "Conflict. The container name \"/")
                try await t.fails("docker run --name '/bad/name' busybox true", 125, "Invalid container name")
                try await t.fails(
                    "docker run --rm --runtime nosuch busybox true", 125, "unknown or invalid runtime name: nosuch")
                try await t.fails(
                    "docker run --rm --mount type=bind,src=/nosuch,dst=/x busybox true", 125,
                    "bind source path does not exist: /nosuch")
            }
        }
    }
}
