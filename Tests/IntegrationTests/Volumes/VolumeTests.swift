import Testing

extension Integration {
    /// Volumes, binds and tmpfs.
    @Suite(.serialized) struct VolumeTests {
        @Test func named() async throws {
            try await Session.run { t in
                try await t.sh("docker volume create --label l=m ${N}v", prints: t.name + "v")
                try await t.sh(
                    "docker run --rm -v ${N}v:/data busybox sh -c 'echo 1 >/data/f'; docker run --rm -v ${N}v:/data:ro busybox sh -c 'cat /data/f; touch /data/g 2>&1 || true'",
                    has: "1\n", "Read-only file system")
                try await t.sh(
                    "docker volume inspect -f '{{.Driver}} {{.Labels.l}} {{.Scope}}' ${N}v", prints: "local m local")
                try await t.sh("docker volume ls -q --filter label=l=m --filter name=${N}v", prints: t.name + "v")
                try await t.sh(
                    "docker create --name ${N}a -v ${N}v:/data busybox; docker volume ls -q --filter dangling=true | grep -c ^${N}v || true",
                    has: "0")
                try await t.fails("docker volume rm ${N}v", 1, "volume is in use")
                try await t.sh("docker rm -v ${N}a; docker volume inspect ${N}v >/dev/null && echo kept", has: "kept")
                try await t.sh("docker volume rm ${N}v", prints: t.name + "v")
                try await t.fails("docker volume rm ${N}v", 1, "no such volume")
                try await t.fails("docker volume inspect ${N}v", 1, "no such volume")
                try await t.fails(
                    "docker volume create 'bad name'", 1, "includes invalid characters for a local volume name")
                try await t.fails("docker volume create -d nosuch ${N}x", 1, "nosuch")
            }
        }

        @Test func copyUp() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --name ${N}a busybox sh -c 'mkdir -p /d/e; echo x >/d/e/f; chown 5:6 /d/e/f; chmod 751 /d; ln -s e/f /d/l'; docker commit ${N}a ${N}i"
                )
                try await t.sh(
                    "docker run --rm -v ${N}v:/d ${N}i sh -c 'cat /d/l; stat -c %u:%g /d/e/f; stat -c %a /d'",
                    prints: "x\n5:6\n751")
                // Only into an empty volume, and not with nocopy.
                try await t.sh("docker run --rm -v ${N}v:/etc busybox ls /etc | tr '\\n' ' '", has: "e l")
                try await t.sh("docker run --rm -v ${N}w:/d:nocopy ${N}i ls /d | wc -l", prints: "0")
                try await t.sh(
                    "docker commit -c 'VOLUME /d' ${N}a ${N}j >/dev/null; docker run --name ${N}b ${N}j cat /d/e/f; docker inspect -f '{{len .Mounts}} {{(index .Mounts 0).Type}} {{(index .Mounts 0).Destination}}' ${N}b",
                    prints: "x\n1 volume /d")
            }
        }

        @Test func namesThatAreNoText() async throws {
            try await Session.run { t in
                try await t.sh(
                    #"docker run --name ${N}a busybox sh -c 'mkdir -p /d/e; echo x >"/d/$(printf "\351")"; echo y >"/d/e/$(printf "\377")"'"#
                )
                try await t.sh(
                    "docker diff ${N}a | grep '/d'", prints: "A /d\nA /d/e\nA /d/e/\u{FFFD}\nA /d/\u{FFFD}")
                try await t.sh("docker commit ${N}a ${N}i")
                let bytes = "cd /d; for f in * */*; do printf \"$f\" | od -An -tx1; cat \"$f\"; done 2>/dev/null"
                let expected = " 65\n e9\nx\n 65 2f ff\ny"
                try await t.sh("docker run --rm ${N}i sh -c '\(bytes)'", prints: expected)
                try await t.sh("docker run --rm -v ${N}v:/d ${N}i sh -c '\(bytes)'", prints: expected)
                // Through archives, too.
                try await t.sh(
                    "docker cp ${N}a:/d - >d.tar; docker cp - ${N}a:/etc <d.tar; docker export ${N}a | docker import - ${N}j"
                )
                try await t.sh("docker run --rm ${N}j sh -c '\(bytes)'", prints: expected)
                try await t.sh("docker diff ${N}a | grep -c '/etc/d/.*\u{FFFD}'", prints: "2")
            }
        }

        @Test func bindsAndTmpfs() async throws {
            try await Session.run { t in
                try await t.sh(
                    "mkdir d; echo h >d/f; docker run --rm -v $PWD/d:/b busybox sh -c 'cat /b/f; echo w >/b/g'; cat d/g",
                    prints: "h\nw")
                try await t.fails("docker run --rm -v $PWD/d:/b:ro busybox touch /b/x", 1, "Read-only file system")
                try await t.sh("docker run --rm -v $PWD/d/f:/etc/file busybox cat /etc/file", prints: "h")
                try await t.sh(
                    "docker run --rm -v $PWD/new/dir:/b busybox ls -d /b; ls -d new/dir", prints: "/b\nnew/dir")
                try await t.sh(
                    "docker run --rm --mount type=bind,src=$PWD/d,dst=/b,readonly busybox sh -c 'cat /b/f; touch /b/x 2>&1' || true",
                    has: "h\n", "Read-only")
                try await t.sh(
                    "docker run --rm --mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770 busybox sh -c 'df -k /x | tail -n 1; stat -c %a /x'",
                    has: "1024 ", "1770")
                try await t.sh(
                    "docker run --rm --tmpfs /x:size=64k,exec busybox sh -c 'grep /x /proc/mounts'", has: "size=64k")
                // Read-only holds for what is mounted below, too.
                try await t.sh(
                    "mkdir -p m/sub; mount -t tmpfs x m/sub; docker run --rm -v $PWD/m:/m:ro busybox touch /m/sub/x 2>&1 | tail -n 1; umount m/sub",
                    has: "Read-only")
                try await t.sh(
                    """
                    mkdir p; mount -t tmpfs x p; mount --make-shared p
                    docker run -d --name ${N}a -v $PWD/p:/p:rslave busybox sleep 100 >/dev/null
                    mkdir p/q; mount -t tmpfs y p/q; touch p/q/seen
                    docker exec ${N}a ls /p/q; docker rm -f ${N}a >/dev/null; umount p/q p
                    """, prints: "seen")
                try await t.fails(
                    "docker run --rm -v relative/path:/x busybox true", 125,
                    "includes invalid characters for a local volume name")
                try await t.fails("docker run --rm -v /a:/x -v /b:/x busybox true", 125, "Duplicate mount point: /x")
            }
        }

        @Test func volumesFrom() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --name ${N}a -v ${N}v:/one -v /two busybox sh -c 'echo 1 >/one/f; echo 2 >/two/f'")
                try await t.sh("docker run --rm --volumes-from ${N}a busybox cat /one/f /two/f", prints: "1\n2")
                try await t.sh(
                    "docker run --rm --volumes-from ${N}a:ro busybox sh -c 'touch /one/x 2>&1 || true'",
                    has: "Read-only")
                try await t.fails(
                    "docker run --rm --volumes-from nosuch busybox true", 125, "No such container: nosuch")
            }
        }
    }
}
