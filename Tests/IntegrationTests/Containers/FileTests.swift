import Testing

extension Integration {
    /// cp, diff, export and commit.
    @Suite(.serialized) struct FileTests {
        @Test(arguments: ["running", "stopped"]) func copies(state: String) async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a -v /vol busybox sleep 1000 >/dev/null"
                        + (state == "stopped" ? "; docker stop -t 0 ${N}a" : ""))
                try await t.sh(
                    "echo x >f1; docker cp -q f1 ${N}a:/tmp/f2; docker cp -q ${N}a:/tmp/f2 f3; cat f3", prints: "x")
                try await t.sh("docker cp -q f1 ${N}a:/vol/f; docker cp -q ${N}a:/vol/f - | tar -t", prints: "f")
                try await t.sh(
                    "mkdir -p d/e; echo y >d/e/g; ln -s e/g d/l; chmod 640 d/e/g; docker cp -q d ${N}a:/root; docker cp -q ${N}a:/root/d back; cat back/l; stat -c %a back/e/g",
                    prints: "y\n640")
                // Into an existing folder, or the folder's contents, as cp(1).
                try await t.sh(
                    "docker cp -q d/. ${N}a:/tmp; docker cp -q ${N}a:/tmp - | tar -t | sort | tr '\\n' ' '",
                    prints: "tmp/ tmp/e/ tmp/e/g tmp/f2 tmp/l ")
                try await t.sh(
                    "tar -c f1 | docker cp -q - ${N}a:/root; docker cp -q ${N}a:/root/f1 - | tar -xO", prints: "x")
                try await t.fails(
                    "docker cp ${N}a:/nosuch .", 1, "Could not find the file /nosuch in container \(t.name)a")
                try await t.fails(
                    "docker cp f1 ${N}a:/nosuch/x", 1, "Could not find the file /nosuch in container \(t.name)a")
                try await t.fails("docker cp f1 nosuch:/x", 1, "No such container: nosuch")
                // Links of the container lead nowhere outside.
                try await t.sh(
                    "ln -s /etc/hostname esc; docker cp -q esc ${N}a:/tmp/esc; docker cp -q -L ${N}a:/tmp/esc out; docker cp -q ${N}a:/etc/hostname out2; cmp out out2 && echo same",
                    prints: "same")
                try await t.sh(
                    "head -c 20000000 /dev/urandom >big; docker cp -q big ${N}a:/big; docker cp -q ${N}a:/big big2; cmp big big2 && echo same",
                    prints: "same")
            }
        }

        /// What the kernel shows in a running container is none of its files; its volumes and binds are.
        @Test func theKernelsFilesAreNotTheContainers() async throws {
            try await Session.run { t in
                try await t.sh(
                    "mkdir b; echo bound >b/f; docker run -d --name ${N}a -v /vol -v $PWD/b:/bound:ro --tmpfs /t --hostname ${N}h busybox sh -c 'echo 1 >/vol/v; echo 2 >/t/t; echo 3 >/root/r; echo up; sleep 1000' >/dev/null"
                )
                try await t.eventually("docker logs ${N}a", prints: "up")
                try await t.sh(
                    "docker cp ${N}a:/ all; (cd all; find proc sys dev t -mindepth 1 -type f; cat vol/v bound/f root/r etc/hostname)",
                    prints: "1\nbound\n3\n\(t.name)h")
                try await t.sh(
                    "$PROGRAMS/skala cp -q ${N}a:/ all2; $PROGRAMS/skala cp -q ${N}a:/. all3; cat all2/vol/v all3/root/r; ls all2/proc",
                    prints: "1\n3")
                for path in ["/proc/version", "/sys/kernel", "/dev/zero", "/t/t"] {
                    try await t.fails("docker cp ${N}a:\(path) x", 1, "Could not find the file \(path)")
                }
                try await t.fails("docker cp b/f ${N}a:/bound/new", 1, "read-only file system")
                // Several at a time, and the container goes on meanwhile.
                try await t.sh(
                    "for i in 1 2 3 4; do docker cp ${N}a:/ - >$i.tar & done; wait; tar -xOf 4.tar --wildcards '*vol/v'; docker exec ${N}a cat /proc/1/comm /t/t",
                    prints: "1\nsleep\n2")
            }
        }

        @Test func diffCommitExport() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --name ${N}a busybox sh -c 'echo 1 >/new; rm /etc/group; echo x >>/etc/passwd; mkdir /d; touch /d/f'"
                )
                try await t.sh(
                    "docker diff ${N}a | sort", prints: "A /d\nA /d/f\nA /new\nC /etc\nC /etc/passwd\nD /etc/group")
                try await t.sh(
                    "docker commit -c 'CMD [\"cat\", \"/new\"]' -c 'ENV Z=1' -c 'LABEL l=m' -c 'WORKDIR /d' -c 'EXPOSE 80' -a me -m msg ${N}a ${N}i:t | cut -c1-7",
                    prints: "sha256:")
                try await t.sh(
                    "docker run --rm ${N}i:t; docker run --rm ${N}i:t sh -c 'pwd; echo $Z; ls /etc'", has: "1\n/d\n1\n",
                    "passwd")
                try await t.sh("docker run --rm ${N}i:t ls /etc/group 2>/dev/null || echo gone", prints: "gone")
                try await t.sh(
                    "docker inspect ${N}i:t -f '{{.Author}} {{.Comment}} {{.Config.Labels.l}} {{.Config.ExposedPorts}}'",
                    prints: "me msg m map[80/tcp:{}]")
                try await t.sh("docker history --format '{{.Comment}}' ${N}i:t | head -n 1", prints: "msg")
                try await t.sh("docker history ${N}i:t | wc -l", prints: "3")
                try await t.sh(
                    "docker export ${N}a | tar -t | grep -E '^(new|d/f|etc/group)$'",
                    prints: "d/f\nnew".replacing("d/f\nnew", with: "d/f\nnew"))
                try await t.sh(
                    "docker export ${N}a | docker import -c 'CMD cat /new' -m imported - ${N}j >/dev/null; docker run --rm ${N}j",
                    prints: "1")
                try await t.fails("docker commit nosuch", 1, "No such container: nosuch")
                try await t.fails("docker commit -c 'BOGUS 1' ${N}a", 1, "BOGUS")
                try await t.fails("docker diff nosuch", 1, "No such container")
            }
        }
    }
}
