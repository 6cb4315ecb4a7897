import Testing

extension Integration {
    /// Compose files by `skala up`, `down`, `scale`, `ps` and `logs`, on an engine of their own.
    @Suite(.serialized) struct ProjectTests {
        private static let file = """
            cat >compose.yaml <<'E'
            name: shop
            services:
              web:
                image: busybox
                command: httpd -f -v -p 80 -h /www
                configs: [{source: page, target: /www/index.html}]
                depends_on: {db: {condition: service_healthy}}
                environment: {WHO: "${WHO:-nobody}"}
                stop_signal: SIGKILL
                deploy: {replicas: 2, update_config: {order: start-first, parallelism: 0}}
              db:
                image: busybox
                command: ["sh", "-c", "echo started; touch /data/ready; exec sleep 1000"]
                healthcheck: {test: test -e /data/ready, interval: 1s}
                secrets: [password]
                volumes: ["data:/data"]
                stop_signal: SIGKILL
              setup:
                image: busybox
                command: echo done
                restart: "no"
                deploy: {mode: replicated-job}
            configs: {page: {content: "hello from the shop\\n"}}
            secrets: {password: {file: ./password}}
            volumes: {data: }
            E
            echo secret >password
            """

        @Test func aProjectsLife() async throws {
            try await EngineFixture.with(options: []) { engine in
                let t = try Session(engine)
                let web = "docker exec $(docker ps -q --filter name=shop_web.1)"
                let skala = "timeout 60 $PROGRAMS/skala"
                try await t.sh(ProjectTests.file)
                try await t.sh("\(skala) up 2>&1", has: "shop_web: running (2)")
                try await t.sh(
                    "docker exec $(docker ps -q --filter name=shop_db) cat /run/secrets/password", prints: "secret")
                try await t.sh("\(web) wget -qO- http://localhost", prints: "hello from the shop")
                try await t.sh(
                    "\(skala) ps --project shop | awk 'NR > 1 {print $2}' | sort | tr '\\n' ' '", has: "db.1 ")
                try await t.sh("\(skala) logs --project shop setup", prints: "setup | done")
                try await t.sh(
                    "\(skala) scale web=4 2>/dev/null; docker ps -q --filter name=shop_web | wc -l", prints: "4")
                // What changes is rolled out; what does not stays.
                try await t.sh(
                    """
                    db=$(docker ps -q --filter name=shop_db); WHO=me \(skala) up 2>/dev/null
                    \(web) sh -c 'echo $WHO'; [ $db = $(docker ps -q --filter name=shop_db) ] && echo same
                    """, prints: "me\nsame", deadline: 90)
                try await t.sh(
                    "sed -i 's/hello/welcome/' compose.yaml; \(skala) up web 2>/dev/null; \(web) wget -qO- http://localhost",
                    prints: "welcome from the shop", deadline: 90)
                try await t.sh("docker stack ls --format '{{.Name}} {{.Services}}'", prints: "shop 3")
                try await t.sh("\(skala) down --volumes 2>&1", has: "volume shop_data: removed")
                try await t.sh(
                    """
                    docker ps -aq; docker network ls -q --filter name=shop; docker secret ls -q; docker config ls -q
                    docker volume ls -q
                    """, prints: "")
            }
        }

        /// A file that is wrong changes nothing.
        @Test func wrongFiles() async throws {
            try await EngineFixture.with(options: []) { engine in
                let t = try Session(engine)
                let skala = "timeout 60 $PROGRAMS/skala"
                try await t.sh("printf 'services:\\n  web:\\n    image: busybox\\n    comand: x\\n' >bad.yaml")
                try await t.fails(
                    "\(skala) up -f bad.yaml", 1,
                    "bad.yaml:4:5: services.web: unknown key 'comand'; did you mean 'command'?")
                try await t.fails("\(skala) up -f none.yaml", 1, "none.yaml: no such file")
                try await t.sh("docker info --format '{{.Swarm.LocalNodeState}}'", prints: "inactive")
                try await t.sh("printf 'services:\\n  web: {image: busybox, command: nosuch}\\n' >fails.yaml")
                try await t.fails(
                    "\(skala) up -f fails.yaml -p p --timeout 3", 1, "execute 'nosuch': no such file or directory")
                try await t.fails("\(skala) scale nosuch=3 -p p", 1, "no such service: nosuch")
                try await t.sh("\(skala) down -p p 2>&1", has: "service p_web: removed")
            }
        }
    }
}
