import Glibc
import Testing

extension Integration {
    /// A service that follows its load, from a Compose file.
    @Suite(.serialized) struct AutoscaleTests {
        @Test func cpu() async throws {
            try await EngineFixture.with(options: []) { engine in
                let t = try Session(engine)
                let count = "docker ps -q --filter name=auto_web | wc -l"
                try await t.sh(
                    """
                    mkdir load; cat >compose.yaml <<'E'
                    name: auto
                    services:
                      web:
                        image: busybox
                        command:
                        - sh
                        - -c
                        - while :; do if [ -e /load/on ]; then i=0; while [ $$i -lt 3000 ]; do i=$$((i+1)); done; else sleep 0.2; fi; done
                        stop_signal: SIGKILL
                        volumes: ["./load:/load"]
                        deploy: {resources: {limits: {cpus: "0.1"}}}
                        x-skala: {autoscale: {min: 1, max: 3, cpu: 50%, scale-down-after: 3s}}
                    E
                    timeout 60 $PROGRAMS/skala up 2>/dev/null; \(count)
                    """, prints: "1")
                try await t.sh("touch load/on")
                try await t.eventually(count, prints: "3")
                // What is called again leaves the number as it is.
                try await t.sh("timeout 60 $PROGRAMS/skala up 2>/dev/null; \(count)", prints: "3")
                try await t.sh("rm load/on")
                try await t.eventually(count, prints: "1")
                try await t.sh(
                    "$PROGRAMS/skala service explain auto_web", has: "autoscaler: 1 → ", "cpu ", "of 50% wants")
                // Killed in between, the next daemon goes on.
                engine.endDaemon(SIGKILL)
                try await engine.startDaemon()
                try await t.sh("touch load/on")
                try await t.eventually(count, prints: "3")
                try await t.sh("timeout 60 $PROGRAMS/skala down 2>/dev/null; \(count)", prints: "0")
            }
        }
    }
}
