import Base
import Glibc
import Kernel
import Testing

/// Services whose requests HAProxy balances, through the docker client and the skala command, on an engine of their own.
@Suite(.engine, .serialized) struct HTTPServiceTests {
    private static let create =
        "docker service create -q --detach --no-resolve-image --stop-grace-period 2s --name"
    /// A server whose answer is its host's name and, below /api, `api`.
    private static let serve = """
        sh -c 'mkdir -p /w/api; hostname >/w/index.html; echo api >/w/api/index.html; exec httpd -f -p 80 -h /w'
        """

    private func inSwarm(_ body: (Session) async throws -> Void) async throws {
        #expect(
            access("/usr/sbin/haproxy", X_OK) == 0, "scripts/install-dependencies.sh installs haproxy")
        try await Session.run { t in
            try await t.sh("docker swarm init >/dev/null 2>&1; docker tag busybox busybox:2")
            do {
                try await body(t)
            } catch { Issue.record(error) }
            try await t.sh("docker swarm leave --force >/dev/null; docker ps -aq | wc -l", prints: "0")
            // With the last service everything of HAProxy's goes.
            try await t.eventually(
                "ls -d $ENGINE/run/http /sys/fs/cgroup/*/skala$(echo $ENGINE/run | tr / -)-http 2>/dev/null | wc -l; \(processes) | wc -l",
                prints: "0\n0")
        }
    }

    private let processes = "grep -lsz \"^$ENGINE/run/http/haproxy.cfg\" /proc/[0-9]*/cmdline"
    private let proxy = "$(cat $ENGINE/run/http/pid)"

    private func running(_ t: Session, _ service: String, _ count: Int) async throws {
        try await t.eventually(
            "docker service ls --filter name=\(service) --format '{{.Replicas}}'",
            prints: "\(count)/\(count)")
    }

    private func ask(_ port: Int, _ host: String, _ path: String = "/") -> String {
        "curl -s --max-time 10 -H 'Host: \(host)' http://127.0.0.1:\(port)\(path)"
    }

    @Test func requestsFindTheirServiceByHostAndPath() async throws {
        try await inSwarm { t in
            let (create, serve) = (HTTPServiceTests.create, HTTPServiceTests.serve)
            try await t.sh(
                "\(create) shop --replicas 2 -p 18841:80 --label skala.http.host=shop.example busybox \(serve)"
            )
            try await t.sh(
                """
                \(create) api -p 18841:80 --label skala.http.host=shop.example --label skala.http.path=/api,/v2 \
                busybox \(serve)
                """)
            try await running(t, "shop", 2)
            try await running(t, "api", 1)
            try await t.eventually(
                "for i in 1 2 3 4; do \(ask(18841, "Shop.Example")); done | sort | uniq -c | wc -l",
                prints: "2")
            try await t.eventually(ask(18841, "shop.example", "/api/"), prints: "api")
            try await t.sh(ask(18841, "other.example"), prints: "no service has this host and path")
            // The service's port is told as any other, and its own address stays the kernel's.
            try await t.sh(
                "docker service ls --filter name=shop --format '{{.Ports}}'", prints: "*:18841->80/tcp")

            let shared = "\(create) bad -p 18841:80"
            for (options, message) in [
                ("", "already in use by service"),
                ("--label skala.http.host=shop.example", "for shop.example"),
                ("--label skala.http.path=/x --label skala.http.certificate=none", "secret none not found"),
                ("--label 'skala.http.host=a b'", "invalid host"),
                ("--label skala.http.path=api", "invalid path"),
                ("--label skala.http.prot=80", "unknown label skala.http.prot"),
                ("--label skala.http.port=81", "port 81 is not published"),
            ] { try await t.fails("\(shared) \(options) busybox true", 1, message) }
            try await t.fails(
                "\(create) bad --label skala.autoscale.max=2 --label skala.autoscale.concurrency=2 busybox true",
                1,
                "labels skala.http.*")

            // A change of labels, and a port that changes hands.
            try await t.sh(
                "docker service update -q -d --no-resolve-image --label-add skala.http.host=new.example shop"
            )
            try await t.eventually("\(ask(18841, "new.example")) | wc -l", prints: "1")
            try await t.sh("docker service rm api")
            try await t.eventually(
                "\(ask(18841, "shop.example", "/api/"))", prints: "no service has this host and path")
            try await t.sh(
                "docker service update -q -d --no-resolve-image --label-rm skala.http.host shop")
            try await t.eventually(
                "\(ask(18841, "any.example")) | wc -l; ls -d $ENGINE/run/http 2>/dev/null | wc -l",
                prints: "1\n0")
        }
    }

    /// Starts requests that go on until `stopLoad`.
    private func startLoad(_ t: Session, _ port: Int, _ host: String) async throws {
        try await t.sh(
            "rm -f stop result; (python3 $SUPPORT/load.py \(port) \(host) / $PWD/stop >result 2>&1 </dev/null &)"
        )
    }

    /// - Returns: how many failed, and of how many.
    private func stopLoad(_ t: Session) async throws -> (failed: Int, total: Int, text: String) {
        let text = try await t.sh("touch stop; until [ -s result ]; do sleep 0.1; done; cat result")
        let words = text.split(separator: " ")
        return (Int(words.first ?? "") ?? -1, words.count > 2 ? Int(words[2]) ?? 0 : 0, text)
    }

    @Test func noRequestFailsWhileTasksChange() async throws {
        try await inSwarm { t in
            // Killed when it is to stop: only what it is left alone for is answered.
            try await t.sh(
                """
                \(HTTPServiceTests.create) web --replicas 3 -p 18842:80 --stop-signal KILL --update-monitor 200ms \
                --label skala.http.port=80 busybox \(HTTPServiceTests.serve)
                """)
            try await running(t, "web", 3)
            try await startLoad(t, 18842, "any")
            try await t.sh("docker service update -q -d --no-resolve-image --image busybox:2 web")
            try await t.eventually(
                "docker service inspect web -f '{{.UpdateStatus.State}}'", prints: "completed")
            try await t.sh("docker service scale -d web=1")
            try await t.eventually("docker ps -q | wc -l", prints: "1")
            try await t.sh("docker service scale -d web=3")
            try await running(t, "web", 3)
            // The next daemon goes on with the process that runs.
            let process = try await t.sh("echo \(proxy)")
            t.engine.endDaemon(SIGKILL)
            try await t.sh(ask(18842, "any") + " | wc -l", prints: "1")
            try await t.engine.startDaemon()
            try await t.eventually(
                "docker service scale -d web=2 >/dev/null; docker ps -q | wc -l", prints: "2")
            try await t.sh("echo \(proxy)", prints: process)
            // It tells of requests once it has seen some.
            try await t.eventually(
                "$PROGRAMS/skala service explain web | grep -c 'requests: .*answered within'", prints: "1")
            let (failed, total, text) = try await stopLoad(t)
            #expect(failed == 0 && total > 100, "\(text)")
            print("measured: HTTP service while tasks change: \(text)")
        }
    }

    @Test func aKilledHAProxyReturns() async throws {
        try await inSwarm { t in
            try await t.sh(
                """
                \(HTTPServiceTests.create) web --replicas 2 -p 18843:80 --stop-signal KILL --label skala.http.port=80 \
                busybox \(HTTPServiceTests.serve)
                """)
            try await running(t, "web", 2)
            try await startLoad(t, 18843, "any")
            let first = try await t.sh("echo \(proxy); kill -9 \(proxy)")
            try await t.eventually(
                "\(ask(18843, "any")) | wc -l; [ \(proxy) != \(first) ] && echo new", prints: "1\nnew")
            // With nobody there to start it, the next daemon does.
            let second = try await t.sh("echo \(proxy)")
            t.engine.endDaemon(SIGKILL)
            try await t.sh("kill -9 \(proxy)")
            try await t.engine.startDaemon()
            try await t.eventually(
                "\(ask(18843, "any")) | wc -l; [ \(proxy) != \(second) ] && echo new", prints: "1\nnew")
            let (failed, total, text) = try await stopLoad(t)
            #expect(failed < total, "\(text)")
            // Members come and go as before.
            try await t.sh("docker service scale -d web=1")
            try await t.eventually("docker ps -q | wc -l; \(ask(18843, "any")) | wc -l", prints: "1\n1")
        }
    }

    @Test(arguments: ["container", "microvm"]) func aServiceSleepsAndIsWoken(isolation: String) async throws {
        try await inSwarm { t in
            let labels =
                ["min=0", "max=2", "concurrency=4", "scale-down-after=1s"].map {
                    "--label skala.autoscale.\($0)"
                }.joined(separator: " ") + " --label skala.http.hold=150s"
            try await t.sh(
                """
                \(HTTPServiceTests.create) fn --replicas 0 -p 18844:80 --stop-signal KILL --label skala.http.host=fn \
                --isolation \(isolation) --limit-memory 64m \(labels) busybox sh -c 'mkdir /w; sleep 2; echo awake >/w/index.html; exec httpd -f -p 80 -h /w'
                """)
            try await t.eventually("\(processes) | wc -l", prints: "1")
            // The process is replaced by another service's coming while the request is held.
            let wake = "curl -s --max-time 180 -H 'Host: fn' http://127.0.0.1:18844/"
            try await t.sh("(\(wake) >answer 2>&1 </dev/null &)")
            try await t.sh(
                """
                \(HTTPServiceTests.create) web -p 18844:80 --label skala.http.host=web --stop-signal KILL \
                busybox \(HTTPServiceTests.serve)
                """)
            // The first VM of its size makes its template first.
            try await t.sh(
                "for i in $(seq 900); do [ -s answer ] && break; sleep 0.2; done; cat answer", prints: "awake")
            try await t.sh("$PROGRAMS/skala service explain fn", has: "autoscaler: 0 → 1", "concurrency ")
            let asleep = "docker service ls --filter name=fn --format '{{.Replicas}}'"
            try await t.eventually(asleep, prints: "0/0")
            // One that was killed while the service sleeps changes nothing.
            t.engine.endDaemon(SIGKILL)
            try await t.engine.startDaemon()
            try await t.sh(wake, prints: "awake")
            try await t.eventually(asleep, prints: "0/0")
        }
    }

    @Test func composeFilesAskForTLS() async throws {
        try await inSwarm { t in
            try await t.sh(
                """
                openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout key -out cert 2>/dev/null
                cat cert key >pem; cat >compose.yaml
                $PROGRAMS/skala up >/dev/null 2>&1
                """,
                input: """
                    name: tls
                    services:
                      web:
                        image: busybox
                        command: sh -c 'mkdir /w; echo safe >/w/index.html; exec httpd -f -p 80 -h /w'
                        stop_signal: SIGKILL
                        ports: ["18845:80", "18846:80"]
                        x-skala: {http: {host: [tls.example], certificate: pem, redirect: 18845}}
                    secrets: {pem: {file: ./pem}}
                    """)
            try await t.eventually(
                "curl -sk --max-time 5 --resolve tls.example:18846:127.0.0.1 https://tls.example:18846/",
                prints: "safe")
            try await t.sh(
                "\(ask(18845, "tls.example", "/a?b=c")) -o /dev/null -w '%{http_code} %{redirect_url}'",
                prints: "308 https://tls.example:18846/a?b=c")
            // The certificate is in use, and lies nowhere but in memory and sealed.
            try await t.fails(
                "docker secret rm $(docker secret ls -q)", 1, "in use by the following service")
            try await t.sh("grep -rl 'PRIVATE KEY' $ENGINE/data | wc -l", prints: "0")
            try await t.sh(
                "$PROGRAMS/skala down >/dev/null 2>&1; docker service ls -q; docker secret ls -q",
                prints: "")
        }
    }

    @Test func withoutHAProxyItIsSaid() async throws {
        try await EngineFixture.with(options: ["--haproxy", "/nowhere/haproxy"]) { engine in
            let t = try Session(engine)
            try await t.sh("docker swarm init >/dev/null 2>&1")
            try await t.fails(
                "\(HTTPServiceTests.create) web -p 18847:80 --label skala.http.port=80 busybox true", 1,
                "install the Debian package haproxy")
            try await t.sh(
                "\(HTTPServiceTests.create) web -p 18847:80 busybox sleep 100 | wc -l", prints: "1")
            try await t.fails(
                "docker service update -q -d --no-resolve-image --label-add skala.http.port=80 web", 1,
                "haproxy")
            try await t.sh("docker swarm leave --force >/dev/null; docker ps -aq | wc -l", prints: "0")
        }
    }
}
