import Testing

extension Integration {
    /// Builds with the classic builder of the docker client.
    @Suite(.serialized) struct BuildTests {
        /// Writes a Dockerfile and builds it; options may name the image's tag.
        private func build(_ lines: String, _ options: String = "") -> String {
            "cat >Dockerfile <<'E'\n\(lines)\nE\nDOCKER_BUILDKIT=0 docker build \(options) . 2>&1"
        }

        private func hasBuildah(_ what: String) -> Bool {
            if ProcessEnvironment.find("buildah") != nil { return true }
            skip(what, "the package buildah is not installed")
            return false
        }

        @Test func whatIsAskedForIsDone() async throws {
            guard hasBuildah("builds") else { return }
            try await Session.run { t in
                let lines = """
                    FROM busybox AS first
                    ARG A=none
                    RUN echo $A >/a; ulimit -n >>/a; grep -c 'one.test\\|two.test' /etc/hosts >>/a || true
                    FROM first AS second
                    RUN echo more >/b
                    FROM second
                    RUN exit 1
                    """
                let options =
                    "-t ${N}x:1 -t ${N}y --target second --build-arg A=given --label l=m --ulimit nofile=77:88"
                    + " --add-host one.test:1.2.3.4 --add-host two.test:5.6.7.8"
                try await t.sh(
                    build(lines, options), has: "RUN echo more", "Successfully built ",
                    "Successfully tagged \(t.name)x:1\nSuccessfully tagged \(t.name)y:latest")
                try await t.sh("docker run --rm ${N}x:1 cat /a /b", prints: "given\n77\n2\nmore")
                try await t.sh("docker inspect -f '{{.Config.Labels.l}}' ${N}y", prints: "m")
                try await t.sh(build(lines, options), has: "Using cache", "Successfully built ")
                // In one layer; the client offers it to experimental daemons only.
                try await t.sh(
                    """
                    tar -c Dockerfile | curl -s -T - -X POST --unix-socket $ENGINE/run/skala.sock \
                        "http://d/v1.44/build?t=${N}z&target=second&squash=1"
                    """, has: "Successfully tagged \(t.name)z:latest")
                try await t.sh("docker inspect -f '{{len .RootFS.Layers}}' ${N}x:1 ${N}z", prints: "3\n1")
                try await t.sh("docker run --rm ${N}z cat /a /b >ab; head -n 1 ab; docker rmi ${N}z", has: "none")
                // An instruction that fails leaves no image of the name.
                try await t.fails(build(lines, "-t ${N}z"), 1, "exit status 1")
                try await t.fails("docker inspect ${N}z", 1, "\(t.name)z")
            }
        }

        @Test func whatIsNotDoneIsRefused() async throws {
            try await Session.run { t in
                for (option, name) in [
                    ("--memory 100m", "memory"), ("--shm-size 1m", "shmsize"), ("--cpu-quota 1000", "cpuquota"),
                    ("--cache-from busybox", "cachefrom"), ("--cgroup-parent /x", "cgroupparent"),
                ] {
                    try await t.fails(
                        build("FROM busybox", option), 1, "ImageBuild.\(name) is not supported: ")
                }
                try await t.fails(
                    build("FROM busybox", "--security-opt seccomp=unconfined"), 1,
                    "does not support setting security options on build")
            }
        }

        @Test func platforms() async throws {
            guard hasBuildah("builds for other platforms") else { return }
            try await RegistryServer.with { t, addresses in
                let x = addresses[0] + "/x"
                try await t.sh("docker tag busybox \(x):oci; docker push -q \(x):oci; docker rmi \(x):oci")
                try await t.sh("$SUPPORT/index.py \(addresses[0]) x oci all oci")
                let own = try await t.sh("docker version -f '{{.Server.Arch}}'")
                // One after the other: the base image that is here is of the wrong platform then. Without the cache, for
                // the layers of both are the same, which buildah takes for the same image.
                for architecture in ["riscv64", own, "riscv64"] {
                    try await t.sh(
                        build("FROM \(x):all\nRUN echo hello", "-t ${N}x --no-cache --platform linux/\(architecture)"),
                        has: "Successfully built ")
                    try await t.sh("docker inspect -f '{{.Architecture}}' ${N}x", prints: architecture)
                }
                try await t.fails(
                    build("FROM \(x):all", "--platform linux/s390x"), 1, "no matching manifest for linux/s390x")
            }
        }
    }
}
