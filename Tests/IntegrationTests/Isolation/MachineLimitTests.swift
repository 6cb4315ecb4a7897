import Base
import Testing

extension Integration {
    /// Memory and processors of VMs that run.
    @Suite(.serialized) struct MachineLimitTests {
        /// Limits change while it runs, up and down, and hold.
        @Test(arguments: IsolationTests.all) func memoryLimitChanges(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime \(isolation) --name ${N}a --memory 128m --memory-swap 128m busybox sleep 1000",
                    deadline: 180)
                let take = "docker exec ${N}a dd if=/dev/zero of=/dev/null bs=60M count=1 2>/dev/null; echo $?"
                try await t.sh(take, prints: "0")
                try await t.sh("docker update --memory 32m --memory-swap 32m ${N}a >/dev/null; \(take)", prints: "137")
                try await t.sh("docker update --memory 150m --memory-swap 150m ${N}a >/dev/null; \(take)", prints: "0")
                try await t.sh(
                    "docker inspect -f '{{.HostConfig.Memory}} {{.State.Running}}' ${N}a", prints: "157286400 true")
            }
        }

        /// What is beyond the VM is refused, and there after a new start; what it cannot give in full is told.
        @Test func whatIsBeyondTheVM() async throws {
            try await Session.run { t in
                try await t.sh("docker run -d --runtime microvm --name ${N}a busybox sleep 1000", deadline: 180)
                let size =
                    "docker inspect -f '{{.Machine.Memory}} {{.Machine.UsableMemory}} {{.Machine.Processors}}' ${N}a"
                try await t.sh(size, prints: "268435456 167772160 1")
                try await t.fails(
                    "docker update --memory 300m --memory-swap 300m ${N}a", 1,
                    "a memory limit of 300 MiB is beyond the VM, which has 256 MiB until it is started anew")
                try await t.sh("docker inspect -f '{{.HostConfig.Memory}}' ${N}a", prints: "0")
                try await t.sh(
                    "docker update --memory 200m --memory-swap 200m ${N}a 2>&1",
                    has: "about 160 MiB of the limit of 200 MiB")
                try await t.sh(
                    "docker update --cpus 1.5 ${N}a 2>&1", has: "The VM has 1 processors until it is started anew")
                try await t.sh(
                    "docker stop -t 0 ${N}a; docker update --memory 300m --memory-swap 300m ${N}a; docker start ${N}a")
                try await t.sh(size, has: "536870912 314572800")
            }
        }

        /// Time on the processors is what QEMU takes on the host: its group is limited.
        @Test func processorLimitsAreQEMUs() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime microvm --name ${N}a --cpus 1 busybox sleep 1000", deadline: 180)
                let group = """
                    pid=$(docker inspect -f '{{.State.Pid}}' ${N}a)
                    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
                        cat /sys/fs/cgroup/$(sed -n 's/^0:://p' /proc/$pid/cgroup)/cpu.max
                    else
                        cd /sys/fs/cgroup/cpu/$(sed -n 's/^[0-9]*:\\(cpu\\|cpu,.*\\|.*,cpu\\)://p' /proc/$pid/cgroup)
                        echo $(cat cpu.cfs_quota_us cpu.cfs_period_us)
                    fi
                    """
                try await t.sh(group, prints: "100000 100000")
                try await t.sh("docker update --cpus 0.25 ${N}a >/dev/null; \(group)", prints: "25000 100000")
                try await t.sh("docker exec ${N}a echo alive", prints: "alive")
            }
        }

        /// Memory that the guest frees goes back to the host; what it keeps is not touched, and what it takes again is zero.
        @Test func freedMemoryGoesBack() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime microvm --name ${N}a --shm-size 200m busybox sleep 1000", deadline: 180)
                func inside(_ script: String) -> String { "docker exec ${N}a sh -c '\(script)'" }
                let resident =
                    "awk '/^RssAnon/ { print int($2 / 1024) }' /proc/$(docker inspect -f '{{.State.Pid}}' ${N}a)/status"
                let sum = try await t.sh(inside("head -c 8m /dev/urandom >/dev/shm/kept; md5sum </dev/shm/kept"))
                func read() async throws -> Int { Int(try await t.sh(resident)) ?? 0 }
                let before = try await read()
                try await t.sh(inside("dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>/dev/null"))
                let full = try await read()
                #expect(full >= before + 90, "\(before), then \(full) MiB")
                try await t.sh(inside("rm /dev/shm/x"))
                var after = full
                for _ in 0..<100 where after > before + 30 {
                    try await Task.sleep(for: .milliseconds(100))
                    after = try await read()
                }
                #expect(after <= before + 30, "\(before), then \(full), then \(after) MiB")
                try await t.sh(inside("md5sum </dev/shm/kept"), prints: sum)
                try await t.sh(
                    inside("fallocate -l 100m /dev/shm/x; md5sum </dev/shm/x"),
                    prints: t.sh("head -c 100M /dev/zero | md5sum"))
                // The template is as it was: the next clone of it runs.
                try await t.sh("docker run --rm --runtime microvm busybox echo fine", prints: "fine")
            }
        }

        /// What the container sees, and what the host gives for it.
        @Test(arguments: IsolationTests.all) func statistics(isolation: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --runtime \(isolation) --name ${N}a --memory 100m busybox sleep 1000", deadline: 180)
                let gateway = "$SUBNET.$BRIDGEHOST"
                try await t.sh(
                    """
                    docker exec ${N}a sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; \
                    dd if=/dev/zero of=/f bs=1M count=20 conv=fsync 2>/dev/null; head -c 8m /dev/urandom >/dev/shm/x'
                    docker exec ${N}a ping -c 3 -i 0.2 -s 1000 \(gateway) >/dev/null
                    """)
                let stats =
                    "curl -s --unix-socket $ENGINE/run/skala.sock \"http://d/containers/${N}a/stats?stream=0&one-shot=1\""
                let text = try await t.sh("\(stats)")
                let json = try JSON(parsing: Array(text.utf8))
                #expect(json["memory_stats"]["limit"].int == 100 << 20)
                #expect(json["memory_stats"]["usage"].int ?? 0 >= 8 << 20)
                #expect(json["cpu_stats"]["cpu_usage"]["total_usage"].int ?? 0 > 10_000_000)
                let written = (json["blkio_stats"]["io_service_bytes_recursive"].array ?? []).filter {
                    $0["op"] == "write"
                }
                // Where limits are on version 1, the host's kernel does not know who wrote what it writes later.
                if isolation == "microvm" {
                    #expect(
                        written.reduce(0) { $0 + ($1["value"].int ?? 0) } >= 20 << 20, "\(json["blkio_stats"].text)")
                }
                #expect(written.allSatisfy { $0["major"].int ?? 0 > 0 })
                let network = json["networks"]["eth0"]
                #expect(network["rx_bytes"].int ?? 0 >= 3000 && network["tx_bytes"].int ?? 0 >= 3000, "\(network.text)")
                guard isolation == "microvm" else { return #expect(json["host"].isNull) }
                // Either can be the larger: a guest takes time that QEMU did not get for its own.
                let host = json["host"]
                #expect(host["cpu_stats"]["cpu_usage"]["total_usage"].int ?? 0 > 10_000_000)
                #expect(host["memory_stats"]["usage"].int ?? 0 > json["memory_stats"]["usage"].int ?? 0)
                try await t.sh(
                    "$PROGRAMS/skala stats --no-stream --format '{{.Name}} {{.HostMemory}} {{.HostCPU}}' ${N}a",
                    has: "\(t.name)a", "MiB", "%")
                #expect(Int(try await t.sh("docker inspect -f '{{.Machine.Host.MemoryUsage}}' ${N}a")) ?? 0 > 8 << 20)
                try await t.sh(
                    "docker pause ${N}a; docker stats --no-stream --format '{{.Name}}' ${N}a", has: "\(t.name)a")
            }
        }
    }
}
