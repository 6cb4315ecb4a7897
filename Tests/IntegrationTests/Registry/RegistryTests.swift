import Testing

extension Integration {
    /// A real registry, and registries that ask who is there, or fail.
    @Suite(.serialized) struct RegistryTests {
        /// Makes an image with a layer of 3 MB that does not compress, on top of busybox.
        private func make(_ t: Session, _ image: String) async throws {
            try await t.sh(
                """
                docker run --name ${N}c busybox sh -c 'head -c 3000000 /dev/urandom >/data'
                docker commit ${N}c \(image) && docker rm ${N}c
                """)
        }

        /// What is in the store of images.
        private let listStore = "cd $ENGINE/data/images && ls blobs/sha256 layers incoming"

        @Test func pushAndPull() async throws {
            try await RegistryServer.with { t, addresses in
                let x = addresses[0] + "/x"
                try await make(t, "\(x):1")
                let id = try await t.sh("docker inspect -f '{{.Id}}' \(x):1")
                try await t.sh(
                    "docker push \(x):1", has: "The push refers to repository [\(x)]", ": Pushed", "1: digest: sha256:")
                try await t.sh("docker push \(x):1", has: ": Layer already exists", "1: digest: sha256:")
                try await t.sh("docker push \(x):1 | grep -c Pushed || true", prints: "0")
                let digest = try await t.sh("docker push \(x):1 | sed -n 's/^1: digest: \\([^ ]*\\) size.*/\\1/p'")
                try await t.sh("docker inspect -f '{{.RepoDigests}}' \(x):1", prints: "[\(x)@\(digest)]")
                try await t.sh(
                    "docker rmi \(x):1", has: "Untagged: \(x):1", "Untagged: \(x)@\(digest)", "Deleted: \(id)")
                try await t.fails("docker inspect \(x):1", 1, "\(x):1")

                try await t.sh(
                    "docker pull \(x):1", has: "1: Pulling from x", ": Already exists", ": Pull complete",
                    "Digest: \(digest)", "Status: Downloaded newer image for \(x):1")
                try await t.sh("docker inspect -f '{{.Id}} {{.RepoDigests}}' \(x):1", prints: "\(id) [\(x)@\(digest)]")
                try await t.sh("docker pull \(x):1", has: "Status: Image is up to date for \(x):1")
                try await t.sh("docker pull -q \(x):1", prints: "\(x):1")
                try await t.sh("docker run --rm \(x):1 wc -c /data", prints: "3000000 /data")

                // By digest, it has no tag.
                try await t.sh("docker rmi \(x):1; docker pull \(x)@\(digest)", has: "Digest: \(digest)")
                try await t.sh("docker inspect -f '{{.Id}} {{.RepoTags}}' \(x)@\(digest)", prints: "\(id) []")
                // Found by the repository's name, which no tag has; and without the names others gave it.
                try await t.sh(
                    "docker tag \(x)@\(digest) ${N}other; docker images --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}' \(x)",
                    prints: "\(x) <none> \(digest)")
                try await t.sh(
                    "docker images --format '{{.Repository}} {{.Tag}}' ${N}other; docker rmi ${N}other",
                    has: "\(t.name)other latest\nUntagged: \(t.name)other:latest")
                try await t.sh("docker run --rm --pull always \(x)@\(digest) wc -c /data", has: "3000000 /data")
                try await t.sh("docker rmi \(x)@\(digest)", has: "Deleted: \(id)")
                // What is missing is pulled by run.
                try await t.sh("docker run --rm \(x):1 wc -c /data", prints: "3000000 /data")

                // What the registry has.
                try await t.sh(
                    "curl -s --unix-socket $ENGINE/run/skala.sock http://d/v1.44/distribution/\(x):1/json",
                    has: #""digest":"\#(digest)""#, #""mediaType":"application/vnd.oci.image.manifest.v1+json""#)
                try await t.sh("docker manifest inspect --insecure \(x):1", has: #""schemaVersion": 2"#)
            }
        }

        @Test func pullAllTags() async throws {
            try await RegistryServer.with("paged") { t, addresses in
                let x = addresses[1] + "/x"
                try await make(t, "\(x):other")
                try await t.sh(
                    """
                    for i in 1 2 3 4; do docker tag busybox \(x):$i; docker push -q \(x):$i; done
                    docker push -q \(x):other; docker rmi -f $(docker images -q \(x):other) \(x):1 \(x):2 \(x):3 \(x):4
                    """)
                let output = try await t.sh("docker pull -a \(x)")
                for tag in ["1", "2", "3", "4", "other"] { #expect(output.contains("\(tag): Pulling from x\n")) }
                #expect(output.split(separator: "\n").filter { $0.hasPrefix("Digest: sha256:") }.count == 5)
                #expect(output.hasSuffix("Status: Downloaded newer image for \(x)\n\(x)"), "\(output)")
                try await t.sh(
                    "docker images --format '{{.Tag}}' \(x) | sort | xargs; docker run --rm \(x):other wc -c /data",
                    prints: "1 2 3 4 other\n3000000 /data")
                // Three pages, two tags at a time.
                try await t.sh(
                    "grep tags/list registry/requests",
                    prints: """
                        GET /v2/x/tags/list 200 -
                        GET /v2/x/tags/list?n=2&last=2 200 -
                        GET /v2/x/tags/list?n=2&last=4 200 -
                        """)
                try await t.sh("docker pull -a \(x)", has: "Status: Image is up to date for \(x)")
                // Without -a it is one.
                try await t.fails("docker pull \(x)", 1, "manifest for \(x):latest not found: manifest unknown: ")
                try await t.fails("docker pull -a \(addresses[1])/nosuch", 1, "name unknown: ")
            }
        }

        @Test func whatIsMissing() async throws {
            try await RegistryServer.with { t, addresses in
                let r = addresses[0]
                try await t.sh("docker tag busybox \(r)/x && docker push -q \(r)/x")
                try await t.fails(
                    "docker pull \(r)/x:nosuch", 1,
                    "manifest for \(r)/x:nosuch not found: manifest unknown: ")
                try await t.fails("docker pull \(r)/nosuch", 1, "\(r)/nosuch:latest not found: manifest unknown: ")
                let nowhere = "\(r)/x@sha256:" + String(repeating: "0", count: 64)
                try await t.fails("docker pull \(nowhere)", 1, "manifest for \(nowhere) not found: manifest unknown: ")
                try await t.fails("docker run --rm \(r)/x:nosuch", 125, "not found: manifest unknown: ")
                try await t.fails(
                    "docker push \(r)/nosuch", 1, "An image does not exist locally with the tag: \(r)/nosuch")
                try await t.fails("docker pull 127.0.0.1:1/x", 1, "cannot reach http://127.0.0.1:1/v2/x")
                try await t.fails(
                    "docker push 127.0.0.1:1/x", 1, "An image does not exist locally with the tag: 127.0.0.1:1/x")
            }
        }

        @Test func basicAuthentication() async throws {
            try await RegistryServer.with("basic") { t, addresses in
                let (r, x) = (addresses[1], addresses[1] + "/x")
                let denied =
                    "pull access denied for \(x), repository does not exist or may require 'docker login'"
                try await t.sh("docker tag busybox \(x):1")
                try await t.fails("docker push \(x):1", 1, "denied: requested access to the resource is denied")
                try await t.fails(
                    "echo wrong | docker login -u me --password-stdin \(r)", 1,
                    "login attempt to http://\(r)/v2/ failed with status: 401 Unauthorized")
                try await t.sh("echo secret | docker login -u me --password-stdin \(r)", has: "Login Succeeded")
                try await t.sh("docker push \(x):1", has: "1: digest: sha256:")
                try await t.sh("docker rmi \(x):1; docker pull \(x):1", has: "Status: ")
                try await t.sh("docker logout \(r)", has: "Removing login credentials")
                try await t.fails("docker pull \(x):1", 1, denied)
                try await t.fails("docker run --rm --pull always \(x):1 true", 125, denied)
                try await t.sh("docker run --rm \(x):1 echo here", prints: "here")
            }
        }

        @Test func bearerTokens() async throws {
            try await RegistryServer.with("bearer") { t, addresses in
                let (r, x) = (addresses[1], addresses[1] + "/team/x")
                let scopes = "grep TOKEN registry/requests | sort -u; : >registry/requests"
                try await t.sh("docker tag busybox \(x):1")
                try await t.fails("docker push \(x):1", 1, "denied: requested access to the resource is denied")
                try await t.sh(scopes, prints: "TOKEN repository:team/x:pull,push a test -")
                try await t.fails(
                    "echo wrong | docker login -u me --password-stdin \(r)", 1,
                    "login attempt to http://\(r)/v2/ failed with status: 401 Unauthorized")
                try await t.sh(": >registry/requests")
                try await t.sh("echo secret | docker login -u me --password-stdin \(r)", has: "Login Succeeded")
                // Whether it is me, not what I may do.
                try await t.sh(scopes, prints: "TOKEN - a test me")
                try await t.sh("docker push \(x):1", has: "1: digest: sha256:")
                try await t.sh(scopes, prints: "TOKEN repository:team/x:pull,push a test me")
                try await t.sh("docker logout \(r); docker rmi \(x):1; docker pull \(x):1", has: "Status: ")
                try await t.sh(scopes, prints: "TOKEN repository:team/x:pull a test -")
            }
        }

        @Test func identityTokens() async throws {
            try await RegistryServer.with("oauth") { t, addresses in
                let (r, x) = (addresses[1], addresses[1] + "/team/x")
                let users = "grep TOKEN registry/requests | sort -u; : >registry/requests"
                try await t.sh("docker tag busybox \(x):1")
                try await t.fails(
                    "echo wrong | docker login -u me --password-stdin \(r)", 1,
                    "login attempt to http://\(r)/v2/ failed with status: 401 Unauthorized")
                try await t.sh(": >registry/requests")
                try await t.sh("echo secret | docker login -u me --password-stdin \(r)", has: "Login Succeeded")
                try await t.sh(users, prints: "TOKEN - a test me")
                // The token is kept, not the password.
                try await t.sh("grep -c identitytoken $DOCKER_CONFIG/config.json", prints: "1")
                try await t.sh(
                    "grep -c $(printf me:secret | base64) $DOCKER_CONFIG/config.json || true", prints: "0")
                try await t.sh("docker push \(x):1", has: "1: digest: sha256:")
                try await t.sh(users, prints: "TOKEN repository:team/x:pull,push a test me-refresh")
                try await t.sh("docker rmi \(x):1; docker pull \(x):1", has: "Status: ")
                try await t.sh(users, prints: "TOKEN repository:team/x:pull a test me-refresh")
                try await t.sh("touch registry/revoked; docker tag busybox \(x):2")
                try await t.fails("docker push \(x):2", 1, "denied: requested access to the resource is denied")
            }
        }

        @Test func brokenConnections() async throws {
            try await RegistryServer.with("faulty") { t, addresses in
                let x = addresses[1] + "/x"
                try await make(t, "\(x):1")
                try await t.sh("docker push \(x):1")
                let id = try await t.sh("docker inspect -f '{{.Id}}' \(x):1")
                let pullAgain = "docker rmi \(x):1 && : >registry/requests && docker pull \(x):1"
                // Cut twice: it goes on where it was.
                try await t.sh(
                    "echo cut 1000000 2 >registry/fault; \(pullAgain)", has: "Status: Downloaded newer image")
                try await t.sh(
                    "grep -v ' -$' registry/requests | sed 's/.* \\([0-9]* bytes\\)/\\1/'",
                    prints: "206 bytes=1000000-\n206 bytes=2000000-")
                for fault in ["delay 1000000 1", "corrupt 1000000 1", "drop 0 2", "fail 0 2"] {
                    try await t.sh("echo \(fault) >registry/fault; \(pullAgain)", has: "Status: Downloaded newer image")
                    try await t.sh("cut -d ' ' -f 3 registry/fault", prints: "0")
                    try await t.sh(
                        "docker inspect -f '{{.Id}}' \(x):1; docker run --rm \(x):1 wc -c /data",
                        prints: "\(id)\n3000000 /data")
                }
                // More than five times, but each brings something.
                try await t.sh(
                    "echo cut 300000 -1 >registry/fault; \(pullAgain)", has: "Status: Downloaded newer image")
                try await t.sh("grep -c ' bytes=' registry/requests", prints: "10")
                try await t.sh("docker run --rm \(x):1 wc -c /data", prints: "3000000 /data")
                // Of wrong bytes none is kept: two whole answers for the layer, one each for manifest and configuration.
                try await t.sh(
                    "echo corrupt 1000000 1 >registry/fault; (\(pullAgain)) >/dev/null; cut -d ' ' -f 1,3- registry/requests | sort | uniq -c | xargs",
                    prints: "4 GET 200 -")
            }
        }

        @Test func brokenUploads() async throws {
            try await RegistryServer.with("faulty") { t, addresses in
                let x = addresses[1] + "/x"
                try await t.sh(
                    """
                    for i in 1 2; do
                        docker run --name ${N}c $([ $i = 1 ] && echo busybox || echo \(x):1) sh -c "head -c 3000000 /dev/urandom >/data$i"
                        docker commit ${N}c \(x):1 && docker rm ${N}c
                    done
                    """)
                // Both layers are on their way before the first is there.
                try await t.sh("echo late 2000000 2 >registry/fault; docker push \(x):1", has: "1: digest: sha256:")
                try await t.sh(
                    "grep -v HEAD registry/requests | cut -d ' ' -f 1 | head -n 3 | sort | xargs",
                    prints: "POST POST POST")
                // Of no use to the next pushes: other layers.
                let change =
                    "docker run --name ${N}c busybox sh -c 'head -c 3000000 /dev/urandom >/data'; docker commit ${N}c \(x):2; docker rm ${N}c; : >registry/requests"
                for (fault, status) in [("busy", "503"), ("hangup", "0")] {
                    try await t.sh(change)
                    let push =
                        "curl -s -X POST -H 'X-Registry-Auth: e30=' --unix-socket $ENGINE/run/skala.sock http://d/v1.44/images/\(x)/push?tag=2"
                    try await t.sh(
                        "echo \(fault) 2000000 2 >registry/fault; \(push)",
                        has: #"{"status":"Pushing","progressDetail":{"current":"#, #"{"status":"Pushed""#,
                        "2: digest: sha256:")
                    try await t.sh("grep -c 'PUT .* \(status) -' registry/requests", prints: "2")
                    try await t.sh(change)
                    try await t.fails(
                        "echo \(fault) 2000000 -1 >registry/fault; docker push \(x):2", 1,
                        fault == "busy" ? "status 503" : "cannot reach http://\(x.replacing("/x", with: "/v2/x"))")
                    try await t.sh("grep -c 'PUT .* \(status) -' registry/requests; rm registry/fault", prints: "5")
                }
            }
        }

        @Test(arguments: [
            ("corrupt 1000000 -1", "verification failed for digest sha256:"),
            ("drop 1000000 -1", "cannot fetch blob sha256:"), ("fail 1000000 -1", "after 5 tries: status 503"),
            ("corrupt 20 -1", "verification failed for digest sha256:"),
        ])
        func brokenBlobsLeaveNothing(fault: String, text: String) async throws {
            try await RegistryServer.with("faulty") { t, addresses in
                let x = addresses[1] + "/x"
                try await t.sh(
                    """
                    docker run --name ${N}c busybox sh -c 'head -c 9000000 /dev/urandom >/data; echo $N >/name'
                    docker commit ${N}c \(x):1 && docker rm ${N}c && docker push \(x):1 && docker rmi \(x):1
                    """)
                let before = try await t.sh(listStore)
                try await t.fails("echo \(fault) >registry/fault; docker pull \(x):1", 1, text)
                try await t.fails("docker inspect \(x):1", 1, "\(x):1")
                try await t.sh(listStore, prints: before)
                try await t.sh("rm registry/fault; docker run --rm \(x):1 wc -c /data", prints: "9000000 /data")
            }
        }

        @Test func aMissingLayerEndsTheOthers() async throws {
            try await RegistryServer.with("faulty") { t, addresses in
                let x = addresses[1] + "/x"
                try await t.sh(
                    """
                    docker run --name ${N}c busybox sh -c 'head -c 6000000 /dev/urandom >/slow'
                    docker commit ${N}c ${N}x && docker rm ${N}c
                    docker run --name ${N}c ${N}x sh -c 'head -c 3000000 /dev/urandom >/missing'
                    docker commit ${N}c \(x):1 && docker rm ${N}c
                    docker push \(x):1 && docker rmi \(x):1 ${N}x
                    """)
                let before = try await t.sh(listStore)
                try await t.sh("echo slow 4000000 -1 >registry/fault; echo missing 2000000 -1 >>registry/fault")
                // The slow one alone would take 20 s.
                try await t.fails("timeout 10 docker pull \(x):1", 1, "not found: blob unknown to registry")
                try await t.eventually(listStore, prints: before)
            }
        }

        @Test func pushAllTags() async throws {
            try await RegistryServer.with { t, addresses in
                let x = addresses[0] + "/x"
                try await t.sh("docker tag busybox \(x):1; docker tag busybox \(x):2; docker tag busybox \(x)y:3")
                try await t.sh("docker push -a \(x)", has: "1: digest: sha256:", "2: digest: sha256:")
                try await t.sh(
                    "curl -s http://\(addresses[0])/v2/x/tags/list | grep -o '\"[0-9]*\"' | sort | xargs", prints: "1 2"
                )
                try await t.fails("docker push -a \(x)z", 1, "An image does not exist locally with the tag: \(x)z")
                // Without -a it is latest only.
                try await t.fails("docker push \(x)", 1, "An image does not exist locally with the tag: \(x)")
            }
        }

        @Test(arguments: [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")])
        func mediaTypes(format: String, compression: String) async throws {
            guard ProcessEnvironment.find("skopeo") != nil else {
                return skip("media types \(format), \(compression)", "the package skopeo is not installed")
            }
            try await RegistryServer.with { t, addresses in
                let x = addresses[0] + "/x"
                let type =
                    format == "v2s2"
                    ? "application/vnd.docker.image.rootfs.diff.tar.gzip"
                    : "application/vnd.oci.image.layer.v1.tar+\(compression)"
                try await t.sh(
                    """
                    docker run --name ${N}c busybox sh -c 'echo \(format) \(compression) >/name'
                    docker export ${N}c | docker import -c 'CMD ["cat", "/name"]' - ${N}x
                    docker save ${N}x -o x.tar && docker rmi ${N}x && docker rm ${N}c
                    skopeo --insecure-policy copy -q --dest-tls-verify=false --format \(format) --dest-compress-format \(compression) docker-archive:x.tar docker://\(x):1
                    """)
                try await t.sh("docker manifest inspect --insecure \(x):1", has: type)
                try await t.sh("docker pull \(x):1", has: ": Pull complete", "Status: Downloaded newer image")
                try await t.sh("docker run --rm \(x):1", prints: "\(format) \(compression)")
                // An image of other people's manifest is pushed as well.
                try await t.sh(
                    "docker tag \(x):1 \(x):2; docker push \(x):2", has: "Layer already exists", "2: digest: ")
                try await t.sh(
                    "docker rmi \(x):1 \(x):2 >/dev/null; docker run --rm \(x):2", prints: "\(format) \(compression)")
            }
        }

        @Test(arguments: ["docker", "oci"])
        func multiplePlatforms(kind: String) async throws {
            if kind == "docker", ProcessEnvironment.find("skopeo") == nil {
                return skip("Docker's manifest list", "the package skopeo is not installed")
            }
            try await RegistryServer.with { t, addresses in
                let x = addresses[0] + "/x"
                try await t.sh("docker tag busybox \(x):oci; docker push -q \(x):oci; docker rmi \(x):oci")
                if kind == "docker" {
                    try await t.sh(
                        "skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 docker://\(x):oci docker://\(x):docker"
                    )
                }
                let digest = try await t.sh("$SUPPORT/index.py \(addresses[0]) x \(kind) all \(kind)")
                let own = try await t.sh("docker version -f '{{.Server.Arch}}'")
                try await t.sh("docker pull \(x):all", has: "Digest: \(digest)")
                try await t.sh("docker inspect -f '{{.Os}}/{{.Architecture}}' \(x):all", prints: "linux/\(own)")
                try await t.sh("docker run --rm \(x):all echo runs", prints: "runs")
                try await t.sh(
                    "docker pull -q --platform linux/riscv64 \(x):all; docker inspect -f '{{.Architecture}}' \(x):all",
                    has: "riscv64")
                try await t.fails(
                    "docker pull --platform linux/s390x \(x):all", 1,
                    "no matching manifest for linux/s390x in the manifest list entries")
                try await t.sh(
                    "curl -s --unix-socket $ENGINE/run/skala.sock http://d/v1.44/distribution/\(x):all/json",
                    has: digest,
                    #""architecture":"riscv64""#)
                try await t.sh("docker manifest inspect --insecure \(x):all", has: "riscv64", own)
            }
        }

        @Test func mirror() async throws {
            try await RegistryServer.with { t, addresses in
                let hub = addresses[0] + "/library/${N}m"
                try await t.sh("docker tag busybox \(hub):1; docker push -q \(hub):1; docker rmi \(hub):1")
                try await EngineFixture.with(
                    options: ["--registry-mirror", "http://127.0.0.1:1", "--registry-mirror", "http://" + addresses[0]]
                ) { engine in
                    let result = try await engine.run(
                        "docker pull ${N}m:1 && docker run --rm ${N}m:1 echo runs", name: t.name)
                    #expect(result.code == 0, "\(result.error)\(engine.log)")
                    #expect(result.output.contains("Digest: sha256:") && result.output.hasSuffix("runs\n"))
                }
            }
        }
    }
}
