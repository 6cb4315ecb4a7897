import Glibc
import Kernel
import Testing

extension Integration {
    /// What a VM needs of the host is missing for a while, or for good.
    @Suite(.serialized) struct MachineFaultTests {
        private static let options = ["--accelerator", "tcg", "--spare-vms", "0"]
        private static let writer = """
            sh -c 'i=0; while :; do i=$((i+1)); head -c 65536 /dev/urandom >>/w; sync; echo $i; sleep 0.05; done'
            """

        /// An engine whose disk, in memory, is soon full.
        private static func startOnSmallDisk(_ engine: EngineFixture) async throws -> Session {
            let data = engine.folder + "/data"
            try FileContents.makeDirectories(data)
            _ = try await engine.run("mount -t tmpfs -o size=1200m skala-test \(data)")
            try await engine.startDaemon(options: options)
            try await engine.importBusybox()
            return try Session(engine)
        }

        /// A VM that finds no room stands still, which is told; it can be ended, and goes on by itself when there is room.
        @Test(arguments: ["microvm", "pod"]) func hostWithoutRoom(isolation: String) async throws {
            let engine = try EngineFixture()
            defer { engine.stop() }
            let t = try await MachineFaultTests.startOnSmallDisk(engine)
            let fill = """
                fill() { fallocate -l $(($(stat -f -c '%a * %S' $ENGINE/data) / 1048576 - 1))M $ENGINE/data/filler; \
                cat /dev/zero >$ENGINE/data/rest 2>/dev/null || true; }
                """
            let empty = "rm -f $ENGINE/data/filler $ENGINE/data/rest"
            let run =
                "docker run -d --runtime \(isolation)" + (isolation == "pod" ? " --annotation skala.pod=shop" : "")
            try await t.sh("\(run) --name writer busybox \(MachineFaultTests.writer)", deadline: 180)
            try await t.sh(
                "docker events --filter container=writer --format '{{.Action}}' >events 2>&1 & echo $! >watcher")
            for _ in 1...2 {
                try await t.sh("\(fill); fill")
                try await t.eventually("docker ps | grep -c 'stands still: no room on the host' || true", prints: "1")
                try await t.sh(
                    "docker inspect -f '{{.State.Status}} {{.State.Error}}' writer",
                    prints: "running the VM stands still: the host has no room left for what it writes")
                try await t.fails("docker exec writer true", 1, "cannot be asked: the VM stands still")
                // One whose QEMU answers nobody when there is room again is asked until it does.
                try await t.sh(
                    """
                    pid=$(pgrep -f -u $(stat -c %u $ENGINE/run/vm/$(ls $ENGINE/run/vm | grep -v root | head -n 1)) .)
                    kill -STOP $pid; \(empty); sleep 5; kill -CONT $pid
                    """)
                try await t.eventually("docker ps | grep -c 'stands still' || true", prints: "0")
                try await t.sh(
                    """
                    n=$(docker logs --tail 1 writer); until [ $(docker logs --tail 1 writer) -gt $n ]; do sleep 0.1; done
                    docker inspect -f '{{.State.Error}}.' writer
                    """, prints: ".", deadline: 60)
            }
            try await t.eventually("grep -o 'disk-.*' events", prints: "disk-full\ndisk-room\ndisk-full\ndisk-room")
            try await t.sh("kill $(cat watcher)")
            if isolation == "pod" { try await t.sh("\(run) --name other busybox sleep 1000") }
            try await t.sh("\(fill); fill")
            try await t.eventually("docker ps -f name=writer | grep -c 'stands still' || true", prints: "1")
            engine.endDaemon(SIGKILL)
            try await engine.startDaemon(options: MachineFaultTests.options)
            try await t.eventually("docker ps -f name=writer | grep -c 'stands still' || true", prints: "1")
            // Ended it can be; to be forgotten takes some room for the store.
            if isolation == "pod" {
                try await t.fails("docker kill writer", 1, "cannot be ended alone: the VM stands still")
                _ = try await t.raw("timeout 30 $PROGRAMS/skala pod rm -f shop")
            } else {
                try await t.sh("timeout 30 docker kill writer", prints: "writer")
            }
            try await t.eventually("docker ps -q | wc -l", prints: "0")
            try await t.sh(
                "\(empty); docker ps -aq | xargs -r docker rm -f >/dev/null; docker ps -aq; ls $ENGINE/run/vm | grep -v root | wc -l",
                prints: "0")
        }

        /// A service's task in a VM that finds no room is told of, gets no connections, and is kept, whatever its health check
        /// would say: with room it serves on, and has lost nothing.
        @Test func serviceOnAHostWithoutRoom() async throws {
            let engine = try EngineFixture()
            defer { engine.stop() }
            let t = try await MachineFaultTests.startOnSmallDisk(engine)
            let text = "the VM stands still: the host has no room left for what it writes"
            try await t.sh(
                """
                docker swarm init --advertise-addr 127.0.0.1 >/dev/null
                timeout 150 docker service create -d --no-resolve-image --name vm --isolation microvm -p 18643:80 \
                    --health-cmd true --health-interval 200ms --health-timeout 2s --health-retries 2 busybox \
                    \(MachineFaultTests.writer) >/dev/null
                until docker service ls --format '{{.Replicas}}' | grep -q 1/1; do sleep 0.2; done; docker ps -q >before
                """, deadline: 180)
            try await t.sh(
                """
                fallocate -l $(($(stat -f -c '%a * %S' $ENGINE/data) / 1048576 - 1))M $ENGINE/data/filler
                cat /dev/zero >$ENGINE/data/rest 2>/dev/null || true
                """)
            try await t.eventually(
                "docker service ps --no-trunc -f desired-state=running --format '{{.CurrentState}} {{.Error}}' vm"
                    + " | grep -c 'Running.*\(text)' || true", prints: "1")
            try await t.sh(
                "timeout 20 $PROGRAMS/skala service explain vm",
                has: text + "; it gets no connections, and goes on when there is room", "serving: 0")
            // As long as its checks would have had; a daemon that is started anew takes it over as it is.
            let isKept = "docker ps -q | cmp - before; docker inspect -f '{{.State.Error}}' $(cat before)"
            try await t.sh("sleep 5; docker inspect -f '{{.State.Health.Status}}' $(cat before)", prints: "healthy")
            try await t.sh(isKept, prints: text)
            engine.endDaemon(SIGKILL)
            try await engine.startDaemon(options: MachineFaultTests.options)
            try await t.sh(isKept, prints: text)
            try await t.sh("rm -f $ENGINE/data/filler $ENGINE/data/rest")
            try await t.eventually(
                "timeout 20 $PROGRAMS/skala service explain vm | grep -o 'its VM goes on\\|serving: 1' | tail -2 | sort",
                prints: "its VM goes on\nserving: 1")
            try await t.sh(
                """
                docker ps -q | cmp - before; n=$(docker logs --tail 1 $(cat before))
                until [ $(docker logs --tail 1 $(cat before)) -gt $n ]; do sleep 0.1; done
                docker service ps -q vm | wc -l; docker service ps --format '{{.Error}}.' vm
                timeout 50 docker swarm leave -f >/dev/null
                """, prints: "1\n.")
        }

        /// Without the program that serves its folders a pod's VM would hang: it ends, and all in it can start again.
        @Test func folderServerInAPod() async throws {
            try await EngineFixture.with(options: MachineFaultTests.options) { engine in
                let t = try Session(engine)
                let warden = try #require(engine.wardenProcess)
                let run = "docker run -d --runtime pod --annotation skala.pod=shop"
                let reason = "its VM ended, since the program that served folders of the host to container shared did"
                try await t.sh(
                    """
                    echo there >file
                    \(run) --name other busybox sleep 1000 >/dev/null
                    \(run) --name shared -v $PWD:/here busybox sh -c 'while :; do cat /here/* >/dev/null; done' >/dev/null
                    """, deadline: 180)
                try await t.sh(
                    """
                    kill -9 $(pgrep -P \(warden) -f virtiofsd); timeout 60 docker wait shared other
                    docker inspect -f '{{.State.Error}}' shared other
                    docker start shared other; docker exec shared cat /here/file
                    """, prints: "137\n137\n\(reason)\n\(reason)\nshared\nother\nthere", deadline: 120)
                try await t.sh("docker rm -f shared other", prints: "shared\nother")
                try await t.eventually("ls $ENGINE/run/vm | grep -v root | wc -l", prints: "0")
            }
        }
    }
}
