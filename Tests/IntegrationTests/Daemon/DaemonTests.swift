import Base
import Glibc
import Kernel
import Testing

/// The daemon's own life: what it leaves, takes over, and keeps from others. Each test has engines of its own.
@Suite(.serialized) struct DaemonTests {
    private func withEngine(_ body: (EngineFixture) async throws -> Void) async throws {
        if let obstacle = EngineFixture.obstacle { return skip("daemon", obstacle) }
        try await EngineFixture.with(body)
    }

    private func sh(
        _ engine: EngineFixture, _ script: String, prints wanted: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try await engine.run(script, name: "d")
        let output = result.output.trimmingSuffix(while: \.isNewline)
        #expect(
            output == wanted, "\(script)\n\(result.output)\(result.error)\(engine.log)", sourceLocation: sourceLocation)
    }

    /// Another program that wants a published port is told that it is taken, also after the daemon was killed.
    @Test func publishedPortsAreHeld() async throws {
        try await withEngine { engine in
            let tries = """
                for how in "" reuse; do $SUPPORT/port.py 0.0.0.0 18641 $how; done; $SUPPORT/port.py 127.0.0.1 18641 reuse
                $SUPPORT/port.py 127.0.0.1 18642 udp; $SUPPORT/port.py 0.0.0.0 18642 reuse
                """
            let taken = Array(repeating: "Address already in use", count: 4).joined(separator: "\n") + "\nfree"
            try await sh(
                engine, "$SUPPORT/web.sh web -p 18641:80 -p 127.0.0.1:18642:80/udp -p 0:81; \(tries)", prints: taken)
            try await sh(engine, "busybox wget -qO- http://127.0.0.1:18641/name | wc -l", prints: "1")
            engine.endDaemon(SIGKILL)
            try await sh(engine, "$SUPPORT/port.py 0.0.0.0 18641", prints: "free")
            try await engine.startDaemon()
            try await sh(engine, "docker ps -q | wc -l; \(tries)", prints: "1\n" + taken)
            #expect(!engine.log.contains("another program listens"))
            // Free when the container has ended; a program that is quicker is told of at the start.
            try await sh(engine, "docker stop -t 0 web >/dev/null; $SUPPORT/port.py 0.0.0.0 18641", prints: "free")
            try await sh(
                engine,
                """
                mkfifo hold; $SUPPORT/port.py 0.0.0.0 18641 stay <hold >held & exec 3>hold
                while [ ! -s held ]; do sleep 0.02; done; docker start web 2>&1 | grep -o 'Bind for.*\\|failed to bind.*'
                exec 3>&-; wait; docker start web
                """,
                prints: "failed to bind host port for 0.0.0.0:18641:\(try await address(engine)):80/tcp: "
                    + "address already in use\nweb")
        }
    }

    private func address(_ engine: EngineFixture) async throws -> String {
        let subnet = engine.subnet.split(separator: ".")
        return "\(subnet[0]).\(subnet[1]).\(subnet[2]).2"
    }

    /// A container's start period begins with the container, not with the daemon: when it is over, a new daemon's first
    /// failed check counts.
    @Test func startPeriodsAreNotBegunAnew() async throws {
        try await withEngine { engine in
            try await sh(
                engine,
                """
                docker run -d --name late --health-cmd false --health-interval 500ms --health-retries 1 \
                    --health-start-period 6s --health-start-interval 500ms busybox sleep 1000 >/dev/null
                until docker inspect -f '{{.State.Health.Status}}' late | grep -q unhealthy; do sleep 0.1; done; echo over
                """, prints: "over")
            engine.endDaemon(SIGKILL)
            try await engine.startDaemon()
            try await sh(
                engine,
                """
                while :; do s=$(docker inspect -f '{{len .State.Health.Log}} {{.State.Health.Status}}' late)
                case $s in 0*) sleep 0.05 ;; *) echo ${s#* }; break ;; esac; done
                """, prints: "unhealthy")
        }
    }

    /// A connection that is only waiting to be forgotten does not take a port.
    @Test func aPortOfAServerThatEndedCanBePublished() async throws {
        try await withEngine { engine in
            try await sh(
                engine,
                """
                python3 - <<'END'
                import socket
                server = socket.create_server(("127.0.0.1", 18645)); client = socket.create_connection(("127.0.0.1", 18645))
                link, _ = server.accept(); link.close(); client.recv(1); client.close(); server.close()
                END
                $SUPPORT/port.py 127.0.0.1 18645
                docker run -d --name web -p 127.0.0.1:18645:80 busybox sleep 1000 >/dev/null && $SUPPORT/port.py 127.0.0.1 18645 reuse
                """, prints: "Address already in use\nAddress already in use")
        }
    }

    @Test func twoEnginesDoNotShareAPort() async throws {
        try await withEngine { first in
            try await withEngine { second in
                let script =
                    "docker run -d -p 18643:80 -p 0:80 -p 0:81 busybox sleep 1000 >/dev/null 2>err || grep -o 'address already.*' err"
                try await sh(first, script, prints: "")
                try await sh(second, script, prints: "address already in use")
                try await sh(
                    second, "docker run -d -p 18643-18644:80 busybox sleep 1000 >id; docker port $(cat id)",
                    prints: "80/tcp -> 0.0.0.0:18644")
            }
        }
    }

    /// What a daemon that cannot listen would leave on the host.
    private let remains = """
        sleep 0.1; pgrep -f "$ENGINE/run/warden.sock" | wc -l; ip link show $BRIDGE 2>&1 | grep -c 'does not exist'
        nft list tables | grep -c skala_$(cat $ENGINE/tag); ls -d /sys/fs/cgroup/*/skala-*$(basename $ENGINE)-run 2>/dev/null | wc -l
        """

    @Test func aDaemonThatCannotListenLeavesNothing() async throws {
        if let obstacle = EngineFixture.obstacle { return skip("daemon", obstacle) }
        let engine = try EngineFixture()
        defer { engine.stop() }
        let daemon =
            "$PROGRAMS/skala-daemon --data-root $ENGINE/data --run-root $ENGINE/run --bridge $BRIDGE --subnet \(engine.subnet) --warden $PROGRAMS/skala-warden"
        for (option, message) in [
            ("--host tcp://127.0.0.1:18646 --tls-cert /etc/hosts --tls-key /etc/hosts --tls-ca /etc/hosts", "TLS"),
            ("--host tcp://127.0.0.1:18646", "without TLS"), ("--socket /proc/none", "/proc/none"),
        ] {
            try await sh(
                engine,
                "\(daemon) \(option) 2>err; echo $?; grep -c '\(message)' err; ls $ENGINE/run/*.sock 2>/dev/null; \(remains)",
                prints: "1\n1\n0\n1\n0\n0")
        }
    }

    @Test func aWardenOfAnotherReleaseIsLeftAlone() async throws {
        if let obstacle = EngineFixture.obstacle { return skip("daemon", obstacle) }
        let engine = try EngineFixture()
        defer { engine.stop() }
        try await sh(
            engine,
            """
            $SUPPORT/other_warden.py $ENGINE/run/warden.sock 99 >asked & while [ ! -s asked ]; do sleep 0.02; done
            $PROGRAMS/skala-daemon --data-root $ENGINE/data --run-root $ENGINE/run --bridge $BRIDGE --subnet \(engine.subnet) --warden $PROGRAMS/skala-warden 2>err
            echo $?; grep -c "process $!) speaks version 99 of the warden's protocol.*Its containers go on.*'kill $!'" err
            cat asked; kill $!; \(remains)
            """, prints: "1\n1\nup\nhello\n0\n1\n0\n0")
    }

    /// An ended warden leaves no control group, not even those above its containers'.
    @Test func anEndedWardenLeavesNoGroup() async throws {
        try await withEngine { engine in
            let groups = "ls -d /sys/fs/cgroup/*/skala-*$(basename $ENGINE)-run 2>/dev/null | wc -l"
            try await sh(
                engine, "docker run -d busybox sleep 1000 >/dev/null; [ $(\(groups)) -gt 1 ] && echo several",
                prints: "several")
            engine.endDaemon(SIGTERM)
            let warden = try #require(engine.wardenProcess)
            kill(warden, SIGTERM)
            for _ in 0..<500 where kill(warden, 0) == 0 { usleep(10_000) }
            try await sh(engine, groups, prints: "0")
            // One that was killed leaves them; the next one takes them, and removes them.
            try await engine.startDaemon()
            try await sh(engine, "docker run -d busybox sleep 1000 >/dev/null; echo", prints: "")
            let second = try #require(engine.wardenProcess)
            kill(second, SIGKILL)
            try await Task.sleep(for: .milliseconds(300))
            try await sh(engine, "docker run --rm busybox echo on", prints: "on")
            engine.endDaemon(SIGTERM)
            let third = try #require(engine.wardenProcess)
            #expect(third != second)
            kill(third, SIGTERM)
            for _ in 0..<500 where kill(third, 0) == 0 { usleep(10_000) }
            try await sh(engine, groups, prints: "0")
        }
    }
}

extension String {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
        var text = self
        while let last = text.last, predicate(last) { text.removeLast() }
        return text
    }
}
