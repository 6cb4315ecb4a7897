import Base
import Glibc
import Kernel
import Testing

extension Integration {
    /// Snapshots, clones and conversions of instances.
    @Suite(.serialized) struct SnapshotTests {
        private static let skala = "$PROGRAMS/skala"
        /// Counts in memory, and shows it in a file and in the log.
        private static let counter =
            "sh -c 'i=0; while :; do i=$((i+1)); echo $i; echo $i >/new; mv /new /count; sleep 0.05; done'"
        /// Makes files of every kind, once.
        private static let files = """
            sh -c '[ -e /d ] || { mkdir /d; echo one >/d/a; ln /d/a /d/hard; ln -s a /d/soft; mknod /d/pipe p; chown 5:6 /d/a; \
            rm /bin/ls; rm -r /var/www; mkdir /var/www; echo new >/var/www/n; echo vol >/vol/v; }; \
            trap exit TERM; while :; do sleep 0.1; done'
            """
        private static let look = """
            sh -c 'stat -c "%n %h %u:%g %F" /d/*; cat /d/soft; [ -e /bin/ls ] || echo removed; echo /var/www/*; cat /vol/v'
            """
        private static let seen = """
            /d/a 2 5:6 regular file
            /d/hard 2 5:6 regular file
            /d/pipe 1 0:0 fifo
            /d/soft 1 0:0 symbolic link
            one
            removed
            /var/www/n
            vol
            """

        @Test(arguments: ["container", "pod", "microvm"]) func filesGoBack(isolation: String) async throws {
            try await Session.run { t in
                let (skala, look) = (SnapshotTests.skala, SnapshotTests.look)
                try await t.sh(
                    "docker run -d --name ${N}a --runtime \(isolation) -v ${N}v:/vol busybox \(SnapshotTests.files)",
                    deadline: 180)
                try await t.eventually("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                try await t.sh("\(skala) snapshot --disk-only -q ${N}a first", prints: "first")
                try await t.sh(
                    "docker exec ${N}a sh -c 'rm -r /d /var/www; echo later >/later'; \(skala) snapshot -q --disk-only ${N}a",
                    prints: "s1")
                try await t.sh(
                    "\(skala) history --format '{{.Name}} {{.Parent}} {{.Current}}' ${N}a",
                    prints: "first  \ns1 first *")
                try await t.sh("\(skala) restore -q ${N}a first", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                try await t.fails("docker exec ${N}a cat /later", 1, "No such file")
                try await t.sh(
                    "\(skala) restore -q ${N}a s1; docker exec ${N}a cat /later", prints: "\(t.name)a\nlater")
                // Stopped, too; then it stays stopped.
                try await t.sh("docker stop ${N}a >/dev/null; \(skala) restore -q ${N}a first", prints: "\(t.name)a")
                try await t.sh("docker inspect -f '{{.State.Running}}' ${N}a", prints: "false")
                try await t.sh("docker cp ${N}a:/d/hard - | tar -xO", prints: "one")
                try await t.sh("\(skala) snapshot -q ${N}a stopped; docker start ${N}a", prints: "stopped\n\(t.name)a")
                try await t.sh("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                // A clone has the files, and they are its own.
                try await t.sh("\(skala) clone -q --disk-only ${N}a ${N}b", prints: "\(t.name)b")
                try await t.sh("docker exec ${N}b \(look)", prints: SnapshotTests.seen)
                try await t.sh(
                    "docker exec ${N}b rm -r /d; docker exec ${N}a cat /d/hard; docker exec ${N}b cat /d/a 2>&1 || true",
                    has: "one", "No such file")
                try await t.sh("\(skala) snapshot rm ${N}a first stopped", prints: "first\nstopped")
                try await t.sh("\(skala) history --format '{{.Name}} {{.Parent}}' ${N}a", prints: "s1 ")
                let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}a")
                try await t.sh("ls -A $ENGINE/data/containers/\(id)/snapshots", prints: "s1")
                try await t.sh(
                    "docker rm -fv ${N}a ${N}b >/dev/null; ls -d $ENGINE/data/containers/\(id) 2>&1 || true",
                    has: "No such")
            }
        }

        @Test func memoryGoesOnWhereItWas() async throws {
            try await Session.run { t in
                let skala = SnapshotTests.skala
                try await t.sh(
                    "docker run -d --name ${N}a --runtime microvm busybox \(SnapshotTests.counter)", deadline: 180)
                try await t.sh("sleep 1; \(skala) snapshot -q ${N}a now", prints: "now")
                let before = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                try await t.sh("sleep 3")
                let later = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                try await t.sh("\(skala) restore -q ${N}a now", prints: "\(t.name)a")
                let after = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                #expect(after > before - 40 && after < later, "\(before) \(later) \(after)")
                // The log goes on, from the snapshot's moment; so do all that is asked of it, and the address.
                try await t.eventually(
                    "docker logs ${N}a | sort | uniq -d | grep -c . | sed 's/[0-9]*[1-9][0-9]*/yes/'", prints: "yes")
                try await t.sh("docker exec ${N}a ping -c 1 -W 5 $SUBNET.$BRIDGEHOST", has: "1 packets received")
                // Stopped and started it has the snapshot's files and what came after, and counts anew.
                try await t.sh("docker exec ${N}a sh -c 'echo kept >/kept'; docker restart -t 0 ${N}a >/dev/null")
                try await t.sh("docker exec ${N}a cat /kept", prints: "kept")
                // Its disk is another than the template's from here on: the memory of both goes with the snapshot.
                try await t.sh(
                    "sleep 1; \(skala) snapshot -q ${N}a again; docker exec ${N}a sh -c 'echo no >/kept; sync'")
                try await t.sh(
                    "\(skala) restore -q ${N}a again; docker exec ${N}a cat /kept", prints: "\(t.name)a\nkept")
                try await t.sh(
                    "docker kill ${N}a >/dev/null; \(skala) restore -q ${N}a now; docker exec ${N}a ls /", has: "count")
                try await t.sh(
                    "docker stop -t 0 ${N}a >/dev/null; docker start ${N}a >/dev/null; docker exec ${N}a cat /etc/hostname"
                )
            }
        }

        @Test func clonesOfAVMAreMachinesOfTheirOwn() async throws {
            try await Session.run { t in
                let skala = SnapshotTests.skala
                let id32 = "0123456789abcdef0123456789abcdef"
                try await t.sh(
                    """
                    docker run -d --name ${N}a --runtime microvm -p 127.0.0.1:0:80 busybox sh -c 'echo \(id32) >/etc/machine-id; i=0; \
                    while :; do i=$((i+1)); echo $i >/new; mv /new /count; [ -e /hold ] || head -c 16 /dev/urandom | md5sum >>/random; \
                    sleep 0.05; done'
                    """, deadline: 180)
                try await t.sh("sleep 1; docker exec ${N}a touch /hold; sleep 1")
                let lines = try #require(Int(try await t.sh("docker exec ${N}a sh -c 'wc -l </random'")))
                let count = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                try await t.sh(
                    "\(skala) clone -q ${N}a --count 3",
                    prints: (1...3).map { "\(t.name)a-\($0)" }.joined(separator: "\n"))
                let each = "for c in ${N}a ${N}a-1 ${N}a-2 ${N}a-3; do"
                for question in [
                    "docker inspect -f '{{.Id}}' $c", "docker inspect -f '{{.NetworkSettings.IPAddress}}' $c",
                    "docker inspect -f '{{.NetworkSettings.MacAddress}}' $c", "docker exec $c hostname",
                    "docker exec $c cat /etc/machine-id", "docker port $c 80",
                    "docker exec $c sh -c 'ip -4 -o addr show eth0'",
                ] {
                    try await t.sh("\(each) \(question); done | sort -u | wc -l", prints: "4")
                }
                // Their first random numbers are nobody else's.
                try await t.sh("\(each) docker exec $c rm /hold; done; sleep 2")
                try await t.sh(
                    "\(each) docker exec $c tail -n +\(lines + 1) /random; done | sort | uniq -d | wc -l", prints: "0")
                try await t.sh(
                    "\(each) docker exec $c sed -n \(lines + 1)p /random; done | sort -u | wc -l", prints: "4")
                for number in 1...3 {
                    // It is empty while it is written.
                    let read = "until docker exec ${N}a-\(number) cat /count | grep .; do :; done"
                    let other = try #require(Int(try await t.sh(read)))
                    #expect(other > count)
                }
                try await t.sh(
                    "a=$(date +%s); b=$(docker exec ${N}a-3 date +%s); [ $((b - a)) -ge -1 ] && [ $((b - a)) -lt 5 ] && echo ok",
                    prints: "ok")
                try await t.sh("docker exec ${N}a-1 sh -c 'echo mine >/mine'; docker exec ${N}a-2 ls /", has: "random")
                try await t.fails("docker exec ${N}a-2 cat /mine", 1, "No such file")
                // They reach each other, and outlive what they came from.
                try await t.sh(
                    "docker rm -f ${N}a >/dev/null; docker stop -t 0 ${N}a-1 >/dev/null; docker start ${N}a-1")
                let address = try await t.sh("docker inspect -f '{{.NetworkSettings.IPAddress}}' ${N}a-2")
                try await t.sh(
                    "docker exec ${N}a-1 cat /mine; docker exec ${N}a-1 ping -c 5 -W 5 \(address); docker exec ${N}a-1 ip neigh",
                    has: "mine", "64 bytes from")
                // A clone is an instance as any other: it can be cloned again.
                try await t.sh(
                    "\(skala) snapshot -q ${N}a-2 s; \(skala) clone -q --snapshot s ${N}a-2 ${N}z",
                    prints: "s\n\(t.name)z")
                try await t.sh("docker exec ${N}z hostname", prints: t.sh("docker ps -q --filter name=${N}z"))
            }
        }

        /// Cards that were plugged in are there again, as those of others.
        @Test func networksComeAlong() async throws {
            try await Session.run { t in
                let skala = SnapshotTests.skala
                try await t.sh("for n in 1 2 3; do docker network create ${N}n$n; done")
                for server in 1...3 {
                    try await t.sh(
                        "docker run -d --name ${N}s\(server) --network ${N}n\(server) busybox sh -c 'mkdir w; echo net\(server) >w/index.html; httpd -f -h w'"
                    )
                }
                try await t.sh(
                    "docker run -d --name ${N}a --runtime microvm --network ${N}n1 busybox \(SnapshotTests.counter)",
                    deadline: 180)
                try await t.sh(
                    "docker network connect ${N}n2 ${N}a; sleep 1; \(skala) snapshot -q ${N}a two", prints: "two")
                let ask = "docker exec $c sh -c 'for n in 1 2; do wget -qO- http://'$N's$n/; done'"
                let before = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                try await t.sh(
                    "sleep 2; \(skala) restore -q ${N}a two; c=${N}a; \(ask)", prints: "\(t.name)a\nnet1\nnet2")
                let after = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                #expect(after < before + 40)
                // Clones have addresses of their own on each.
                try await t.sh(
                    "\(skala) clone -q --count 2 ${N}a; for c in ${N}a-1 ${N}a-2; do \(ask); done",
                    prints: "\(t.name)a-1\n\(t.name)a-2\nnet1\nnet2\nnet1\nnet2")
                try await t.sh(
                    "for c in ${N}a ${N}a-1 ${N}a-2; do docker exec $c ip -4 -o addr show | awk '$2 != \"lo\" { print $4 }'; done | sort -u | wc -l",
                    prints: "6")
                // The networks are those it is on now: one more, and two less, than the memory knows.
                try await t.sh(
                    "docker network connect ${N}n3 ${N}a; \(skala) restore -q ${N}a two", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a wget -qO- http://\(t.name)s3/", prints: "net3")
                try await t.sh(
                    "\(skala) snapshot -q ${N}a three; docker network disconnect ${N}n1 ${N}a; docker network disconnect ${N}n2 ${N}a"
                )
                try await t.sh(
                    "\(skala) restore -q ${N}a three; docker exec ${N}a wget -qO- http://\(t.name)s3/",
                    prints: "\(t.name)a\nnet3")
                try await t.sh("docker exec ${N}a ls /sys/class/net | grep -c eth", prints: "1")
                // And it is connected and disconnected as any.
                try await t.sh(
                    "docker network connect ${N}n2 ${N}a; docker exec ${N}a wget -qO- http://\(t.name)s2/",
                    prints: "net2")
                try await t.sh(
                    "docker network disconnect ${N}n3 ${N}a; docker exec ${N}a ls /sys/class/net | grep -c eth",
                    prints: "1")
            }
        }

        @Test func conversionKeepsWhatItIs() async throws {
            try await Session.run { t in
                let (skala, look) = (SnapshotTests.skala, SnapshotTests.look)
                try await t.sh("docker run -d --name ${N}a -v ${N}v:/vol busybox \(SnapshotTests.files)")
                try await t.eventually("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                let identity = "docker inspect -f '{{.Id}} {{.Name}} {{.NetworkSettings.IPAddress}}' ${N}a"
                let before = try await t.sh(identity)
                let kernel = try await t.sh("docker exec ${N}a uname -r")
                try await t.sh("\(skala) convert -q ${N}a --to microvm", prints: "\(t.name)a", deadline: 180)
                try await t.sh("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                try await t.sh(identity, prints: before)
                try await t.sh("[ \"$(docker exec ${N}a uname -r)\" != '\(kernel)' ] && echo other", prints: "other")
                try await t.sh("docker exec ${N}a sh -c 'echo vm >/vm; rm /bin/cat; ln /d/a /d/third'")
                try await t.sh("\(skala) convert -q ${N}a --to container", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a uname -r", prints: kernel)
                try await t.sh(identity, prints: before)
                try await t.sh(
                    "docker exec ${N}a sh -c 'read x </vm; echo $x; [ -e /bin/cat ] || echo gone; stat -c %h /d/a /d/third'",
                    prints: "vm\ngone\n3\n3")
                let id = before.prefix { $0 != " " }
                try await t.sh("ls $ENGINE/data/containers/\(id) | grep -c disk.img || true", prints: "0")
                // A stopped one stays stopped.
                try await t.sh(
                    "docker stop ${N}a >/dev/null; \(skala) convert -q ${N}a --to microvm", prints: "\(t.name)a")
                try await t.sh(
                    "docker inspect -f '{{.State.Running}} {{.HostConfig.Runtime}}' ${N}a", prints: "false microvm")
                try await t.sh("docker start ${N}a >/dev/null; docker exec ${N}a stat -c %h /d/third", prints: "3")
            }
        }

        /// Of one container in a pod: its neighbour notices nothing, and its clones come into the pod.
        @Test func oneOfAPod() async throws {
            try await Session.run { t in
                let (skala, counter) = (SnapshotTests.skala, SnapshotTests.counter)
                let run = "docker run -d --runtime pod --annotation skala.pod=${N}p"
                try await t.sh("\(skala) pod create ${N}p; \(run) --name ${N}b busybox \(counter)", deadline: 180)
                try await t.sh("\(run) --name ${N}a -p 127.0.0.1:0:80 busybox \(counter)")
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}b")
                // While it writes: what is on the copy is a whole file system.
                try await t.sh(
                    "docker exec -d ${N}a sh -c 'while :; do i=$((i+1)); echo $i >/w/$((i%50)); done'; docker exec ${N}a mkdir /w"
                )
                for number in 1...3 { try await t.sh("\(skala) snapshot -q ${N}a", prints: "s\(number)") }
                try await t.sh(
                    """
                    id=$(docker inspect -f '{{.Id}}' ${N}a); cp $ENGINE/data/containers/$id/snapshots/s2/disk d
                    /sbin/e2fsck -fn d >e2fsck.log 2>&1 || { cat e2fsck.log; false; }
                    """)
                let before = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                try await t.sh("docker exec ${N}a sh -c 'echo later >/later'")
                // One that is paused, too.
                try await t.sh("docker pause ${N}a; \(skala) snapshot -q ${N}a still", prints: "\(t.name)a\nstill")
                try await t.sh("\(skala) restore -q ${N}a s3", prints: "\(t.name)a")
                try await t.fails("docker exec ${N}a cat /later", 1, "No such file")
                let after = try #require(Int(try await t.sh("docker exec ${N}a cat /count")))
                #expect(after < before, "it began anew: \(before) \(after)")
                try await t.sh("\(skala) clone -q --count 2 ${N}a", prints: "\(t.name)a-1\n\(t.name)a-2")
                let each = "for c in ${N}a ${N}a-1 ${N}a-2 ${N}b; do"
                try await t.sh("\(each) docker inspect -f '{{.State.Pid}}' $c; done | sort -u", prints: pid)
                try await t.sh("\(each) docker exec $c hostname; done | sort -u | wc -l", prints: "4")
                try await t.sh("docker port ${N}a-1 80; docker port ${N}a-2 80", has: "127.0.0.1:")
                try await t.sh("docker exec ${N}a-1 sh -c 'echo mine >/mine'; docker exec ${N}a-2 ls /w", has: "1")
                try await t.fails("docker exec ${N}a-2 cat /mine", 1, "No such file")
                // The neighbour has counted all the time.
                try await t.sh(
                    "docker logs ${N}b | awk 'NR > 1 && $1 != last + 1 { print \"gap\" } { last = $1 }'", prints: "")
                try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}b", prints: pid)
                try await t.sh("\(skala) pod rm -f ${N}p; docker ps -aq --filter name=${N} | wc -l", has: "0")
            }
        }

        @Test func conversionIntoAPodAndOutOfIt() async throws {
            try await Session.run { t in
                let (skala, look) = (SnapshotTests.skala, SnapshotTests.look)
                try await t.sh("docker network create ${N}n >/dev/null; \(skala) pod create ${N}p --network ${N}n")
                try await t.sh(
                    """
                    docker run -d --name ${N}a --network ${N}n --network-alias ${N}alias -p 127.0.0.1:0:80 -v ${N}v:/vol busybox \
                    \(SnapshotTests.files)
                    """)
                try await t.eventually("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                let identity = "docker inspect -f '{{.Id}} {{.Name}}' ${N}a"
                let address = "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${N}a"
                let (before, own) = (try await t.sh(identity), try await t.sh(address))
                let pods = try await t.sh("\(skala) pod inspect --format '{{.IPAddress}}' ${N}p")
                // Into one that there is: the address is the pod's, and it is said.
                try await t.sh(
                    "\(skala) convert -q ${N}a --to pod --pod ${N}p 2>&1",
                    prints: "skala: warning: Its address was \(own), and is \(pods) now.\n\(t.name)a", deadline: 180)
                try await t.sh("docker exec ${N}a \(look)", prints: SnapshotTests.seen)
                try await t.sh(identity, prints: before)
                try await t.sh(address, prints: pods)
                try await t.sh("docker inspect -f '{{.HostConfig.Runtime}} {{.Pod}}' ${N}a", prints: "pod \(t.name)p")
                try await t.sh(
                    "docker run --rm --network ${N}n busybox ping -c 1 -W 5 ${N}alias", has: "1 packets received")
                try await t.sh("\(skala) snapshot -q ${N}a in", prints: "in")
                // Out of it: its own address is still free.
                try await t.sh("\(skala) convert -q ${N}a --to microvm 2>/dev/null", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a \(look); \(address)", prints: SnapshotTests.seen + "\n" + own)
                try await t.sh("docker inspect -f '{{.HostConfig.Annotations}}' ${N}a", prints: "map[]")
                try await t.fails("\(skala) restore ${N}a in", 1, "convert it first")
                // Into one of its own, which takes the address over, and gives it back.
                try await t.sh("\(skala) convert -q ${N}a --to pod 2>&1", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a sh -c 'echo in >/in'; \(address)", prints: own)
                try await t.sh("\(skala) pod ls --format '{{.Name}}' | grep -c ${N}", prints: "2")
                try await t.sh("\(skala) convert -q ${N}a --to container 2>&1", prints: "\(t.name)a")
                try await t.sh("docker exec ${N}a cat /in; \(address); \(identity)", prints: "in\n\(own)\n\(before)")
                try await t.sh("\(skala) pod ls --format '{{.Name}}' | grep ${N}", prints: "\(t.name)p")
                // One that is stopped stays stopped, and belongs to the pod.
                try await t.sh(
                    "docker stop ${N}a >/dev/null; \(skala) convert -q ${N}a --to pod --pod ${N}p 2>&1",
                    has: "Its address is that of pod \(t.name)p")
                try await t.fails("\(skala) pod rm ${N}p", 1, "has 1 container")
                try await t.sh(
                    "docker start ${N}a >/dev/null; docker exec ${N}a cat /in; \(address)", prints: "in\n\(pods)")
                // What does not fit is refused, and nothing has changed.
                try await t.sh("docker run -d --name ${N}c busybox sleep 1000")
                try await t.fails("\(skala) convert ${N}c --to pod --pod ${N}p", 1, "share the network \(t.name)n")
                try await t.fails("\(skala) convert ${N}c --to microvm --pod ${N}p", 1, "only at isolation pod")
                try await t.fails("\(skala) convert ${N}c --to machine", 1, "boots from a disk")
                try await t.sh(
                    "docker inspect -f '{{.State.Running}} {{.HostConfig.Runtime}}' ${N}c", prints: "true container")
                try await t.sh(
                    "\(skala) pod rm -f ${N}p; docker rm -f ${N}c; \(skala) pod ls | grep -c ${N} || true", has: "0")
            }
        }

        @Test func whatCannotBeIsRefused() async throws {
            try await Session.run { t in
                let skala = SnapshotTests.skala
                try await t.sh("docker run -d --name ${N}a --network host busybox sleep 1000")
                try await t.fails("\(skala) convert ${N}a --to microvm", 1, "--network host is not possible")
                try await t.fails("\(skala) convert ${N}a --to container", 1, "at isolation container already")
                try await t.fails("\(skala) convert ${N}a --to heaven", 1, "unknown isolation 'heaven'")
                try await t.sh("docker inspect -f '{{.State.Running}}' ${N}a", prints: "true")
                try await t.sh("\(skala) snapshot -q ${N}a x", prints: "x")
                try await t.fails("\(skala) snapshot ${N}a x", 1, "has a snapshot 'x' already")
                try await t.fails("\(skala) snapshot ${N}a ../x", 1, "invalid name of a snapshot")
                try await t.fails("\(skala) restore ${N}a nosuch", 1, "has no snapshot 'nosuch'")
                try await t.fails("\(skala) snapshot rm ${N}a nosuch", 1, "has no snapshot 'nosuch'")
                try await t.fails("\(skala) snapshot nosuch", 1, "No such container")
                try await t.fails("\(skala) clone ${N}a --count 101", 1, "from 1 to 100")
                try await t.fails("\(skala) clone ${N}a ${N}a", 1, "already in use")
                try await t.sh(
                    "docker run -d --name ${N}b --runtime microvm -v ${N}v:/v busybox sleep 1000", deadline: 180)
                try await t.fails("\(skala) snapshot ${N}b", 1, "folders of the host")
                try await t.fails("\(skala) clone ${N}b ${N}c", 1, "--disk-only")
                try await t.sh("docker pause ${N}b")
                try await t.fails("\(skala) snapshot --disk-only ${N}b", 1, "unpause it first")
                try await t.sh(
                    "docker unpause ${N}b; \(skala) snapshot -q --disk-only ${N}b y", prints: "\(t.name)b\ny")
                try await t.sh("\(skala) convert -q ${N}b --to container", prints: "\(t.name)b")
                try await t.fails("\(skala) restore ${N}b y", 1, "convert it first")
                try await t.sh("docker ps -aq --filter name=${N} | wc -l", prints: "2")
            }
        }

        /// Killed at any moment, the daemon finds an instance that is whole, and nothing else.
        @Test(arguments: ["snapshot", "clone --count 2", "convert", "restore"]) func daemonIsKilled(verb: String)
            async throws
        {
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                let skala = SnapshotTests.skala
                try await t.sh(
                    "docker run -d --name aa --runtime microvm busybox \(SnapshotTests.counter)", deadline: 180)
                try await t.sh("docker exec aa sh -c 'echo kept >/kept'; \(skala) snapshot -q aa base", prints: "base")
                for delay in [50, 150, 300, 500, 800, 1300] {
                    let command =
                        switch verb {
                        case "convert":
                            "to=container; [ $(docker inspect -f '{{.HostConfig.Runtime}}' aa) = container ] && to=microvm; "
                                + "\(skala) convert aa --to $to"
                        case "restore":
                            "docker inspect -f '{{.HostConfig.Runtime}}' aa; \(skala) restore aa base"
                        default: "\(skala) \(verb) aa"
                        }
                    async let working = t.raw("(\(command)) 2>&1", deadline: 60)
                    try await Task.sleep(for: .milliseconds(delay))
                    engine.endDaemon(SIGKILL)
                    _ = try await working
                    try await engine.startDaemon(options: ["--accelerator", "tcg", "--spare-vms", "0"])
                    // A conversion or restoration that was cut short may have stopped it.
                    try await t.sh("docker start aa >/dev/null; docker exec aa cat /kept", prints: "kept")
                    let before = try await t.sh("docker exec aa cat /count")
                    try await t.sh(
                        "for i in $(seq 50); do [ \"$(docker exec aa cat /count)\" != \(before) ] && echo counts && break; done",
                        prints: "counts")
                    try await t.sh(
                        "docker ps -aq --no-trunc | grep -v $(docker inspect -f '{{.Id}}' aa) | xargs -r docker rm -f >/dev/null"
                    )
                    try await t.sh("ls $ENGINE/data/containers | wc -l", prints: "1")
                    try await t.sh(
                        "\(skala) snapshot ls -q aa | sort",
                        prints: t.sh("ls -A $ENGINE/data/containers/*/snapshots | sort"))
                    let runtime = try await t.sh("docker inspect -f '{{.HostConfig.Runtime}}' aa")
                    try await t.sh(
                        "ls $ENGINE/run/vm 2>/dev/null | grep -v root | wc -l", prints: runtime == "microvm" ? "1" : "0"
                    )
                    try await t.sh("ls $ENGINE/data/containers/* | grep -c '\\.new' || true", prints: "0")
                }
                try await t.sh("docker rm -f aa >/dev/null; ls $ENGINE/data/containers | wc -l", prints: "0")
                try await t.sh("ls $ENGINE/data/machines/running | wc -l", prints: "0")
            }
        }

        /// QEMU is killed while its VM is captured: nothing of the snapshot stays, and the instance has ended.
        @Test func machineIsKilled() async throws {
            try await Session.run { t in
                let skala = SnapshotTests.skala
                try await t.sh(
                    "docker run -d --name ${N}a --runtime microvm busybox \(SnapshotTests.counter)", deadline: 180)
                for delay in ["0.02", "0.1", "0.2", "0.3"] {
                    let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}a")
                    try await t.sh(
                        "(sleep \(delay); kill -9 \(pid)) & \(skala) snapshot -q ${N}a 2>&1 || true; wait; docker wait ${N}a",
                        has: "137")
                    let id = try await t.sh("docker inspect -f '{{.Id}}' ${N}a")
                    try await t.sh(
                        "\(skala) snapshot ls -q ${N}a | sort",
                        prints: t.sh("ls -A $ENGINE/data/containers/\(id)/snapshots | sort"))
                    try await t.sh("docker start ${N}a >/dev/null")
                    try await t.eventually("docker exec ${N}a cat /count | grep -c .", prints: "1")
                }
            }
        }
    }
}
