import Base
import Glibc
import Kernel
import Testing

/// containerd with folders and a socket of its own; its runc shim calls `skala-runtime`.
@Suite(.serialized) struct ContainerdTests {
    @Test func runsContainers() throws {
        let programs = ["/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/containerd-shim-runc-v2"]
        guard let client = try RuntimeClient.make(needing: programs) else { return }
        defer { client.remove() }
        try client.write(
            """
            version = 2
            root = "\(client.folder)/root"
            state = "\(client.folder)/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
              address = "\(client.folder)/containerd.sock"
            [ttrpc]
              address = "\(client.folder)/ttrpc.sock"
            """, to: "config.toml")
        let daemon = try Subprocess.spawn([
            "/bin/bash", "-c",
            "exec > \(client.folder)/log 2>&1; exec timeout -s TERM 300 containerd -c \(client.folder)/config.toml",
        ])
        func ctr(_ line: String) -> (text: String, code: Int32) {
            client.call("ctr -a \(client.folder)/containerd.sock \(line)")
        }
        defer {
            _ = ctr("task kill -s SIGKILL --all one")
            kill(daemon, SIGTERM)
            waitpid(daemon, nil, 0)
            // What the task manager mounted for its containers.
            _ = client.call(
                "bash -c 'for m in $(grep -o \"\(client.folder)/[^ ]*\" /proc/self/mounts); do umount -l $m; done'")
        }
        for _ in 0..<200 where ctr("version").code != 0 { usleep(50_000) }
        try makeImage(client)
        let imported = ctr("image import --base-name box \(client.folder)/box.tar")
        #expect(imported.code == 0, "\(imported.text)")
        let image = ctr("image ls -q").text.split(separator: "\n").first ?? ""
        let run = "run --runtime io.containerd.runc.v2 --runc-binary \(client.runtime)"

        let first = ctr("\(run) --rm \(image) first echo hello")
        #expect(first.code == 0 && first.text == "hello\n", "\(first.text)")
        #expect(ctr("\(run) --rm \(image) second sh -c 'exit 9'").code == 9)
        let started = ctr("\(run) -d \(image) one sleep 120")
        #expect(started.code == 0, "\(started.text)")
        #expect(ctr("task exec --exec-id a one echo inside").text == "inside\n")
        #expect(ctr("task exec --exec-id b one sh -c 'exit 3'").code == 3)
        #expect(ctr("task pause one").code == 0 && ctr("task ls").text.contains("PAUSED"))
        #expect(ctr("task resume one").code == 0 && ctr("task ls").text.contains("RUNNING"))
        #expect(ctr("task kill -s SIGKILL one").code == 0)
        for _ in 0..<100 where !ctr("task ls").text.contains("STOPPED") { usleep(50_000) }
        #expect(ctr("task delete one").code == 0 || ctr("task ls").text.contains("one") == false)
        #expect(ctr("container rm one").code == 0)
    }

    /// The smallest archive in Docker's format: one layer, one config, one manifest.
    private func makeImage(_ client: RuntimeClient) throws {
        let digest = try Subprocess.output(["/usr/bin/sha256sum", client.folder + "/image.tar"], limit: 1000).prefix(64)
        let config: JSON = [
            "architecture": JSON(HostFacts.architecture == "aarch64" ? "arm64" : "amd64"), "os": "linux",
            "config": ["Env": ["PATH=/bin"], "Cmd": ["sh"]],
            "rootfs": ["type": "layers", "diff_ids": [JSON("sha256:" + digest)]],
        ]
        try client.write(config.text, to: "config.json")
        let manifest: JSON = [["Config": "config.json", "RepoTags": ["box:latest"], "Layers": ["image.tar"]]]
        try client.write(manifest.text, to: "manifest.json")
        let made = client.call(
            "tar -C \(client.folder) -cf \(client.folder)/box.tar config.json manifest.json image.tar")
        #expect(made.code == 0, "\(made.text)")
    }
}
