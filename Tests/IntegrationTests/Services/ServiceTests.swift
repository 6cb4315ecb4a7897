import Base
import Glibc
import Kernel
import Testing

/// Services through the docker client, on an engine of their own. One after another: swarm mode is the engine's.
@Suite(.engine, .serialized) struct ServiceTests {
    /// `create NAME OPTIONS… -- IMAGE…`, without what the client asks registries.
    private static let create = "docker service create -q --detach --no-resolve-image --name"
    /// A program that stops at once when it is asked to.
    private static let loop = "sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done'"

    private func inSwarm(_ body: (Session) async throws -> Void) async throws {
        try await Session.run { t in
            try await t.sh(
                "docker swarm init >/dev/null 2>&1; docker info -f '{{.Swarm.LocalNodeState}}'", prints: "active")
            do {
                try await body(t)
            } catch { Issue.record(error) }
            try await t.sh("docker swarm leave --force >/dev/null; docker ps -aq | wc -l", prints: "0")
        }
    }

    private func running(_ t: Session, _ service: String, _ count: Int) async throws {
        try await t.eventually(
            "docker service ls --filter name=\(service) --format '{{.Replicas}}'", prints: "\(count)/\(count)")
    }

    @Test func tasksAreScaledHealedAndRemoved() async throws {
        try await inSwarm { t in
            try await t.sh("\(ServiceTests.create) web --replicas 3 busybox \(ServiceTests.loop)")
            try await running(t, "web", 3)
            try await t.sh("docker ps -q --filter label=com.docker.swarm.service.name=web | wc -l", prints: "3")
            try await t.sh(
                "docker service ps web --format '{{.Name}} {{.DesiredState}}' | sort",
                prints: "web.1 Running\nweb.2 Running\nweb.3 Running")
            try await t.sh("docker service scale -d web=5")
            try await running(t, "web", 5)
            // A killed task is replaced in its slot, and stays in its history.
            try await t.sh("docker kill $(docker ps -q --filter name=web.2.)")
            try await running(t, "web", 5)
            try await t.sh(
                "docker service ps web --filter name=web.2 --format '{{.DesiredState}} {{.Error}}'",
                prints: "Running \nShutdown \"task: non-zero exit (137)\"")
            try await t.sh("docker service scale -d web=1")
            try await t.eventually("docker ps -q | wc -l", prints: "1")
            try await t.sh("docker service rm web", prints: "web")
            try await t.eventually("docker ps -aq | wc -l", prints: "0")
            try await t.fails("docker service inspect web", 1, "no such service: web")
        }
    }

    @Test func updatesRollAndRollBack() async throws {
        try await inSwarm { t in
            try await t.sh("docker tag busybox busybox:2")
            try await t.sh(
                """
                \(ServiceTests.create) web --replicas 3 --update-monitor 500ms --rollback-monitor 500ms \
                --update-failure-action rollback busybox \(ServiceTests.loop)
                """)
            try await running(t, "web", 3)
            let state = "docker service inspect web -f '{{.UpdateStatus.State}}'"
            let images =
                "docker service ps web -f desired-state=running --format '{{.Image}} {{.CurrentState}}' | cut -d' ' -f1,2 | uniq -c | sed 's/^ *//'"
            try await t.sh("docker service update -q -d --no-resolve-image --image busybox:2 web")
            try await t.eventually(state, prints: "completed")
            try await t.sh(images, prints: "3 busybox:2 Running")
            try await t.sh("docker service rollback -q -d web")
            try await t.eventually(state, prints: "rollback_completed")
            try await t.sh(images, prints: "3 busybox:latest Running")
            // A version that does not run goes back by itself.
            try await t.sh("docker service update -q -d --no-resolve-image --args 'false' web")
            try await t.eventually(
                "docker service inspect web -f '{{.UpdateStatus.Message}}' | cut -c1-9; \(state)",
                prints: "rollback \nrollback_completed")
            try await t.sh(images, prints: "3 busybox:latest Running")
            try await t.fails("docker service rollback -q -d web", 1, "does not have a previous spec")
            try await running(t, "web", 3)
            // Who read an older version is refused, and so is what no task can be made from.
            try await t.sh(
                """
                curl -s -o /dev/null -w '%{http_code}' --unix-socket $ENGINE/run/skala.sock -H 'Content-Type: application/json' \
                -d "$(docker service inspect web -f '{{json .Spec}}')" 'http://x/services/web/update?version=1'
                """, prints: "409")
            try await t.fails("docker service update -q -d --cap-add NOPE web", 1, "NOPE")
            try await running(t, "web", 3)
        }
    }

    @Test func secretsAndConfigsAreFiles() async throws {
        try await inSwarm { t in
            try await t.sh("printf swordfish | docker secret create pw - && echo x=1 | docker config create cf -")
            try await t.fails("printf b | docker secret create pw -", 1, "already exists")
            try await t.sh(
                """
                \(ServiceTests.create) web --secret pw --secret source=pw,target=/etc/pw,uid=5,gid=6,mode=0400 \
                --config source=cf,target=/etc/x.conf busybox \(ServiceTests.loop)
                """)
            try await running(t, "web", 1)
            try await t.sh(
                "docker exec $(docker ps -q) sh -c 'cat /run/secrets/pw; stat -c %u:%g:%a /etc/pw; cat /etc/x.conf; touch /run/secrets/y 2>/dev/null || echo read-only'",
                prints: "swordfish5:6:400\nx=1\nread-only")
            // In memory only, and sealed in the store.
            try await t.sh(
                "grep -lr swordfish $ENGINE/data | wc -l; stat -c %a $ENGINE/data/secrets.key", prints: "0\n600")
            try await t.sh("grep -c $ENGINE/run/task-files /proc/mounts", prints: "1")
            // Copying reaches past the mounts, whose sources lie in the engine's own folder.
            try await t.sh(
                "echo copied >$ENGINE/note; docker cp -q $ENGINE/note $(docker ps -q):/note; docker exec $(docker ps -q) cat /note",
                prints: "copied")
            try await t.fails("docker secret rm pw", 1, "in use by the following service: web")
            try await t.sh("docker service rm web && docker secret rm pw && docker config rm cf", prints: "web\npw\ncf")
            try await t.eventually("grep -c $ENGINE/run/task-files /proc/mounts || true", prints: "0")
        }
    }

    @Test func stacksAreDeployedAndRemoved() async throws {
        try await inSwarm { t in
            let compose = """
                version: "3.8"
                services:
                  web:
                    image: busybox
                    command: sh -c 'mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w'
                    hostname: "web-{{.Task.Slot}}"
                    secrets: [token]
                    networks: [back]
                    stop_grace_period: 1s
                    deploy: {replicas: 2}
                  db:
                    image: busybox
                    command: sleep 1000
                    stop_grace_period: 1s
                    networks: [back]
                secrets: {token: {file: ./token}}
                networks: {back: {}}
                """
            try await t.sh("cat > compose.yaml; echo s3 > token", input: compose)
            let deploy = "docker stack deploy -d --resolve-image never -c compose.yaml app >/dev/null"
            try await t.sh(deploy)
            try await running(t, "app_web", 2)
            try await running(t, "app_db", 1)
            try await t.sh(
                "docker network ls -f driver=overlay --format '{{.Name}} {{.Scope}}'", prints: "app_back swarm")
            let database = "docker exec $(docker ps -q -f name=app_db)"
            try await t.sh("\(database) nslookup -type=a tasks.web | grep -c '^Name:'", prints: "2")
            try await t.eventually("\(database) wget -qO- http://web | cut -c1-4", prints: "web-")
            // Again: nothing has changed, and nothing is replaced.
            try await t.sh(
                "docker ps -q | sort > before; \(deploy); sleep 1; docker ps -q | sort | diff before -", prints: "")
            try await t.sh("docker stack ps app --format '{{.Name}}' | sort", prints: "app_db.1\napp_web.1\napp_web.2")
            try await t.sh(
                "docker stack rm app >/dev/null; docker network ls -qf driver=overlay; docker secret ls -q", prints: "")
        }
    }

    @Test func jobsAndGlobalServices() async throws {
        try await inSwarm { t in
            try await t.sh(
                "\(ServiceTests.create) job --mode replicated-job --replicas 4 --max-concurrent 2 busybox sh -c 'sleep 0.1'"
            )
            try await t.eventually(
                "docker service ls -f name=job --format '{{.Replicas}}'", prints: "0/0 (4/4 completed)")
            try await t.sh("\(ServiceTests.create) all --mode global busybox \(ServiceTests.loop)")
            try await running(t, "all", 1)
            // What fits nowhere waits, says why, and is placed when it fits.
            try await t.sh(
                "\(ServiceTests.create) picky --constraint node.labels.disk==ssd busybox \(ServiceTests.loop)")
            try await t.eventually(
                "docker service ps --no-trunc picky --format '{{.Error}}'",
                prints: "\"no suitable node (1 node does not fulfil node.labels.disk==ssd)\"")
            try await t.sh("$PROGRAMS/skala service explain picky", has: "does not fulfil node.labels.disk==ssd")
            try await t.sh("docker node update --label-add disk=ssd self >/dev/null")
            try await running(t, "picky", 1)
            try await t.sh("\(ServiceTests.create) lost nothere:1")
            try await t.eventually(
                "docker service ps lost --format '{{.CurrentState}}' | head -1 | cut -d' ' -f1", prints: "Rejected")
        }
    }

    private static let balancers = ["", "--label skala.http.host=127.0.0.1"]

    /// `rm` and `create` in one script: the new service has name and port while the old one's task still answers.
    @Test(arguments: ServiceTests.balancers) func aRemovedServiceGivesNameAndPortAway(balancer: String) async throws {
        try await inSwarm { t in
            // As the first process it is not ended by SIGTERM.
            let server = { (answer: String) in
                #"""
                busybox sh -c 'mkdir -p /w/cgi-bin; echo up >/w/index.html; printf "#!/bin/sh\necho; \#(answer)\n" >/w/cgi-bin/a
                    chmod +x /w/cgi-bin/a; exec httpd -f -p 80 -h /w'
                """#
            }
            let create = "\(ServiceTests.create) web --network net --stop-grace-period 8s -p 18792:80"
            let url = "http://127.0.0.1:18792"
            let ask = "curl -sN --max-time 15 \(url)/cgi-bin/a"
            try await t.sh("docker network create -d overlay --attachable net >/dev/null")
            try await t.sh("\(create) \(balancer) \(server("echo begun; sleep 5; echo ended"))")
            try await running(t, "web", 1)
            // It is told to run a moment before it is led to.
            try await t.eventually("curl -s \(url)", prints: "up")
            try await t.sh("\(ask) </dev/null >answer 2>&1 &")
            try await t.eventually("cat answer", prints: "begun")
            try await t.sh(
                "docker service rm web; \(create) \(balancer) \(server("echo new")) | wc -l", prints: "web\n1")
            try await running(t, "web", 1)
            try await t.eventually("\(ask); docker ps -q | wc -l", prints: "new\n2")
            try await t.sh("docker run --rm --network net busybox wget -qO- http://web/cgi-bin/a", prints: "new")
            try await t.eventually("cat answer", prints: "begun\nended")
            // The port goes from one balancer to the other.
            let other = ServiceTests.balancers.first { $0 != balancer } ?? ""
            try await t.sh(
                "docker service rm web; \(create) \(other) \(server("echo other")) | wc -l", prints: "web\n1")
            try await running(t, "web", 1)
            try await t.eventually(ask, prints: "other")
        }
    }

    @Test func connectionsGoToWhatServes() async throws {
        try await inSwarm { t in
            try await t.sh("docker tag busybox busybox:2; docker network create -d overlay --attachable net >/dev/null")
            let serve = "httpd -p 80 -h /w; trap \"exit 0\" TERM; while :; do sleep 0.05; done"
            try await t.sh(
                """
                \(ServiceTests.create) web --network net --replicas 3 -p 18790:80 --update-monitor 500ms \
                busybox sh -c 'mkdir /w; hostname > /w/index.html; \(serve)'
                """)
            try await running(t, "web", 3)
            let ask =
                "for i in 1 2 3 4 5 6; do curl -s --max-time 2 http://127.0.0.1:18790/; done | sort | uniq -c | wc -l"
            try await t.eventually(ask, prints: "3")
            let inside = "docker run --rm --network net busybox"
            try await t.sh(
                "\(inside) sh -c 'nslookup -type=a web | grep -c ^Name; nslookup -type=a tasks.web | grep -c ^Name'",
                prints: "1\n3")
            try await t.sh(
                "\(inside) sh -c 'for i in 1 2 3; do wget -qO- http://web/; done' | sort -u | wc -l", prints: "3")
            try await t.fails(
                "\(ServiceTests.create) other -p 18790:80 busybox true", 1, "already in use by service 'web'")
            // An update, and fewer and more tasks, lose nobody's request.
            try await t.sh(
                """
                (for i in $(seq 400); do curl -s -o /dev/null --max-time 2 http://127.0.0.1:18790/ || echo lost; sleep 0.01; done) >lost &
                docker service update -q -d --no-resolve-image --image busybox:2 web >/dev/null; sleep 3
                docker service scale -d web=1; sleep 1; docker service scale -d web=4; wait; cat lost | wc -l
                """, prints: "web scaled to 1\nweb scaled to 4\n0")
            // A task that never becomes healthy gets nothing.
            try await t.sh(
                """
                \(ServiceTests.create) ill -p 18791:80 --health-cmd false --health-interval 200ms --health-retries 100 \
                busybox sh -c 'mkdir /w; \(serve)'
                """)
            try await t.eventually(
                "docker service ps ill --format '{{.CurrentState}}' | cut -d' ' -f1", prints: "Starting")
            try await t.fails("curl -s --max-time 1 http://127.0.0.1:18791/", 7, "")
            try await running(t, "web", 4)
            try await t.eventually(ask, prints: "4")
            t.engine.endDaemon(SIGKILL)
            try await t.sh(ask, prints: "4")
            try await t.engine.startDaemon()
            // Six requests need not meet all four while the new daemon writes its rules.
            try await t.eventually(ask, prints: "4")
            try await t.sh("docker service rm web ill >/dev/null; docker network rm net", prints: "net")
            try await t.fails("curl -s --max-time 1 http://127.0.0.1:18790/", 7, "")
        }
    }

    @Test func tasksFollowTheLoad() async throws {
        try await inSwarm { t in
            let labels = ["min=1", "max=3", "cpu=50", "scale-down-after=2s"].map { "--label skala.autoscale.\($0)" }
            try await t.sh(
                """
                \(ServiceTests.create) web --limit-cpu 0.1 \(labels.joined(separator: " ")) --stop-grace-period 1s \
                busybox sh -c 'while :; do [ -e /busy ] || sleep 0.1; done'
                """)
            try await running(t, "web", 1)
            try await t.sh("docker exec $(docker ps -q --filter name=web.1.) touch /busy")
            try await t.eventually(
                "docker service ps -f desired-state=running web --format x | wc -l | awk '{print ($1 > 1)}'",
                prints: "1")
            try await t.sh("$PROGRAMS/skala service explain web", has: "autoscaler: 1 → ", "cpu ")
            try await t.sh("docker exec $(docker ps -q --filter name=web.1.) rm /busy")
            try await running(t, "web", 1)
            try await t.fails(
                "\(ServiceTests.create) bad --label skala.autoscale.max=2 busybox true", 1, "needs a target")
        }
    }

    @Test func aKilledDaemonGoesOn() async throws {
        try await inSwarm { t in
            let engine = t.engine
            try await t.sh("printf x | docker secret create pw - >/dev/null")
            try await t.sh("\(ServiceTests.create) web --secret pw --replicas 4 busybox \(ServiceTests.loop)")
            try await running(t, "web", 4)
            let before = try await t.sh("docker ps -q --filter name=web. | sort")
            let victim = try await t.sh("docker inspect -f '{{.State.Pid}}' $(docker ps -q --filter name=web.1.)")
            engine.endDaemon(SIGKILL)
            kill(pid_t(victim) ?? 0, SIGKILL)
            try await engine.startDaemon()
            try await running(t, "web", 4)
            let after = try await t.sh("docker ps -q --filter name=web. | sort")
            let (old, new) = (Set(before.split(separator: "\n")), Set(after.split(separator: "\n")))
            #expect(old.intersection(new).count == 3)
            #expect(new.count == 4)
            // Killed in the middle of a change: it is carried out.
            try await t.sh("docker service scale -d web=9; docker service rm nothing 2>/dev/null; true")
            engine.endDaemon(SIGKILL)
            try await engine.startDaemon()
            try await running(t, "web", 9)
            try await t.sh("docker ps -q --filter name=web. | wc -l", prints: "9")
            try await t.sh("docker service rm web")
            engine.endDaemon(SIGKILL)
            try await engine.startDaemon()
            try await t.eventually(
                "docker ps -aq | wc -l; grep -c $ENGINE/run/task-files /proc/mounts || true", prints: "0\n0")
        }
    }

    /// Its tasks are replaced at once each time: what the engine lost is no sign that they cannot run.
    @Test func aKilledWardenIsNotTheTasksFault() async throws {
        try await inSwarm { t in
            try await t.sh("\(ServiceTests.create) web --replicas 2 busybox \(ServiceTests.loop)")
            try await running(t, "web", 2)
            for round in 1...4 {
                let warden = try #require(t.engine.wardenProcess)
                kill(warden, SIGKILL)
                try await t.eventually(
                    "docker service ps web --filter desired-state=shutdown --format '{{.CurrentState}}' | grep -c Orphaned",
                    prints: "\(2 * round)")
                try await running(t, "web", 2)
            }
            try await t.sh("skala service explain web | grep -c 'crash loop' || true", prints: "0")
            try await t.sh(
                "docker service ps web --no-trunc --format '{{.Error}}' | sort -u",
                prints: "\n\"the warden ended, and this container with it\"")
            try await t.sh("docker service rm web")
        }
    }

    @Test func microVMsAreTasksToo() async throws {
        try await inSwarm { t in
            try await t.sh("printf swordfish | docker secret create pw - >/dev/null")
            try await t.sh(
                "\(ServiceTests.create) vm --replicas 1 --isolation microvm --limit-memory 64m --secret pw busybox \(ServiceTests.loop)"
            )
            for _ in 0..<12 {
                let state = try await t.raw("docker service ls --format '{{.Replicas}}'").output
                if state == "1/1\n" { break }
                try await Task.sleep(for: .seconds(5))
            }
            try await running(t, "vm", 1)
            try await t.sh("docker exec $(docker ps -q) cat /run/secrets/pw", prints: "swordfish")
            try await t.sh("docker inspect -f '{{.HostConfig.Runtime}}' $(docker ps -q)", prints: "microvm")
            try await t.sh("docker kill $(docker ps -q) >/dev/null")
            try await running(t, "vm", 1)
        }
    }
}
