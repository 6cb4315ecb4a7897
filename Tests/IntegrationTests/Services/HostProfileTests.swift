import Testing

extension Integration {
    /// What the lab found of a host: kept by the daemon, used and told for services.
    @Suite(.serialized) struct HostProfileTests {
        /// An entry of the document, as the lab sends it.
        private func loss(_ value: String, shortened: Bool = false) -> String {
            """
            {"Kind":"loss","Resource":"disk","Isolation":"container","Allocation":"shared","Neighbour":"competing",
             "Value":\(value),"Proved":true,"Cases":["disk"],"Run":"20261126-080000","Measured":"2026-11-26T08:00:00Z",
             "Shortened":\(shortened)}
            """
        }

        private func document(_ entries: String...) -> String {
            "{\"Version\":1,\"Accelerator\":\"tcg\",\"Entries\":[\(entries.joined(separator: ","))]}"
        }

        @Test func itIsKeptUsedAndForgotten() async throws {
            try await EngineFixture.with { engine in
                let t = try Session(engine)
                let address = "http://d/skala/v1/host/profile"
                let curl = "curl -s --unix-socket \"${DOCKER_HOST#unix://}\""
                func put(_ document: String, _ query: String = "") -> String {
                    "\(curl) -X PUT -H 'Content-Type: application/json' -d '\(document)' '\(address)\(query)'"
                }
                let status = "-o /dev/null -w '%{http_code}\\n'"
                try await t.sh("\(curl) \(status) \(address)", prints: "404")
                try await t.sh(put(document(loss("2"))) + " \(status)", prints: "400")
                try await t.sh(put(document(loss("0.25"), loss("0.5"))) + " \(status)", prints: "400")
                try await t.sh("\(curl) \(status) \(address)", prints: "404")
                try await t.sh(put(document(loss("0.25"))) + " | grep -o '\"LeftOut\":0'", prints: "\"LeftOut\":0")
                // A shortened run's figure does not take its place, unless it has to.
                try await t.sh(
                    put(document(loss("0.5", shortened: true))) + " | grep -o '\"LeftOut\":1'", prints: "\"LeftOut\":1")

                try await t.sh(
                    """
                    docker swarm init >/dev/null
                    docker service create -q -d --no-resolve-image --name db --replicas 2 --label skala.profile=disk \
                        busybox sleep 1000 >/dev/null
                    """)
                try await t.fails(
                    "docker service create -q -d --no-resolve-image --name bad --label skala.profile=gpu busybox", 1,
                    "invalid label skala.profile=gpu: expected cpu, memory, disk, network")
                let explain =
                    "\(curl) http://d/skala/v1/services/db/explain | grep -o 'predicted to lose [0-9]* %' | sort | uniq -c"
                try await t.eventually(explain + " | xargs", prints: "2 predicted to lose 25 %")

                // A daemon that ends has it, and one that begins finds it.
                engine.endDaemon(9)
                try await engine.startDaemon()
                try await t.eventually(explain + " | xargs", prints: "2 predicted to lose 25 %")
                try await t.sh(put(document(loss("0.5", shortened: true)), "?force=1") + " \(status)", prints: "200")
                try await t.eventually(explain + " | xargs", prints: "2 predicted to lose 50 %")
                // What it lives on changes without its tasks being replaced.
                let before = try await t.sh("docker ps -q --no-trunc | sort")
                try await t.sh("docker service update -q -d --label-add skala.profile=cpu db >/dev/null")
                try await t.eventually(explain + " | xargs", prints: "2 predicted to lose 0 %")
                try await t.sh("docker ps -q --no-trunc | sort", prints: before)
                try await t.sh("\(curl) -X DELETE \(status) \(address)", prints: "204")
                try await t.sh("\(curl) \(status) \(address)", prints: "404")
                try await t.eventually(explain + " | wc -l", prints: "0")
            }
        }
    }
}
