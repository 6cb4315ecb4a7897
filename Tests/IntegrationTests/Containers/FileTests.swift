import Glibc
import Testing

extension Integration {
    /// cp, diff, export, commit and top, at every isolation.
    @Suite(.serialized) struct FileTests {
        @Test(arguments: ["running", "stopped", "created"], IsolationTests.all)
        func copies(state: String, isolation: String) async throws {
            try await Session.run { t in
                let create = "docker create --runtime \(isolation) --name ${N}a -v /vol busybox sleep 1000 >/dev/null"
                let steps = [
                    "created": create, "running": "\(create); docker start ${N}a",
                    "stopped": "\(create); docker start ${N}a; docker stop -t 0 ${N}a",
                ]
                try await t.sh(steps[state] ?? "false", deadline: 180)
                try await t.sh(
                    "echo x >f1; docker cp -q f1 ${N}a:/tmp/f2; docker cp -q ${N}a:/tmp/f2 f3; cat f3", prints: "x")
                try await t.sh("docker cp -q f1 ${N}a:/vol/f; docker cp -q ${N}a:/vol/f - | tar -t", prints: "f")
                try await t.sh(
                    "mkdir -p d/e; echo y >d/e/g; ln -s e/g d/l; chmod 640 d/e/g; docker cp -q d ${N}a:/root; docker cp -q ${N}a:/root/d back; cat back/l; stat -c %a back/e/g",
                    prints: "y\n640")
                // Into an existing folder, or the folder's contents, as cp(1).
                try await t.sh(
                    "docker cp -q d/. ${N}a:/tmp; docker cp -q ${N}a:/tmp - | tar -t | sort | tr '\\n' ' '",
                    prints: "tmp/ tmp/e/ tmp/e/g tmp/f2 tmp/l ")
                try await t.sh(
                    "tar -c f1 | docker cp -q - ${N}a:/root; docker cp -q ${N}a:/root/f1 - | tar -xO", prints: "x")
                try await t.fails(
                    "docker cp ${N}a:/nosuch .", 1, "Could not find the file /nosuch in container \(t.name)a")
                try await t.fails(
                    "docker cp f1 ${N}a:/nosuch/x", 1, "Could not find the file /nosuch in container \(t.name)a")
                try await t.fails("docker cp f1 nosuch:/x", 1, "No such container: nosuch")
                // Links of the container lead nowhere outside.
                try await t.sh(
                    "ln -s /etc/passwd esc; docker cp -q esc ${N}a:/tmp/esc; docker cp -q -L ${N}a:/tmp/esc out; docker cp -q ${N}a:/etc/passwd out2; cmp out out2 && echo same",
                    prints: "same")
                try await t.sh(
                    "head -c 20000000 /dev/urandom >big; docker cp -q big ${N}a:/big; docker cp -q ${N}a:/big big2; cmp big big2 && echo same",
                    prints: "same")
            }
        }

        /// What the kernel shows in a running container is none of its files; its volumes and binds are.
        @Test(arguments: IsolationTests.all) func theKernelsFilesAreNotTheContainers(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "mkdir b; echo bound >b/f; docker run -d --runtime \(isolation) --name ${N}a -v /vol -v $PWD/b:/bound:ro --tmpfs /t --hostname ${N}h busybox sh -c 'echo 1 >/vol/v; echo 2 >/t/t; echo 3 >/root/r; echo up; sleep 1000' >/dev/null",
                    deadline: 180
                )
                try await t.eventually("docker logs ${N}a", prints: "up")
                try await t.sh(
                    "docker cp ${N}a:/ all; (cd all; find proc sys dev t -mindepth 1 -type f; cat vol/v bound/f root/r etc/hostname)",
                    prints: "1\nbound\n3\n\(t.name)h")
                try await t.sh(
                    "$PROGRAMS/skala cp -q ${N}a:/ all2; $PROGRAMS/skala cp -q ${N}a:/. all3; cat all2/vol/v all3/root/r; ls all2/proc",
                    prints: "1\n3")
                for path in ["/proc/version", "/sys/kernel", "/dev/zero", "/t/t"] {
                    try await t.fails("docker cp ${N}a:\(path) x", 1, "Could not find the file \(path)")
                }
                try await t.fails("docker cp b/f ${N}a:/bound/new", 1, "read-only file system")
                // Several at a time, and the container goes on meanwhile.
                try await t.sh(
                    "for i in 1 2 3 4; do docker cp ${N}a:/ - >$i.tar & done; wait; tar -xOf 4.tar --wildcards '*vol/v'; docker exec ${N}a cat /proc/1/comm /t/t",
                    prints: "1\nsleep\n2")
            }
        }

        @Test(arguments: ["running", "stopped"], IsolationTests.all)
        func diffCommitExport(state: String, isolation: String) async throws {
            try await Session.run { t in
                let work = "echo 1 >/new; rm /etc/group; echo x >>/etc/passwd; mkdir /d; touch /d/f"
                try await t.sh(
                    "docker run \(state == "running" ? "-d" : "") --runtime \(isolation) --name ${N}a busybox sh -c '\(work)\(state == "running" ? "; exec sleep 1000" : "")'",
                    deadline: 180)
                try await t.eventually("docker diff ${N}a | grep -c /d/f", prints: "1")
                try await t.sh(
                    "docker diff ${N}a | sort", prints: "A /d\nA /d/f\nA /new\nC /etc\nC /etc/passwd\nD /etc/group")
                try await t.sh(
                    "docker commit -c 'CMD [\"cat\", \"/new\"]' -c 'ENV Z=1' -c 'LABEL l=m' -c 'WORKDIR /d' -c 'EXPOSE 80' -a me -m msg ${N}a ${N}i:t | cut -c1-7",
                    prints: "sha256:")
                try await t.sh(
                    "docker run --rm ${N}i:t; docker run --rm ${N}i:t sh -c 'pwd; echo $Z; ls /etc'", has: "1\n/d\n1\n",
                    "passwd")
                try await t.sh("docker run --rm ${N}i:t ls /etc/group 2>/dev/null || echo gone", prints: "gone")
                try await t.sh(
                    "docker inspect ${N}i:t -f '{{.Author}} {{.Comment}} {{.Config.Labels.l}} {{.Config.ExposedPorts}}'",
                    prints: "me msg m map[80/tcp:{}]")
                try await t.sh("docker history --format '{{.Comment}}' ${N}i:t | head -n 1", prints: "msg")
                try await t.sh("docker history ${N}i:t | wc -l", prints: "3")
                try await t.sh(
                    "docker export ${N}a | tar -t | grep -E '^(new|d/f|etc/group)$'",
                    prints: "d/f\nnew")
                try await t.sh(
                    "docker inspect -f '{{.State.Status}}' ${N}a", prints: state == "running" ? state : "exited")
                try await t.sh(
                    "docker export ${N}a | docker import -c 'CMD cat /new' -m imported - ${N}j >/dev/null; docker run --rm ${N}j",
                    prints: "1")
                try await t.fails("docker commit nosuch", 1, "No such container: nosuch")
                try await t.fails("docker commit -c 'BOGUS 1' ${N}a", 1, "BOGUS")
                try await t.fails("docker diff nosuch", 1, "No such container")
            }
        }

        /// Everything a file may have comes out as it went in, whoever packs and unpacks it.
        @Test(arguments: ["running", "stopped"], IsolationTests.all)
        func fidelity(state: String, isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker create --runtime \(isolation) --name ${N}a busybox sleep 1000
                    mkdir t; cd t; echo one >f; chmod 4751 f; ln f same; ln -s f link; mkfifo pipe; mknod dev c 1 5
                    mkdir -p "$(printf 'deep/%.0s' $(seq 60))"; echo x >"$(printf 'deep/%.0s' $(seq 60))f"
                    printf 'bytes' >"$(printf 'a\\377\\001b')"; echo u >'ümlaut'; chown -h 5:3000000 f link dev
                    truncate -s 5000000 hole; echo end >>hole; setcap cap_net_raw+ep hole 2>/dev/null || true
                    touch -d '2001-02-03 04:05:06.123456789' f
                    \(state == "running" ? "docker start ${N}a" : ":")
                    """, deadline: 180)
                let list =
                    "find . -printf '%P %y %m %U:%G %n %s %l\\n' | sort; sha256sum f hole a* *laut; stat -c '%n %t:%T' dev; getfattr -h -d -m - hole; stat -c %y f"
                try await t.sh(
                    """
                    tar --xattrs --numeric-owner -c t | docker cp -a - ${N}a:/root; mkdir out; docker cp -q ${N}a:/root/t - | tar --xattrs --xattrs-include='*' --numeric-owner -xp -C out
                    (cd t; \(list)) >want 2>/dev/null; (cd out/t; \(list)) >got 2>/dev/null; diff want got && echo same
                    """, prints: "same")
                try await t.sh(
                    "docker commit ${N}a ${N}i >/dev/null; docker run --rm ${N}i sh -c 'cd /root/t; cat same link deep/deep/../../ümlaut; stat -c \"%a %u:%g %h\" f; md5sum hole'",
                    prints: t.sh("cd t; echo one; echo one; echo u; stat -c '%a %u:%g %h' f; md5sum hole"))
            }
        }

        @Test(arguments: IsolationTests.all) func top(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime \(isolation) --name ${N}a busybox sh -c 'sleep 1000 & exec sleep 2000'",
                    deadline: 180)
                try await t.eventually(
                    "docker top ${N}a | awk '{ print $1, $6, $8, $9 }'",
                    prints: "UID TTY CMD \nroot ? sleep 2000\nroot ? sleep 1000")
                try await t.sh(
                    "docker top ${N}a -ef | awk 'NR > 1 { print ($2 > 1), ($5 ~ /^[0-9][0-9]:[0-9][0-9]$/), $7 }' | uniq",
                    prints: "1 1 00:00:00")
                try await t.sh("docker stop -t 0 ${N}a")
                try await t.fails("docker top ${N}a", 1, "is not running")
            }
        }

        /// Several use the files of one stopped container at the same time; what changes its state waits for them.
        @Test(arguments: IsolationTests.all) func sharedHold(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker create --runtime \(isolation) --name ${N}a busybox sh -c 'ls /root/bin | wc -l' >/dev/null; docker cp -q ${N}a:/bin/busybox b",
                    deadline: 180)
                try await t.sh(
                    "timeout 30 docker cp -q ${N}a:/bin - | timeout 30 docker cp -q - ${N}a:/root && docker cp -q ${N}a:/root - | tar -t | grep -c root/bin/",
                    prints: t.sh("docker cp -q ${N}a:/bin - | tar -t | wc -l"))
                // A reader that rests: the start waits until it has gone.
                try await t.sh(
                    """
                    docker cp -q ${N}a:/ - | (head -c 100 >/dev/null; sleep 1; date +%s%N >left; cat >/dev/null) & sleep 0.3
                    docker start ${N}a >/dev/null; date +%s%N >started; wait
                    [ $(cat started) -gt $(cat left) ] && echo waited
                    """, prints: "waited")
                try await t.sh("docker wait ${N}a", prints: "0")
                // A client that leaves in the middle holds nothing up, however often.
                try await t.sh(
                    """
                    for i in $(seq 5); do docker cp -q ${N}a:/ - 2>/dev/null | head -c 10000 >/dev/null; done
                    for i in $(seq 5); do (cat b; sleep 0.1) | head -c 1000 | docker cp - ${N}a:/root 2>/dev/null; done
                    timeout 20 docker rm ${N}a
                    """, prints: "\(t.name)a")
            }
        }

        /// However many copies there are, and however long their clients rest, the engine does other things meanwhile.
        @Test func manyCopiesAtATime() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    head -c 2000000 /dev/urandom >z; for i in $(seq 40); do docker create --name ${N}c$i busybox true >/dev/null; done
                    for i in $(seq 20); do docker cp -q ${N}c$i:/ - | (head -c 1; sleep 6) >/dev/null & done
                    for i in $(seq 21 40); do timeout 50 docker cp -q z ${N}c$i:/z & done
                    sleep 1; timeout 5 docker run --rm busybox echo meanwhile; wait
                    for i in $(seq 21 40); do docker cp -q ${N}c$i:/z - | tar -xO | cmp - z; done
                    """, prints: "meanwhile", deadline: 120)
            }
        }

        /// Helpers of clients that left do not pile up in a running VM.
        @Test(arguments: IsolationTests.all) func clientsThatLeave(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime \(isolation) --name ${N}a busybox sleep 1000; head -c 3000000 /dev/zero >z; docker cp -q z ${N}a:/z",
                    deadline: 180)
                try await t.sh(
                    "for i in $(seq 80); do docker cp -q ${N}a:/z - 2>/dev/null | head -c 1 >/dev/null; done; docker cp -q ${N}a:/z - | tar -xO | cmp - z && echo whole",
                    prints: "whole")
                try await t.sh(
                    "(tar -c z | head -c 100000; sleep 0.2) | docker cp - ${N}a:/ 2>&1 || echo refused", has: "refused")
                try await t.sh("docker exec ${N}a echo alive", prints: "alive")
            }
        }

        /// Killed while a stopped container's VM serves its files, the daemon removes that VM, and loses nothing.
        @Test(arguments: IsolationTests.all) func daemonIsKilled(isolation: String) async throws {
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(
                    "docker create --runtime \(isolation) -v vol:/vol --name aa busybox cat /f /vol/g; echo one >f; docker cp -q f aa:/f; docker cp -q f aa:/vol/g",
                    deadline: 180)
                let reader = Task { try await t.raw("docker cp -q aa:/ - | (head -c 1000 >/dev/null; sleep 3)") }
                try await Task.sleep(for: .milliseconds(700))
                engine.endDaemon(SIGKILL)
                _ = try await reader.value
                try await engine.startDaemon()
                // It listens before it has looked at everything.
                try await t.eventually("ls $ENGINE/run/vm 2>/dev/null | grep -v root | wc -l", prints: "0")
                try await t.sh("docker start -a aa", prints: "one\none")
                try await t.sh("docker cp -q aa:/f - | tar -xO", prints: "one")
                engine.endDaemon(SIGTERM)
                try await t.sh("ls $ENGINE/run/vm 2>/dev/null | grep -v root | wc -l", prints: "0")
                try await engine.startDaemon()
                try await t.sh("docker rm aa", prints: "aa")
            }
        }

        /// A paused VM does nothing at all.
        @Test func filesOfAPausedMachineWait() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime microvm --name ${N}a busybox sleep 1000; docker pause ${N}a", deadline: 180
                )
                try await t.fails("docker cp ${N}a:/etc/passwd -", 1, "is paused, and its VM with it")
                try await t.fails("docker top ${N}a -o pid", 1, "not possible at isolation microvm")
                try await t.sh("docker unpause ${N}a; docker cp ${N}a:/etc/passwd - | tar -t", has: "passwd")
            }
        }
    }
}
