import Testing

extension Integration {
    /// Snapshots of whole pods, with the memory of all that runs in them.
    @Suite(.serialized) struct PodSnapshotTests {
        private static let counter =
            "sh -c 'i=0; while :; do i=$((i+1)); echo $i >/new; mv /new /count; echo $i; sleep 0.05; done'"
        private static let read = "until docker exec ${N}a cat /count | grep .; do :; done"

        @Test func allOfItGoesOnWhereItWas() async throws {
            try await Session.run { t in
                let pod = "$PROGRAMS/skala pod"
                let run = "docker run -d --runtime pod --annotation skala.pod=${N}p"
                // One memory: what one has in a file system in memory, and the other's processes.
                try await t.sh(
                    """
                    \(run) --name ${N}a -p 127.0.0.1:0:80 busybox \(PodSnapshotTests.counter)
                    \(run) --name ${N}b --tmpfs /mem busybox sh -c 'echo first >/mem/f; echo first >/disk; exec sleep 1000'
                    """, deadline: 180)
                try await t.eventually("docker exec ${N}b cat /disk", prints: "first")
                try await t.sh("\(pod) snapshot -q ${N}p before", prints: "before")
                let before = try #require(Int(try await t.sh(PodSnapshotTests.read)))
                try await t.sh(
                    """
                    \(run) --name ${N}c busybox sleep 1000 >/dev/null
                    docker exec ${N}b sh -c 'echo later >/mem/f; echo later >/disk; sync'; docker stop -t 0 ${N}b
                    """, prints: "\(t.name)b", deadline: 60)
                try await t.sh(
                    "until [ $(docker exec ${N}a cat /count || echo 0) -gt \(before + 60) ]; do sleep 0.2; done",
                    deadline: 60)
                try await t.sh("\(pod) restore -q ${N}p before", prints: "\(t.name)p", deadline: 90)
                let after = try #require(Int(try await t.sh(PodSnapshotTests.read)))
                #expect(after > before - 60 && after < before + 60, "\(before) \(after)")
                try await t.sh("docker exec ${N}b cat /mem/f /disk", prints: "first\nfirst")
                try await t.sh(
                    "docker inspect -f '{{.State.Status}}' ${N}a ${N}b ${N}c", prints: "running\nrunning\nexited")
                // Their log, network and clock are of today, and the place of who was stopped can be taken again.
                try await t.sh(
                    "n=$(docker logs --tail 1 ${N}a); until [ $(docker logs --tail 1 ${N}a) -gt $n ]; do sleep 0.1; done",
                    deadline: 60)
                try await t.sh("docker exec ${N}b ping -c 1 -W 5 $SUBNET.$BRIDGEHOST", has: "1 packets received")
                try await t.sh(
                    "d=$(($(date +%s) - $(docker exec ${N}b date +%s))); [ ${d#-} -lt 20 ] && echo now", prints: "now")
                try await t.sh("docker start ${N}c; docker exec ${N}c echo there", prints: "\(t.name)c\nthere")
                // Its program writes the file again: for a moment it is empty.
                try await t.sh("docker restart -t 0 ${N}b >/dev/null", deadline: 60)
                try await t.eventually("docker exec ${N}b cat /disk", prints: "first")
                try await t.sh("\(pod) snapshot ls -q ${N}p; \(pod) snapshot rm ${N}p before", prints: "before\nbefore")
                try await t.fails("\(pod) restore ${N}p before", 1, "has no snapshot 'before'")
            }
        }

        @Test func whatIsRefused() async throws {
            try await Session.run { t in
                let pod = "$PROGRAMS/skala pod"
                let run = "docker run -d --runtime pod --annotation skala.pod=${N}p"
                try await t.sh("\(pod) create ${N}p")
                try await t.fails("\(pod) snapshot ${N}p", 1, "does not run: there is no memory to keep")
                try await t.sh("\(run) --name ${N}a -v $PWD:/here busybox sleep 1000", deadline: 180)
                try await t.fails("\(pod) snapshot ${N}p", 1, "\(t.name)a uses folders of the host")
                try await t.sh(
                    "\(run) --name ${N}b busybox sleep 1000; docker rm -f ${N}a; docker pause ${N}b >/dev/null")
                try await t.fails("\(pod) snapshot ${N}p", 1, "\(t.name)b is paused")
                try await t.sh("docker unpause ${N}b >/dev/null; \(pod) snapshot -q ${N}p", prints: "s1")
                try await t.fails("\(pod) snapshot ${N}p s1", 1, "has a snapshot 's1' already")
                try await t.sh("docker rm -f ${N}b")
                try await t.fails("\(pod) restore ${N}p s1", 1, "container \(t.name)b of snapshot 's1' is not in pod")
                let id = try await t.sh("\(pod) inspect --format '{{.Id}}' ${N}p")
                try await t.sh("ls -A $ENGINE/data/pods/\(id)/snapshots", prints: "s1")
                try await t.sh("\(pod) rm ${N}p; ls $ENGINE/data/pods/\(id) 2>&1 || true", has: "No such")
            }
        }
    }
}
