import Testing

extension Integration {
    /// Clients others wrote.
    @Suite(.serialized) struct ClientTests {
        /// The Python with docker-py and testcontainers; nil, with the reason printed, where it cannot be had.
        private func python(_ t: Session, _ what: String) async throws -> String? {
            let result = try await t.raw("REAL_HOME=~root $SUPPORT/venv.sh", deadline: 150)
            guard result.code == 0, let path = result.output.split(separator: "\n").last else {
                skip(what, "the Python packages cannot be installed: \(result.error.suffix(200))")
                return nil
            }
            return String(path)
        }

        @Test func dockerPy() async throws {
            try await Session.run { t in
                guard let python = try await python(t, "docker-py") else { return }
                try await t.sh("\(python) $SUPPORT/docker_py.py $N", has: "all right")
            }
        }

        @Test func testcontainers() async throws {
            try await Session.run { t in
                guard let python = try await python(t, "testcontainers") else { return }
                try await t.sh("\(python) $SUPPORT/testcontainers_py.py", has: "all right")
            }
        }

        @Test func compose() async throws {
            guard ProcessEnvironment.find("docker-compose") != nil else {
                return skip("docker-compose", "the package docker-compose is not installed")
            }
            try await Session.run { t in
                let compose = "/usr/bin/docker-compose -p ${N}p -f $SUPPORT/compose/docker-compose.yml"
                try await t.sh(
                    "\(compose) up -d 2>&1 || { \(compose) logs; \(compose) down -v; false; }", deadline: 120)
                try await t.eventually("\(compose) logs --no-color client 2>/dev/null | grep -c composed", prints: "1")
                try await t.sh("\(compose) ps -q | wc -l", prints: "2")
                try await t.sh("timeout 3 busybox wget -qO- http://$(\(compose) port web 80)", prints: "composed")
                try await t.sh("\(compose) exec -T web sh -c 'echo $WORD'", prints: "composed")
                try await t.sh("\(compose) up -d --scale client=2 2>&1; \(compose) ps -q client | wc -l", has: "2")
                try await t.sh("\(compose) restart -t 0 web 2>&1; \(compose) stop -t 0 2>&1; \(compose) down -v 2>&1")
                try await t.sh("docker ps -aq --filter label=com.docker.compose.project=${N}p | wc -l", prints: "0")
                try await t.sh("docker volume ls -q | grep -c ${N}p || true", prints: "0")
            }
        }

        @Test func ansible() async throws {
            guard ProcessEnvironment.find("ansible-playbook") != nil else {
                return skip("Ansible community.docker", "the package ansible is not installed")
            }
            try await Session.run { t in
                try await t.sh(
                    "LC_ALL=C.UTF-8 ansible-playbook -i localhost, -e prefix=$N $SUPPORT/playbook.yml",
                    deadline: 180)
            }
        }
    }
}
