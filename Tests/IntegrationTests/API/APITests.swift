import Testing

extension Integration {
    /// The API itself: versions, statuses, and texts that clients look at.
    @Suite(.serialized) struct APITests {
        /// Status and body of one request.
        private func call(_ t: Session, _ method: String, _ path: String, _ body: String = "") async throws -> String {
            let data = body.isEmpty ? "" : "-H 'Content-Type: application/json' -d '\(body)'"
            return try await t.sh(
                "curl -s -m 20 -w '\\n%{http_code}' -X \(method) \(data) --unix-socket $ENGINE/run/skala.sock 'http://d\(path)'"
            )
        }

        private func expect(
            _ t: Session, _ method: String, _ path: String, _ status: Int, _ text: String = "", body: String = "",
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let answer = try await call(t, method, path, body)
            #expect(
                answer.hasSuffix("\n\(status)") && answer.contains(text), "\(method) \(path): \(answer)",
                sourceLocation: sourceLocation)
        }

        @Test func statuses() async throws {
            try await Session.run { t in
                let a = t.name + "a"
                try await t.sh("docker run -d --name ${N}a busybox sleep 1000")
                try await expect(t, "GET", "/_ping", 200, "OK")
                try await expect(
                    t, "GET", "/v1.44/containers/nosuch/json", 404, #"{"message":"No such container: nosuch"}"#)
                try await expect(t, "POST", "/v1.50/containers/\(a)/start", 304)
                try await expect(t, "POST", "/v1.50/containers/\(a)/stop?t=0", 204)
                try await expect(t, "POST", "/v1.50/containers/\(a)/stop", 304)
                try await expect(t, "POST", "/v1.50/containers/\(a)/kill", 409, "is not running")
                try await expect(
                    t, "POST", "/v1.50/containers/create?name=\(a)", 409, "is already in use by container",
                    body: #"{"Image":"busybox"}"#)
                try await expect(
                    t, "POST", "/v1.50/containers/create?name=\(a)x", 404, "No such image: nosuch:latest",
                    body: #"{"Image":"nosuch"}"#)
                try await expect(t, "POST", "/v1.50/containers/create", 400, body: #"{"Image":""#)
                try await expect(
                    t, "POST", "/v1.50/containers/create", 400, "Minimum memory limit allowed is 6MB",
                    body: #"{"Image":"busybox","HostConfig":{"Memory":1}}"#)
                try await expect(t, "GET", "/v1.50/containers/json?filters=nojson", 400)
                try await expect(t, "GET", "/v1.50/containers/json?limit=x", 400)
                try await expect(t, "GET", "/v1.50/containers/\(a)/logs", 400, "you must choose at least one stream")
                try await expect(t, "POST", "/v1.50/containers/\(a)/wait?condition=bogus", 400, "invalid condition")
                try await expect(t, "GET", "/v1.50/nosuch", 404, "page not found")
                try await expect(t, "DELETE", "/v1.50/containers/\(a)", 204)
                try await expect(t, "DELETE", "/v1.50/containers/\(a)", 404)
                try await expect(t, "GET", "/v1.50/images/nosuch/json", 404, "No such image: nosuch")
                try await expect(t, "GET", "/v1.50/networks/nosuch", 404, "network nosuch not found")
                try await expect(t, "GET", "/v1.50/volumes/nosuch", 404, "no such volume")
                try await expect(t, "GET", "/v1.50/exec/nosuch/json", 404, "No such exec instance")
                try await expect(t, "GET", "/v1.50/swarm", 503, "This node is not a swarm manager")
                try await expect(t, "GET", "/v1.99/_ping", 400, "is too new")
                try await expect(t, "GET", "/v1.12/info", 400, "is too old")
            }
        }

        @Test(arguments: ["1.41", "1.44", "1.45", "1.46", "1.47", "1.48", "1.49", "1.50"])
        func versions(version: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "DOCKER_API_VERSION=\(version) docker version -f '{{.Client.APIVersion}}'", prints: version)
                try await t.sh("DOCKER_API_VERSION=\(version) docker run --rm busybox echo hi", prints: "hi")
                try await t.sh("DOCKER_API_VERSION=\(version) docker ps -a --filter name=nosuch -q", prints: "")
                try await expect(t, "GET", "/v\(version)/version", 200, #""ApiVersion":"1.50""#)
            }
        }

        @Test func information() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker version -f '{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}'",
                    has: "1.50 1.24", "linux")
                try await t.sh(
                    "docker info -f '{{.Driver}} {{.OSType}} {{.CgroupDriver}} {{.DefaultRuntime}}'",
                    has: "overlay2 linux cgroupfs")
                try await t.sh("stat -c '%a %F' $ENGINE/run/skala.sock", has: "660 socket")
            }
        }
    }
}
