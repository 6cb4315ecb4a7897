import Base
import Glibc
import Kernel
import Testing

/// Services whose requests HAProxy balances, through the docker client and the skala command, on an engine of their own.
@Suite(.engine, .serialized) struct HTTPServiceTests {
    private static let create = "docker service create -q --detach --no-resolve-image --stop-grace-period 2s --name"
    /// A server whose answer is its host's name and, below /api, `api`.
    private static let serve = """
        sh -c 'mkdir -p /w/api; hostname >/w/index.html; echo api >/w/api/index.html; exec httpd -f -p 80 -h /w'
        """

    private func inSwarm(_ body: (Session) async throws -> Void) async throws {
        #expect(access("/usr/sbin/haproxy", X_OK) == 0, "scripts/install-dependencies.sh installs haproxy")
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
            "docker service ls --filter name=\(service) --format '{{.Replicas}}'", prints: "\(count)/\(count)")
    }

    private func ask(_ port: Int, _ host: String, _ path: String = "/") -> String {
        "curl -s --max-time 10 -H 'Host: \(host)' http://127.0.0.1:\(port)\(path)"
    }

    @Test func requestsFindTheirServiceByHostAndPath() async throws {
        try await inSwarm { t in
            let (create, serve) = (HTTPServiceTests.create, HTTPServiceTests.serve)
            try await t.sh(
                "\(create) shop --replicas 2 -p 18841:80 --label skala.http.host=shop.example busybox \(serve)")
            try await t.sh(
                """
                \(create) api -p 18841:80 --label skala.http.host=shop.example --label skala.http.path=/api,/v2 \
                busybox \(serve)
                """)
            try await running(t, "shop", 2)
            try await running(t, "api", 1)
            try await t.eventually(
                "for i in 1 2 3 4; do \(ask(18841, "Shop.Example")); done | sort | uniq -c | wc -l", prints: "2")
            try await t.eventually(ask(18841, "shop.example", "/api/"), prints: "api")
            try await t.sh(ask(18841, "other.example"), prints: "no service has this host and path")
            // The service's port is told as any other, and its own address stays the kernel's.
            try await t.sh("docker service ls --filter name=shop --format '{{.Ports}}'", prints: "*:18841->80/tcp")

            let shared = "\(create) bad -p 18841:80"
            for (options, message) in [
                ("", "already in use by service"),
                ("--label skala.http.host=shop.example", "for shop.example"),
                ("--label skala.http.path=/x --label skala.http.certificate=none", "secret none not found"),
                ("--label 'skala.http.host=a b'", "invalid host"), ("--label skala.http.path=api", "invalid path"),
                ("--label skala.http.prot=80", "unknown label skala.http.prot"),
                ("--label skala.http.port=81", "port 81 is not published"),
            ] { try await t.fails("\(shared) \(options) busybox true", 1, message) }
            try await t.fails(
                "\(create) bad --label skala.autoscale.max=2 --label skala.autoscale.concurrency=2 busybox true", 1,
                "labels skala.http.*")

            // A change of labels, and a port that changes hands.
            try await t.sh(
                "docker service update -q -d --no-resolve-image --label-add skala.http.host=new.example shop")
            try await t.eventually("\(ask(18841, "new.example")) | wc -l", prints: "1")
            try await t.sh("docker service rm api")
            try await t.eventually(
                "\(ask(18841, "shop.example", "/api/"))", prints: "no service has this host and path")
            try await t.sh("docker service update -q -d --no-resolve-image --label-rm skala.http.host shop")
            try await t.eventually(
                "\(ask(18841, "any.example")) | wc -l; ls -d $ENGINE/run/http 2>/dev/null | wc -l", prints: "1\n0")
        }
    }
}
