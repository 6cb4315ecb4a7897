import Testing

extension Integration {
    /// Start, stop, signals, restart policies, health, waits and removal.
    @Suite(.serialized) struct LifecycleTests {
        @Test func createStartStop() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker create --name ${N}a busybox sh -c 'trap \"exit 6\" TERM; while :; do sleep 0.1; done' | wc -c",
                    prints: "65")
                try await t.sh("docker inspect -f '{{.State.Status}} {{.State.Pid}}' ${N}a", prints: "created 0")
                try await t.sh("docker start ${N}a; docker inspect -f '{{.State.Status}}' ${N}a", has: "running")
                try await t.sh(
                    "sleep 0.3; docker stop ${N}a; docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}' ${N}a",
                    has: "exited 6 0")
                try await t.sh(
                    "docker start -a ${N}a & sleep 0.5; docker kill -s TERM ${N}a >/dev/null; wait $!; echo code $?",
                    has: "code 6")
                try await t.sh(
                    "docker restart -t 0 ${N}a; docker inspect -f '{{.State.Status}} {{.RestartCount}}' ${N}a",
                    has: "running 0")
                try await t.fails(
                    "docker rm ${N}a", 1, "container is running: stop the container before removing or force remove")
                try await t.sh("docker rm -f ${N}a", prints: t.name + "a")
                try await t.fails("docker rm ${N}a", 1, "No such container: ${N}a".replacing("${N}", with: t.name))
                try await t.sh("docker rm -f ${N}a 2>&1 || echo no", has: "No such container")
            }
        }

        @Test func signals() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a --stop-signal USR1 busybox sh -c 'trap \"exit 8\" USR1; trap \"exit 9\" HUP; echo up; while :; do sleep 0.1; done'"
                )
                try await t.eventually("docker logs ${N}a", prints: "up")
                try await t.sh(
                    "docker stop ${N}a >/dev/null; docker inspect -f '{{.State.ExitCode}}' ${N}a", prints: "8")
                try await t.sh(
                    "docker start ${N}a >/dev/null; sleep 0.3; docker kill -s HUP ${N}a >/dev/null; docker wait ${N}a",
                    prints: "9")
                try await t.fails("docker kill ${N}a", 1, "is not running")
                try await t.fails("docker kill nosuch", 1, "No such container: nosuch")
                try await t.sh(
                    "docker start ${N}a >/dev/null; docker stop -s KILL ${N}a >/dev/null; docker inspect -f '{{.State.ExitCode}}' ${N}a",
                    prints: "137")
                try await t.fails("docker kill -s NOSUCH ${N}a", 1, "nvalid signal: NOSUCH")
            }
        }

        @Test func pauseAndRename() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a busybox sleep 1000; docker pause ${N}a; docker ps --format '{{.Status}}' --filter name=${N}a",
                    has: "(Paused)")
                try await t.fails("docker exec ${N}a true", 1, "is paused, unpause the container before exec")
                try await t.fails("docker pause ${N}a", 1, "is already paused")
                try await t.sh("docker unpause ${N}a; docker exec ${N}a echo back", has: "back")
                try await t.fails("docker unpause ${N}a", 1, "is not paused")
                try await t.sh("docker rename ${N}a ${N}b; docker inspect -f '{{.Name}}' ${N}b", prints: "/\(t.name)b")
                try await t.fails("docker inspect ${N}a", 1, "No such object")
                // A paused container can be stopped and removed.
                try await t.sh(
                    "docker pause ${N}b; docker stop -t 0 ${N}b; docker inspect -f '{{.State.Status}}' ${N}b",
                    has: "exited")
            }
        }

        @Test func restartPolicies() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --name ${N}a --restart on-failure:2 busybox sh -c 'echo run; exit 1'")
                try await t.eventually(
                    "docker inspect -f '{{.State.Status}} {{.RestartCount}}' ${N}a", prints: "exited 2")
                try await t.sh("docker logs ${N}a", prints: "run\nrun\nrun")
                try await t.sh(
                    "docker run -d --name ${N}b --restart on-failure busybox true; sleep 0.5; docker inspect -f '{{.State.Status}} {{.RestartCount}}' ${N}b",
                    has: "exited 0")
                try await t.sh("docker run -d --name ${N}c --restart always busybox sh -c 'echo r; sleep 0.05'")
                try await t.eventually("[ $(docker logs ${N}c | wc -l) -ge 3 ] && echo yes", prints: "yes")
                try await t.sh(
                    "docker stop ${N}c >/dev/null; sleep 1; docker inspect -f '{{.State.Status}}' ${N}c",
                    prints: "exited")
                try await t.fails("docker run --rm --restart always busybox true", 125, "")
                try await t.sh(
                    "docker update --restart no ${N}c; docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' ${N}c",
                    has: "no")
                // kill ends it for good too.
                try await t.sh(
                    "docker run -d --name ${N}d --restart unless-stopped busybox sleep 1000; docker kill ${N}d; sleep 0.5; docker inspect -f '{{.State.Status}}' ${N}d",
                    has: "exited")
            }
        }

        @Test func health() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a --health-cmd 'test -f /ok' --health-interval 200ms --health-retries 2 busybox sleep 1000"
                )
                try await t.sh("docker ps --filter name=${N}a --format '{{.Status}}'", has: "health")
                try await t.eventually("docker inspect -f '{{.State.Health.Status}}' ${N}a", prints: "unhealthy")
                try await t.sh("docker exec ${N}a touch /ok")
                try await t.eventually("docker inspect -f '{{.State.Health.Status}}' ${N}a", prints: "healthy")
                try await t.sh("docker ps -q --filter name=${N}a --filter health=healthy | wc -l", prints: "1")
                try await t.sh("docker inspect -f '{{(index .State.Health.Log 0).ExitCode}}' ${N}a", prints: "1")
                try await t.sh(
                    "docker events --since 2m --until $(date +%s.%N) --filter container=${N}a --filter event=health_status --format '{{.Action}}'",
                    prints: "health_status: unhealthy\nhealth_status: healthy")
                try await t.sh(
                    "docker run -d --name ${N}b --no-healthcheck busybox sleep 1000; docker inspect -f '{{.State.Health}}' ${N}b",
                    has: "<nil>")
            }
        }

        @Test func waitAndAutoRemove() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a busybox sh -c 'sleep 0.3; exit 11'; docker wait ${N}a", has: "11")
                try await t.sh("docker wait ${N}a", prints: "11")
                try await t.sh(
                    "docker run -d --rm --name ${N}b busybox sh -c 'sleep 0.3; exit 12' >/dev/null; docker wait ${N}b",
                    prints: "12")
                try await t.eventually("docker ps -aq --filter name=${N}b | wc -l", prints: "0")
                try await t.fails("docker wait nosuch", 1, "No such container: nosuch")
                try await t.sh(
                    "docker run -d --rm --name ${N}c -v /data busybox sleep 100 >/dev/null; docker volume ls -q | wc -l >before; docker stop -t 0 ${N}c >/dev/null; sleep 0.3; echo $(($(cat before) - $(docker volume ls -q | wc -l)))",
                    prints: "1")
            }
        }

        @Test func execs() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --name ${N}a -e A=1 busybox sleep 1000")
                try await t.sh("docker exec ${N}a echo hi", prints: "hi")
                try await t.fails("docker exec ${N}a sh -c 'exit 7'", 7, "")
                try await t.fails("docker exec ${N}a nosuch", 127, "no such file or directory")
                try await t.fails("docker exec ${N}a /etc", 126, "permission denied")
                try await t.sh(
                    "docker exec -u 3:4 -w /tmp -e Q=1 ${N}a sh -c 'id; pwd; echo $Q $A'",
                    prints: "uid=3 gid=4 groups=4\n/tmp\n1 1".replacing("groups=4", with: "groups=4"))
                try await t.sh("docker exec -d ${N}a touch /done")
                try await t.eventually("docker exec ${N}a ls /done", prints: "/done")
                try await t.sh(
                    "docker exec -i ${N}a md5sum", prints: t.sh("seq 50000 | md5sum"), input: t.sh("seq 50000") + "\n")
                try await t.sh(
                    "$SUPPORT/terminal.py '# ' 'stty size; exit 3\\n' -- docker exec -it ${N}a sh || echo code $?",
                    has: "33 101", "code 3")
                try await t.sh("docker exec --privileged ${N}a grep CapEff /proc/self/status", has: "1fff")
                try await t.fails("docker exec nosuch true", 1, "No such container: nosuch")
                try await t.sh("docker stop -t 0 ${N}a")
                try await t.fails("docker exec ${N}a true", 1, "is not running")
                try await t.sh("docker inspect -f '{{.ExecIDs}}' ${N}a", prints: "[]")
            }
        }

        @Test func attach() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d -i --name ${N}a busybox sh -c 'read x; echo got $x; exit 2'")
                try await t.sh("echo word | docker attach ${N}a || echo code $?", prints: "got word\ncode 2")
                try await t.fails("docker attach ${N}a", 1, "cannot attach to a stopped container, start it first")
                try await t.sh(
                    "docker run -d --name ${N}b busybox sh -c 'while :; do echo tick; sleep 0.1; done' >/dev/null; timeout 1 docker attach --no-stdin --sig-proxy=false ${N}b | head -n 1",
                    prints: "tick")
                // Signals go to the container.
                try await t.sh(
                    "docker run -d --name ${N}c busybox sh -c 'trap \"exit 4\" TERM; while :; do sleep 0.1; done' >/dev/null; sleep 0.3; docker attach ${N}c & sleep 0.5; kill -TERM $!; wait $!; echo code $?",
                    has: "code 4")
            }
        }

        /// A container that ignores what is passed on to it does not keep its user.
        @Test func theThirdInterruptLeavesTheContainer() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    $PROGRAMS/skala run --name ${N}a busybox sh -c 'trap "echo caught" INT TERM; echo up; while :; do sleep 0.1; done' >out 2>err &
                    while ! grep -q up out; do sleep 0.05; done
                    for number in 1 2; do kill -INT $!; while [ $(grep -c caught out) -lt $number ]; do sleep 0.05; done; done
                    kill -TERM $!; wait $!; echo code $?; cat err
                    docker inspect -f '{{.State.Running}}' ${N}a
                    """, has: "code 130\n", "running after 3 signals to end; 'skala stop ", "\ntrue")
            }
        }

        @Test func events() async throws {
            try await Session.run { t in
                try await t.sh(
                    "timeout 3 docker events --filter label=test=$N --format '{{.Type}} {{.Action}}' >ev & sleep 0.3; docker run --rm --label test=$N busybox true; sleep 0.3; kill $!; cat ev",
                    prints: "container create\ncontainer attach\ncontainer start\ncontainer die\ncontainer destroy")
                try await t.sh(
                    "docker volume create ${N}v >/dev/null; docker network create ${N}n >/dev/null; docker events --since 10s --until $(date +%s.%N) --filter type=volume --filter volume=${N}v --format '{{.Action}}'",
                    prints: "create")
                try await t.sh(
                    "docker events --since 10s --until $(date +%s.%N) --filter type=network --filter network=${N}n --format '{{.Action}}'",
                    prints: "create")
                try await t.sh(
                    "docker tag busybox ${N}i; docker events --since 10s --until $(date +%s.%N) --filter type=image --filter event=tag --format '{{.Actor.Attributes.name}}' | grep -c ^${N}i",
                    prints: "1")
            }
        }
    }
}
