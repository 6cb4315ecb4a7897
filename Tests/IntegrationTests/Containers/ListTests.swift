import Testing

extension Integration {
    /// ps, inspect, logs, top, stats, port, update and prune.
    @Suite(.serialized) struct ListTests {
        @Test func psFiltersAndFormats() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker network create ${N}n; docker volume create ${N}v
                    docker create --name ${N}a --label k=v --label only=$N busybox true
                    docker run -d --name ${N}b --label k=w --label only=$N --network ${N}n -v ${N}v:/data --expose 77 -p 127.0.0.1::80 busybox sleep 1000
                    docker run --name ${N}c --label only=$N busybox sh -c 'exit 3' || true
                    """)
                func names(_ filters: String, _ expected: String, _ location: SourceLocation = #_sourceLocation)
                    async throws
                {
                    try await t.sh(
                        "docker ps -a --filter label=only=$N \(filters) --format '{{.Names}}' | sed s/^$N//",
                        prints: expected, sourceLocation: location)
                }
                try await names("", "c\nb\na")
                try await names("--filter status=running", "b")
                try await names("--filter status=created --filter status=exited", "c\na")
                try await names("--filter exited=3", "c")
                try await names("--filter label=k", "b\na")
                try await names("--filter label=k=v", "a")
                try await names("--filter name=${N}b", "b")
                try await names("--filter name=^/${N}b\\$", "b")
                try await names("--filter id=$(docker inspect -f '{{.Id}}' ${N}c | cut -c1-12)", "c")
                try await names("--filter ancestor=busybox", "c\nb\na")
                try await names("--filter ancestor=nosuch", "")
                try await names("--filter before=${N}b", "a")
                try await names("--filter since=${N}b", "c")
                try await names("--filter volume=${N}v", "b")
                try await names("--filter volume=/data", "b")
                try await names("--filter network=${N}n", "b")
                try await names("--filter publish=80", "b")
                try await names("--filter publish=80/tcp", "b")
                try await names("--filter publish=81", "")
                try await names("--filter expose=77", "b")
                try await names("--filter health=none", "c\nb\na")
                try await t.fails("docker ps --filter bogus=1", 1, "invalid filter 'bogus'")
                try await t.fails("docker ps --filter status=bogus", 1, "invalid filter 'status=bogus'")
                try await t.sh("docker ps --filter label=only=$N -q --no-trunc | wc -c", prints: "65")
                try await t.sh("docker ps -a -n 1 -q | wc -l", prints: "1")
                try await t.sh(
                    "docker ps -s --filter name=${N}b --format '{{.Image}}|{{.Command}}|{{.Label \"k\"}}|{{.Mounts}}|{{.Networks}}|{{.State}}|{{.Size}}'",
                    has: "busybox|\"sleep 1000\"|w|\(t.name)v|\(t.name)n|running|", "virtual")
                try await t.sh(
                    "docker ps -a --filter name=${N} --format json | head -n 1 | grep -c '\"Names\"'", prints: "1")
                try await t.sh("docker ps --filter name=${N}b --format '{{.Ports}}'", has: "127.0.0.1:", "->80/tcp")
                try await t.sh("docker port ${N}b 80", has: "127.0.0.1:")
                try await t.fails("docker port ${N}b 99", 1, "No public port '99' published for")
            }
        }

        @Test func inspect() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --name ${N}a --hostname h --domainname d -w /tmp busybox sleep 1000")
                try await t.sh(
                    "docker inspect -f '{{.Name}} {{.Path}} {{.Args}} {{.Config.Hostname}} {{.Config.WorkingDir}} {{.State.Running}} {{.Driver}} {{.Platform}} {{.HostConfig.NetworkMode}}' ${N}a",
                    prints: "/\(t.name)a sleep [1000] h /tmp true overlay2 linux bridge")
                try await t.sh(
                    "docker inspect -f '{{.NetworkSettings.IPAddress}}' ${N}a | grep -c ^$SUBNET", prints: "1")
                try await t.sh("docker inspect -s -f '{{.SizeRw}}' ${N}a", has: "")
                try await t.sh(
                    "docker inspect $(docker inspect -f '{{.Id}}' ${N}a | cut -c1-10) -f '{{.Name}}'",
                    prints: "/\(t.name)a")
                try await t.fails("docker inspect nosuch", 1, "No such object: nosuch")
                try await t.sh(
                    "docker inspect --type image busybox -f '{{.Os}} {{.Architecture}} {{.Config.Cmd}}'", has: "linux",
                    "[sh]")
            }
        }

        @Test func logs() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --name ${N}a busybox sh -c 'for i in 1 2 3 4 5; do echo out$i; done; echo err >&2' >/dev/null 2>&1"
                )
                try await t.sh("docker logs ${N}a 2>/dev/null | wc -l", prints: "5")
                try await t.sh("docker logs ${N}a 2>&1 >/dev/null", prints: "err")
                try await t.sh("docker logs --tail 2 ${N}a 2>&1", prints: "out5\nerr")
                try await t.sh("docker logs --tail 0 ${N}a 2>&1", prints: "")
                try await t.sh("docker logs -t --tail 1 ${N}a 2>&1 | grep -cE '^20[0-9-]+T[0-9:.]+Z err$'", prints: "1")
                try await t.sh("docker logs --since 1h --until $(date +%s.%N) ${N}a 2>/dev/null | wc -l", prints: "5")
                try await t.sh("docker logs --until 1h ${N}a 2>&1 | wc -l", prints: "0")
                try await t.sh("docker logs --since $(date +%s.%N) ${N}a 2>&1 | wc -l", prints: "0")
                try await t.fails("docker logs nosuch", 1, "No such container: nosuch")
                // -f gives what is there and what comes, and ends with the container.
                try await t.sh(
                    "docker run -d --name ${N}b busybox sh -c 'echo 1; sleep 0.6; echo 2; sleep 0.3; echo 3' >/dev/null; sleep 0.2; docker logs -f ${N}b",
                    prints: "1\n2\n3")
                try await t.sh(
                    "docker run -d --name ${N}c busybox sh -c 'i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done' >/dev/null; docker logs -f ${N}c | md5sum",
                    prints: t.sh("i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done | md5sum"))
                // Long lines stay whole.
                try await t.sh(
                    "docker run --name ${N}d busybox sh -c 'head -c 100000 /dev/zero | tr \"\\0\" x; echo' >/dev/null; docker logs ${N}d | wc -lc",
                    has: "1", "100001")
                try await t.sh(
                    "docker run -d --name ${N}e --log-opt max-size=10k --log-opt max-file=2 busybox seq 20000 >/dev/null; docker wait ${N}e >/dev/null; docker logs ${N}e | tail -n 1; [ $(docker logs ${N}e | wc -c) -lt 30000 ] && echo short",
                    prints: "20000\nshort")
                try await t.fails(
                    "docker run --name ${N}f --log-driver none busybox echo x >/dev/null; docker logs ${N}f", 1,
                    "configured logging driver does not support reading")
            }
        }

        @Test func topAndStats() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --name ${N}a busybox sleep 1000")
                try await t.sh("docker top ${N}a", has: "PID", "sleep 1000")
                try await t.sh("docker top ${N}a -o pid,comm | tail -n 1 | tr -s ' ' | cut -d' ' -f2", prints: "sleep")
                try await t.sh("docker stats --no-stream --format '{{.Name}} {{.PIDs}}' ${N}a", prints: "\(t.name)a 1")
                try await t.sh("docker stats --no-stream --format '{{.Name}}' | grep -c ${N}a", prints: "1")
                try await t.sh("docker stop -t 0 ${N}a")
                try await t.fails("docker top ${N}a", 1, "is not running")
            }
        }

        @Test func prunes() async throws {
            // An engine of its own: prune would take what other tests have.
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(
                    "docker run --name c1 busybox true; docker run -d --name c2 busybox sleep 1000; docker container prune -f",
                    has: "Deleted Containers:", "Total reclaimed space: 0B")
                try await t.sh("docker ps -a --format '{{.Names}}'", prints: "c2")
                try await t.sh(
                    "docker volume create v1; docker run --rm -v /x busybox true; docker create --name c3 -v /y busybox; docker rm c3; docker volume prune -f",
                    has: "Deleted Volumes:")
                try await t.sh("docker volume ls -q", prints: "v1")
                try await t.sh("docker volume prune -af", has: "v1")
                try await t.sh("docker network create n1; docker network prune -f", has: "Deleted Networks:\nn1")
                try await t.sh(
                    "docker tag busybox keep; docker commit c2; docker image prune -f", has: "deleted: sha256:")
                try await t.sh("docker images --format '{{.Repository}}' | sort", prints: "busybox\nkeep")
                try await t.sh("docker system df", has: "Images          1         1", "Containers      1         1")
                try await t.sh("docker system df -v", has: "Containers space usage:")
                try await t.sh("docker run --name c4 busybox true; docker system prune -f", has: "Deleted Containers:")
                try await t.sh(
                    "docker rm -f c2; docker system prune -af --volumes; docker images -q | wc -l",
                    has: "Deleted Images:", "\n0")
            }
        }
    }
}
