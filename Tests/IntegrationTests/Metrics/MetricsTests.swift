import Glibc
import Testing

extension Integration {
    /// `/metrics`, read by Debian's Prometheus; on an engine of its own.
    @Suite(.serialized) struct MetricsTests {
        @Test func prometheusScrapes() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("prometheus", obstacle) }
            guard ProcessEnvironment.find("promtool") != nil, ProcessEnvironment.find("prometheus") != nil else {
                return skip("prometheus", "needs prometheus")
            }
            // Not among those that connections go out from, and another one in each process.
            let ports = [20_000 + Int(getpid()) % 5_000 * 2, 20_001 + Int(getpid()) % 5_000 * 2]
            let options = ["--metrics-address", "127.0.0.1:\(ports[0])"]
            try await EngineFixture.with(options: options) { engine in
                let t = try Session(engine)
                try await t.sh(
                    """
                    docker swarm init >/dev/null
                    docker service create --quiet --name web --replicas 2 -p 80 --stop-signal KILL \
                        --label skala.autoscale.max=3 --label skala.autoscale.cpu=50 busybox httpd -f -p 80 >/dev/null
                    docker run -d --name one --memory 64m busybox sleep 1000 >/dev/null
                    """)
                try await t.sh(
                    "curl -sf http://127.0.0.1:\(ports[0])/metrics | promtool check metrics 2>&1", prints: "")
                try await t.sh(
                    "curl -sf --unix-socket $ENGINE/run/skala.sock http://skala/metrics | promtool check metrics 2>&1",
                    prints: "")
                // The warden, which outlives the daemon, has not inherited the address.
                engine.endDaemon(SIGKILL)
                try await engine.startDaemon(options: options)
                // Nothing else is answered there.
                try await t.sh(
                    "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:\(ports[0])/containers/json", prints: "404"
                )
                try await t.sh(
                    """
                    cat >prometheus.yml <<E
                    global: {scrape_interval: 1s}
                    scrape_configs: [{job_name: skala, static_configs: [{targets: ["127.0.0.1:\(ports[0])"]}]}]
                    E
                    timeout 120 prometheus --config.file=prometheus.yml --storage.tsdb.path=$PWD/data \
                        --web.listen-address=127.0.0.1:\(ports[1]) >prometheus.log 2>&1 &
                    echo $! >prometheus.pid
                    """)
                func query(_ text: String) -> String {
                    "promtool query instant http://127.0.0.1:\(ports[1]) '\(text)' | sed 's/ @.*//'"
                }
                try await t.eventually(
                    query("up"), prints: "up{instance=\"127.0.0.1:\(ports[0])\", job=\"skala\"} => 1")
                try await t.eventually(query("sum(skala_service_replicas_ready{service=\"web\"})"), prints: "{} => 2")
                try await t.eventually(query("sum(skala_service_balancer_members)"), prints: "{} => 2")
                try await t.eventually(
                    query("sum(skala_container_memory_limit_bytes{name=\"one\"})"), prints: "{} => 67108864")
                try await t.eventually(query("count(skala_container_cpu_seconds_total)"), prints: "{} => 3")
                try await t.eventually(query("sum(skala_containers{state=\"running\"})"), prints: "{} => 3")
                try await t.eventually(query("max(skala_service_autoscale_maximum_replicas)"), prints: "{} => 3")
                // A task that ends is a restart.
                try await t.sh("docker kill $(docker ps -q --filter name=web.1) >/dev/null")
                try await t.eventually(query("sum(skala_service_task_restarts_total)"), prints: "{} => 1")
                try await t.eventually(query("sum(skala_service_replicas_ready)"), prints: "{} => 2")
                try await t.sh("kill $(cat prometheus.pid)")
            }
        }

        @Test func topShowsServicesAndTasks() async throws {
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                let top = "timeout 60 $PROGRAMS/skala top"
                try await t.sh(
                    """
                    docker run -d --name alone --memory 64m busybox sleep 1000 >/dev/null
                    """)
                // Without a swarm there are containers only.
                try await t.sh(
                    "\(top) --once --format '{{.Kind}} {{.Name}} {{.State}}'", prints: "container alone running")
                try await t.sh(
                    """
                    docker swarm init >/dev/null
                    docker service create --quiet --name busy --replicas 2 --stop-signal KILL \
                        --label skala.autoscale.max=2 --label skala.autoscale.min=2 --label skala.autoscale.cpu=50 \
                        busybox sh -c 'while :; do :; done' >/dev/null
                    docker service create --quiet --name idle --stop-signal KILL busybox sleep 1000 >/dev/null
                    """)
                try await t.sh(
                    "\(top) --no-stream --sort name --format '{{.Kind}} {{.Name}} {{.State}} {{.Isolation}}'",
                    prints: """
                        service busy 2/2 container
                        task busy.1 running container
                        task busy.2 running container
                        service idle 1/1 container
                        task idle.1 running container
                        container alone running container
                        """)
                try await t.sh(
                    """
                    \(top) --once --services --format json | python3 -c '
                    import json, sys
                    rows = [json.loads(line) for line in sys.stdin]
                    cpu = {row["Name"]: float(row["CPU"].rstrip("%")) for row in rows}
                    wait = {row["Name"]: row["CPUPressure"] for row in rows}
                    print([row["Name"] for row in rows][0], cpu["busy"] > 20, cpu["idle"] < 20, wait["busy"] != "-",
                          "cpu" in rows[0]["Autoscaler"])
                    '
                    """, prints: "busy True True True True")
                try await t.sh("\(top) alone -o pid,comm | sed 1d | awk '{print $2}'", prints: "sleep")
                try await t.fails("\(top) --sort size", 1, "expected cpu, memory")
                // Live: sorts, hides the tasks, and leaves the terminal as it was.
                try await t.sh(
                    """
                    output=$($SUPPORT/terminal.py 'busy.1' m 'idle.1' t 'memory' q -- $PROGRAMS/skala top) || exit
                    [[ $output == *$'\\e[?1049l' ]] && echo as it was
                    """, prints: "as it was")
                try await t.sh(
                    "$SUPPORT/terminal.py 'busy.1' '\\x03' -- $PROGRAMS/skala top >/dev/null; echo $?", prints: "0")
            }
        }

        @Test func theLogHasFields() async throws {
            try await EngineFixture.with(options: ["--log-format=json", "--log-level", "debug"]) { engine in
                let t = try Session(engine)
                try await t.sh(
                    """
                    docker swarm init >/dev/null
                    docker service create --quiet -d --name crash --restart-condition none busybox sh -c 'exit 3' >/dev/null
                    """)
                try await t.eventually(
                    """
                    python3 -c '
                    import json, sys
                    lines = [json.loads(line) for line in open(sys.argv[1])]
                    print(all(line["time"] and line["level"] and line["message"] for line in lines),
                          any(line.get("service") == "crash" and line["level"] == "debug" for line in lines))
                    ' $ENGINE/daemon.log
                    """, prints: "True True")
            }
        }
    }
}
