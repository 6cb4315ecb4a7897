import Base
import Glibc
import Kernel
import Testing

/// podman with `--runtime skala-runtime`, on a store of its own.
@Suite(.serialized) struct PodmanTests {
    @Test func runsContainersAndPods() throws {
        guard let client = try RuntimeClient.make(needing: ["/usr/bin/podman", "/usr/bin/conmon"]) else { return }
        defer { client.remove() }
        // Limits this process may set, no systemd.
        try client.write(
            """
            [containers]
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
            [engine]
            cgroup_manager = "cgroupfs"
            events_logger = "none"
            """, to: "containers.conf")
        func podman(_ line: String) -> (text: String, code: Int32) {
            client.call(
                "env CONTAINERS_CONF=\(client.folder)/containers.conf podman --root \(client.folder)/root"
                    + " --runroot \(client.folder)/run --runtime \(client.runtime) --cgroup-manager cgroupfs \(line)")
        }
        defer {
            _ = podman("pod rm --all --force --time 0")
            _ = podman("rm --all --force --time 0")
            _ = podman("system reset --force")
        }
        #expect(podman("import \(client.folder)/image.tar box").code == 0)

        let first = podman("run --rm --network none box echo hello")
        #expect(first.code == 0 && first.text.contains("hello"), "\(first.text)")
        #expect(podman("run --rm --network none box sh -c 'exit 7'").code == 7)
        #expect(podman("run --rm --network none box /nope").code == 127)
        let terminal = podman("run --rm -t --network none box tty")
        #expect(terminal.text.contains("/dev/pts/0"), "\(terminal.text)")
        let limited = podman(
            "run --rm --network none --memory 64m --pids-limit 50 --read-only box cat /proc/self/cgroup")
        #expect(limited.code == 0, "\(limited.text)")

        let started = podman("run -d --name one --network none box sleep 120")
        #expect(started.code == 0, "\(started.text)")
        #expect(podman("exec one echo inside").text == "inside\n")
        #expect(podman("exec one sh -c 'exit 5'").code == 5)
        #expect(podman("pause one").code == 0)
        #expect(podman("inspect --format '{{.State.Status}}' one").text == "paused\n")
        #expect(podman("unpause one").code == 0)
        #expect(podman("stop --time 0 one").code == 0)
        #expect(podman("rm one").code == 0)

        let pod = podman("pod create --name pair --infra=false --share none")
        #expect(pod.code == 0, "\(pod.text)")
        #expect(podman("run -d --pod pair --name left --network none box sleep 120").code == 0)
        // The second container of the pod joins namespaces of the first.
        let right = podman(
            "run --rm --pod pair --network container:left --ipc container:left --pid container:left box sh -c"
                + " 'cat /proc/1/cmdline'")
        #expect(right.code == 0 && right.text.contains("sleep"), "\(right.text)")
        #expect(podman("pod ps --format '{{.Name}} {{.NumberOfContainers}}'").text == "pair 1\n")
        #expect(podman("pod rm --force --time 0 pair").code == 0)
        if access("/usr/bin/catatonit", X_OK) == 0 { expectPodWithInfraContainer(podman) }
        let mapped = podman(
            "run --rm --network none --uidmap 0:100000:65536 --gidmap 0:100000:65536 box cat /proc/self/uid_map")
        #expect(mapped.code == 0 && mapped.text.contains("100000"), "\(mapped.text)")
        #expect(podman("ps --all --quiet").text.isEmpty)
    }

    /// podman's usual pod: its namespaces are held by a container of their own (Debian package catatonit).
    private func expectPodWithInfraContainer(_ podman: (String) -> (text: String, code: Int32)) {
        let made = podman("pod create --name trio --network none --share ipc,net,uts")
        #expect(made.code == 0, "\(made.text)")
        let started = podman("run -d --pod trio --name member box sleep 120")
        #expect(started.code == 0, "\(started.text)")
        let joined = podman("run --rm --pod trio box hostname")
        #expect(joined.code == 0 && joined.text.contains("trio"), "\(joined.text)")
        #expect(podman("pod rm --force --time 0 trio").code == 0)
    }
}
