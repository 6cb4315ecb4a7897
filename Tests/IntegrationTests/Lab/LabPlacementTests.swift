import Glibc
import Testing

extension Integration {
    /// `procedure: placement` with the engine: tasks that run where its scheduler puts them.
    @Suite(.serialized) struct LabPlacementTests {
        private static let profile = """
            {"Version":1,"Accelerator":null,"Entries":[{"Kind":"loss","Resource":"cpu","Isolation":"container",
             "Allocation":"shared","Neighbour":"competing","Value":0.5,"Proved":true,"Cases":["c"],"Run":"r",
             "Measured":"2026-11-26T08:00:00Z","Shortened":false}]}
            """

        /// Each fails when it may use more processors than its node has.
        private static let experiment = """
            mkdir -p tiny && cat >tiny/experiment.yaml <<'E'
            title: Tiny
            question: Are they kept apart?
            procedure: placement
            images: { box: busybox }
            placements: [without, by host profile]
            tasks: { count: 2, wait: 1 }
            arrivals: 1
            profile-rounds: 2
            duration: 1s
            rounds: { min: 1, max: 1 }
            workloads:
              count:
                image: box
                resource: cpu
                memory: 32m
                run: "test $(nproc) = $PROCESSORS || exit 9; n=0; end=$(($(date +%s) + DURATION)); while [ $(date +%s) -lt $end ]; do n=$((n+1)); done; echo counted $n"
                measures: { count: { pattern: 'counted ([0-9]+)', unit: rounds, better: higher } }
              wait:
                image: box
                resource: disk
                memory: 32m
                run: "test $(nproc) = $PROCESSORS || exit 9; sleep $DURATION; echo waited 1"
                measures: { waits: { pattern: 'waited ([0-9]+)', unit: waits, better: higher } }
            E
            """

        @Test func tasksRunWhereTheSchedulerPutsThem() async throws {
            if let obstacle = EngineFixture.obstacle { return skip("lab placement", obstacle) }
            guard sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 else { return skip("lab placement", "one processor") }
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                try await t.sh(Self.experiment)
                // What the engine does not know is told before anything starts, and not measured.
                try await t.sh(
                    "\(LabTests.lab) run --dry-run ./tiny 2>&1 | grep -c 'by host profile: the engine has no profile'",
                    prints: "1")
                try await t.sh(
                    "curl -sf --unix-socket \"${DOCKER_HOST#unix://}\" -X PUT -H 'Content-Type: application/json' -d '\(Self.profile)' http://d/skala/v1/host/profile >/dev/null"
                )
                try await t.sh(
                    "\(LabTests.lab) run ./tiny >table 2>progress || { cat progress; false; }", deadline: 300)
                try await t.sh("grep -c -E '^(without|by host profile) +[0-9.]+ ' table", prints: "2")
                try await t.sh("grep -c 'failure' lab/runs/*/samples.jsonl || true", prints: "0")
                // With the profile the two that compute are apart, in whatever order they came.
                try await t.sh(
                    "grep 'by host profile' lab/runs/*/samples.jsonl | grep -o '\"together\":[0-9.]*'",
                    prints: "\"together\":0.0")
                try await t.sh("docker ps -aq", prints: "")
            }
        }
    }
}
