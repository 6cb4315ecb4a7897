import Testing

extension Integration {
    /// What no service can be made of is refused, or told by `service ps`; what runs goes on.
    @Suite(.serialized) struct WrongInputTests {
        @Test func wrongServicesAreToldAndHarmNobody() async throws {
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                let create = "docker service create -q -d --no-resolve-image --stop-signal KILL --name"
                func told(_ service: String, _ text: String) async throws {
                    try await t.eventually(
                        "docker service ps \(service) --no-trunc --format '{{.Error}}' | grep -cF '\(text)' | sed 's/[1-9].*/told/'",
                        prints: "told")
                }
                try await t.sh(
                    """
                    docker swarm init >/dev/null
                    \(create) good --replicas 2 -p 8087:80 busybox sh -c \
                        'mkdir /w; echo here >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
                    """)
                try await t.eventually("docker service ls --format '{{.Replicas}}'", prints: "2/2")
                let before = try await t.sh("docker ps -q --no-trunc | sort")

                // Refused, with the reason.
                for (options, reason) in [
                    ("-p 8087:80", "port '8087' is already in use by service 'good'"),
                    ("--limit-memory 10m --reserve-memory 20m", "20971520, is above its limit 10485760"),
                    ("--limit-cpu 0.1 --reserve-cpu 0.5", "500000000, is above its limit 100000000"),
                    ("--limit-memory 1k", "must be at least 4MiB"),
                    ("--isolation jail", "isolation jail is not available"),
                    ("--label skala.balance=best", "invalid label skala.balance=best"),
                    ("--label skala.autoscale.max=2", "needs a target"),
                    (
                        "--label skala.autoscale.max=2 --label skala.autoscale.min=5 --label skala.autoscale.cpu=50",
                        "max=2 is below skala.autoscale.min=5"
                    ),
                    ("--constraint 'node.colour ~ red'", "expected one operator"), ("--network nowhere", "not found"),
                ] { try await t.fails("\(create) bad \(options) busybox sleep 100", 1, reason) }
                // A port that a program of the host has.
                try await t.sh(
                    """
                    $SUPPORT/port.py 0.0.0.0 8088 stay >port.log < <(sleep 20) & program=$!
                    until grep -q free port.log; do sleep 0.1; done
                    \(create) bad -p 8088:80 busybox sleep 100 2>&1 | grep -o 'address already in use'
                    kill $program
                    """, prints: "address already in use")
                try await t.sh("docker service ls --format '{{.Name}}'", prints: "good")

                // Told.
                try await t.sh(
                    """
                    \(create) nowhere --constraint node.labels.colour==red busybox sleep 100 >/dev/null
                    \(create) large --reserve-memory 500g busybox sleep 100 >/dev/null
                    \(create) unknown localhost:1/no/such:image >/dev/null
                    \(create) program busybox /no/such/program >/dev/null
                    \(create) folder --mount type=bind,source=/no/such/folder,target=/x busybox sleep 100 >/dev/null
                    """)
                try await told("nowhere", "does not fulfil node.labels.colour==red")
                try await told("large", "lacks memory: 500GiB wanted")
                try await told("unknown", "localhost:1")
                try await told("program", "/no/such/program")
                try await told("folder", "bind source path does not exist: /no/such/folder")

                // An update that could run nowhere stops nothing, and says so; it can be taken back.
                try await t.sh("docker service update -q -d --constraint-add node.labels.colour==red good >/dev/null")
                try await t.eventually(
                    "docker service inspect good --format '{{.UpdateStatus.Message}}' | grep -o 'update waits.*red'",
                    prints: "update waits: no suitable node (1 node does not fulfil node.labels.colour==red")
                try await t.sh("docker service rollback -q -d good >/dev/null")
                try await t.sh("docker ps -q --no-trunc --filter name=good | sort", prints: before)
                try await t.sh("curl -sf http://127.0.0.1:8087", prints: "here")
            }
        }
    }
}
