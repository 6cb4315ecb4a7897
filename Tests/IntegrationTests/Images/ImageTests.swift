import Testing

extension Integration {
    /// Images without a registry.
    @Suite(.serialized) struct ImageTests {
        @Test func saveAndLoad() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker run --name ${N}c busybox sh -c 'echo kept >/file; ln -s file /link; rm /bin/vi'
                    docker commit -m 'a message' -c 'ENV A=b' -c 'CMD ["cat", "/link"]' ${N}c ${N}x:1
                    docker tag ${N}x:1 ${N}y:2; docker rm ${N}c
                    """)
                let shown = "docker inspect -f '{{.Id}} {{.RootFS.Layers}} {{.Config.Env}} {{.Config.Cmd}}' ${N}x:1"
                let before = try await t.sh(shown)
                try await t.sh("docker save -o both.tar ${N}x:1 ${N}y:2 && docker save ${N}x:1 | gzip >one.tar.gz")
                try await t.sh("docker rmi ${N}x:1 ${N}y:2")
                try await t.fails("docker inspect ${N}x:1", 1, "\(t.name)x:1")
                try await t.sh(
                    "docker load -i both.tar | sort",
                    prints: "Loaded image: \(t.name)x:1\nLoaded image: \(t.name)y:2")
                try await t.sh(shown, prints: before)
                try await t.sh("docker inspect -f '{{.Id}}' ${N}x:1 ${N}y:2 | uniq | wc -l", prints: "1")
                try await t.sh(
                    "docker run --rm ${N}y:2; docker run --rm ${N}x:1 ls /bin/vi 2>/dev/null || echo gone",
                    prints: "kept\ngone")
                try await t.sh("docker rmi ${N}x:1 ${N}y:2; docker load <one.tar.gz", has: "Loaded image: \(t.name)x:1")
                try await t.sh(shown, prints: before)
                // What the archive does not name is not named, though the image has it.
                try await t.sh(
                    "docker tag ${N}x:1 ${N}z; docker load -i both.tar | sort",
                    prints: "Loaded image: \(t.name)x:1\nLoaded image: \(t.name)y:2")
                let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}x:1")
                try await t.sh(
                    "docker save -o bare.tar \(id); docker load -i bare.tar", prints: "Loaded image ID: \(id)")
                // A name that another image has meanwhile comes back.
                try await t.sh(
                    "docker rmi ${N}z; docker tag busybox ${N}x:1; docker load -i both.tar",
                    has: "The image \(t.name)x:1 already exists, renaming the old one with ID sha256:",
                    "Loaded image: \(t.name)x:1")
                try await t.sh(shown, prints: before)
                try await t.fails("head -c 20000 both.tar | docker load", 1, "")
                try await t.fails("echo nothing | docker load", 1, "")
                try await t.fails("docker save ${N}nosuch >nosuch.tar", 1, "No such image: \(t.name)nosuch")
            }
        }

        @Test func history() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker run --name ${N}c busybox sh -c 'head -c 100000 /dev/zero >/file'
                    docker commit -m 'a message' ${N}c ${N}x && docker rm ${N}c
                    """)
                try await t.sh(
                    "docker history --format '{{.Comment}} {{.Size}}' ${N}x | head -n 1", has: "a message 1")
                try await t.sh("docker history -q ${N}x | wc -l", prints: "2")
                try await t.sh("docker history -q ${N}x | tail -n 1", prints: "<missing>")
                let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}x")
                try await t.sh("docker history -q --no-trunc ${N}x | head -n 1", prints: id)
                try await t.fails("docker history ${N}nosuch", 1, "No such image: \(t.name)nosuch")
            }
        }

        @Test func severalNames() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker run --name ${N}c busybox touch /file; docker commit ${N}c ${N}x:1; docker rm ${N}c
                    docker tag ${N}x:1 ${N}x:2; docker tag ${N}x:1 ${N}y
                    """)
                let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}x:1")
                try await t.sh(
                    "docker images --filter reference=\"${N}*\" --format '{{.Repository}}:{{.Tag}}' | sort",
                    prints: "\(t.name)x:1\n\(t.name)x:2\n\(t.name)y:latest")
                try await t.fails(
                    "docker rmi \(id)", 1, "(must be forced) - image is referenced in multiple repositories")
                try await t.sh("docker rmi ${N}x:1", prints: "Untagged: \(t.name)x:1")
                try await t.fails("docker rmi ${N}x:1", 1, "No such image: \(t.name)x:1")
                // A name in use stays, one of several goes.
                try await t.sh("docker create --name ${N}c ${N}y; docker rmi ${N}x:2", has: "Untagged: \(t.name)x:2")
                try await t.fails("docker rmi ${N}y", 1, "(must force) - container")
                try await t.sh(
                    "docker rm ${N}c; docker rmi ${N}y", has: "Untagged: \(t.name)y:latest", "Deleted: \(id)")
                // All names by force.
                try await t.sh(
                    """
                    docker run --name ${N}c busybox touch /file2; docker commit ${N}c ${N}x:1; docker rm ${N}c
                    docker tag ${N}x:1 ${N}y; docker rmi -f $(docker inspect -f '{{.Id}}' ${N}x:1)
                    """, has: "Untagged: \(t.name)x:1", "Untagged: \(t.name)y:latest", "Deleted: sha256:")
                // A name moves to the image that gets it last.
                try await t.sh(
                    """
                    for i in 1 2; do
                        docker run --name ${N}c busybox touch /file$i; docker commit ${N}c ${N}x; docker rm ${N}c
                    done >/dev/null
                    docker run --rm ${N}x ls /file1 /file2 2>/dev/null || true
                    """, prints: "/file2")
                try await t.sh("docker image prune -f", has: "Deleted Images:")
            }
        }
    }
}
