import Base
import Glibc
import Testing

extension Integration {
    /// VMs from a disk of their own. The disk is made of Debian packages by Scripts/disk.sh; it boots in some seconds.
    @Suite(.serialized) struct MachineTests {
        /// What a machine's console shows within a minute.
        static let waiting = """
            shows() { timeout 60 sh -c 'until docker logs '$1' 2>&1 | grep -q "'"$2"'"; do sleep 0.1; done' \
            || { docker logs $1 | tail -n 20 >&2; return 1; }; }
            """
        /// Logs in at the console of machine `$1`, runs the command `$2`, and leaves.
        static let console = """
            at() { $SUPPORT/terminal.py '' '\\n' "${3:-# }" "$2; echo do\\"ne\\"\\n" 'done' '' '# ' '\\x10\\x11' -- docker attach $1 || true; }
            """

        static func obstacle() -> String? {
            let needed = ["syslinux", "mcopy", "mkfs.fat", "sfdisk", "qemu-img", "depmod", "cpio", "mkfs.ext4"]
            let folders = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"]
            let missing = needed.filter { name in !folders.contains { access($0 + name, X_OK) == 0 } }
            return missing.isEmpty ? nil : "needs \(missing.joined(separator: ", ")) to make a disk"
        }

        /// Runs `body` with the image `${N}disk`.
        static func withDisk(_ body: (Session) async throws -> Void) async throws {
            if let obstacle = MachineTests.obstacle() { return skip("MachineTests", obstacle) }
            try await Session.run { t in
                try await MachineTests.importDisk(t)
                try await body(t)
            }
        }

        static func importDisk(_ t: Session) async throws {
            try await t.sh(
                "$PROGRAMS/skala machine import ${N}disk $(REAL_HOME=~root sh $SUPPORT/disk.sh 2>disk.log || cat disk.log >&2)",
                deadline: 120)
        }

        @Test func lifeOfAMachine() async throws {
            try await MachineTests.withDisk { t in
                let (waiting, console) = (MachineTests.waiting, MachineTests.console)
                try await t.sh("docker network create ${N}n")
                try await t.sh(
                    """
                    docker run -dit --runtime machine --name ${N}a --network ${N}n --network-alias ${N}alias -p 127.0.0.1::80 \
                    -m 128m --cpus 1 --storage-opt size=100M -e COLOR=red --hostname box --cgroup-parent ${N}group ${N}disk
                    """, deadline: 120)
                try await t.sh(
                    "grep -q ${N}group/[0-9a-f]*$ /proc/$(docker inspect -f '{{.State.Pid}}' ${N}a)/cgroup && echo there",
                    prints: "there")
                // It booted, from a disk of the size that was asked for, with the address that cloud-init's data told it.
                try await t.sh("\(waiting); shows ${N}a 'box is up'", deadline: 70)
                let address = try await t.sh(
                    "docker inspect -f '{{(index .NetworkSettings.Networks \"'${N}n'\").IPAddress}}' ${N}a")
                try await t.sh("docker logs ${N}a", has: "box is up: disk 204800 sectors, 1 processors, \(address)/16")
                try await t.sh("curl -sf http://$(docker port ${N}a 80)/", prints: "hello from box")
                for isolation in IsolationTests.all {
                    try await t.sh(
                        "docker run --rm --runtime \(isolation) --network ${N}n busybox wget -q -O - http://${N}alias/",
                        prints: "hello from box", deadline: 120)
                }
                try await t.sh(
                    "docker run --rm --network ${N}n busybox wget -q -O - http://${N}alias.skala.internal/",
                    prints: "hello from box")
                // Somebody logs in at its console, and finds the variable.
                try await t.sh(
                    """
                    \(console); $SUPPORT/terminal.py '' '\\n' 'login: ' 'root\\n' '# ' \
                    'cat /etc/environment; echo kept >/root/f; echo do"ne"\\n' 'done' '' '# ' '\\x10\\x11' -- docker attach ${N}a || true
                    """, has: "COLOR=red")
                // The disk grows under it.
                try await t.sh("$PROGRAMS/skala machine resize ${N}a 120M", prints: "\(t.name)a")
                try await t.sh("\(console); at ${N}a 'cat /sys/block/vda/size'", has: "245760")
                try await t.fails("$PROGRAMS/skala machine resize ${N}a 110M", 1, "a disk is not made smaller")
                try await t.sh(
                    "docker stats --no-stream --format '{{.NetIO}} {{.MemUsage}}' ${N}a", has: "kB / ", "640MiB")
                // Its power button is pressed, and it goes down by itself.
                try await t.sh(
                    "docker stop ${N}a; docker inspect -f '{{.State.ExitCode}}' ${N}a", prints: "\(t.name)a\n0")
                try await t.sh("docker logs ${N}a", has: "the power button was pressed", "Power down")
                // What was written is there after the next start; the size that was given meanwhile is, too.
                try await t.sh("$PROGRAMS/skala machine resize ${N}a 130M && docker start ${N}a")
                try await t.sh("\(waiting); shows ${N}a 'disk 266240 sectors'", deadline: 70)
                try await t.sh(
                    "$SUPPORT/terminal.py '' '\\n' 'login: ' 'root\\n' '# ' 'cat /root/f; poweroff\\n' -- timeout 15 docker attach ${N}a",
                    has: "kept")
                // Down by the guest's own will.
                try await t.sh("docker wait ${N}a", prints: "0")
                try await t.sh(
                    """
                    id=$(docker inspect -f '{{.Id}}' ${N}a); docker rm ${N}a >/dev/null; start=$(echo $id | cut -c1-12)
                    ls -d $ENGINE/data/containers/$id $ENGINE/run/vm/$start /sys/class/net/skv$start \
                        /sys/fs/cgroup/*/skala-*$(basename $ENGINE)-run/${N}group 2>/dev/null || echo gone
                    """, prints: "gone")
            }
        }

        @Test func addressByDHCPAndImagesOfDisks() async throws {
            try await MachineTests.withDisk { t in
                let waiting = MachineTests.waiting
                try await t.sh("printf '#cloud-config\\n# say: NETWORK=dhcp\\n# say: from the user\\n' >data")
                try await t.sh(
                    "$PROGRAMS/skala run -d --isolation machine --name ${N}a --user-data data -m 128m --cpus 1 ${N}disk",
                    deadline: 120)
                try await t.sh("\(waiting); shows ${N}a 'is up'", deadline: 70)
                let address = try await t.sh("docker inspect -f '{{.NetworkSettings.IPAddress}}' ${N}a")
                try await t.sh(
                    "docker logs ${N}a", has: "DHCP gave \(address)/", "mtu 1500", "from the user", "\(address)/18")
                // A container that asks gets no answer: it is none of the machines that are known.
                try await t.sh(
                    "docker run --rm --cap-add NET_ADMIN busybox udhcpc -i eth0 -n -q -t 2 -T 1 -s /bin/true 2>&1 || true",
                    has: "no lease")
                // Copies of a running disk and of a stopped one are images of their own.
                try await t.sh("docker commit ${N}a ${N}copy:running >/dev/null; docker kill ${N}a")
                try await t.sh("docker inspect -f '{{.State.ExitCode}}' ${N}a", prints: "137")
                try await t.sh("docker commit ${N}a ${N}copy:stopped >/dev/null; docker rm ${N}a >/dev/null")
                try await t.sh(
                    "docker rmi ${N}disk >/dev/null; docker save -o saved.tar ${N}copy:running ${N}copy:stopped")
                try await t.sh("docker rmi ${N}copy:running ${N}copy:stopped >/dev/null; docker load -q -i saved.tar")
                for tag in ["running", "stopped"] {
                    try await t.sh(
                        "docker run -d --runtime machine --name ${N}\(tag) --network none -m 128m --cpus 1 ${N}copy:\(tag)"
                    )
                }
                for tag in ["running", "stopped"] {
                    try await t.sh("\(waiting); shows ${N}\(tag) 'is up'; docker kill ${N}\(tag)", deadline: 130)
                }
            }
        }

        /// Killed at any moment, the daemon finds the machine again; its console needs none.
        @Test func daemonIsKilled() async throws {
            if let obstacle = MachineTests.obstacle() { return skip("MachineTests", obstacle) }
            try await EngineFixture.with(options: ["--accelerator", "tcg", "--spare-vms", "0"]) { engine in
                let t = try Session(engine)
                try await MachineTests.importDisk(t)
                try await t.sh(
                    """
                    docker run -dit --runtime machine --name mm -m 128m --cpus 1 --restart on-failure -p 127.0.0.1::80 \
                    -e NETWORK=dhcp ${N}disk
                    """)
                engine.endDaemon(SIGKILL)
                // What it says while no daemon is there is kept.
                try await Task.sleep(for: .seconds(2))
                try await engine.startDaemon(options: ["--accelerator", "tcg", "--spare-vms", "0"])
                try await t.sh("\(MachineTests.waiting); shows mm 'is up'", deadline: 70)
                try await t.sh("docker logs mm", has: "SYSLINUX", "DHCP gave")
                try await t.sh("curl -sf http://$(docker port mm 80)/", has: "hello from")
                try await t.sh("docker pause mm; docker inspect -f '{{.State.Status}}' mm", prints: "mm\npaused")
                engine.endDaemon(SIGKILL)
                try await engine.startDaemon()
                try await t.sh("docker inspect -f '{{.State.Status}}' mm; docker unpause mm", prints: "paused\nmm")
                // A QEMU that is killed is a failure, and the policy starts the machine again.
                try await t.sh("kill -KILL $(docker inspect -f '{{.State.Pid}}' mm)")
                try await t.eventually("docker inspect -f '{{.RestartCount}} {{.State.Running}}' mm", prints: "1 true")
                // A stop while it boots: the button is pressed until it is heard.
                try await t.sh("docker stop -t 50 mm; docker inspect -f '{{.State.ExitCode}}' mm", prints: "mm\n0")
                // And one that ends while no daemon is there has ended for the next.
                try await t.sh("docker start mm")
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' mm")
                engine.endDaemon(SIGKILL)
                try await t.sh("kill -KILL \(pid)")
                try await engine.startDaemon()
                try await t.sh(
                    "docker update --restart no mm; docker rm -f mm; ls $ENGINE/run/vm", prints: "mm\nmm\nroot")
                try await t.sh("ls $ENGINE/data/containers | wc -l", prints: "0")
            }
        }

        /// QEMU is nobody, alone, and cannot leave; a dedicated machine has its cores and all of its memory.
        @Test func wallAndAllocation() async throws {
            try await MachineTests.withDisk { t in
                try await t.sh(
                    """
                    docker run -d --runtime machine --name ${N}a -m 128m --cpus 1 --annotation skala.allocation=dedicated \
                    ${N}disk
                    """, deadline: 120)
                let pid = try await t.sh("docker inspect -f '{{.State.Pid}}' ${N}a")
                try await t.sh("awk '/^Uid/ { print ($2 >= 2013265920) }' /proc/\(pid)/status", prints: "1")
                try await t.sh(
                    "grep -E 'CapEff|CapBnd' /proc/\(pid)/status | awk '{ print $2 }' | sort -u",
                    prints: "0000000000000000")
                try await t.sh(
                    "grep -E '^(NoNewPrivs|Seccomp):' /proc/\(pid)/status | awk '{ print $2 }'", prints: "1\n2")
                try await t.sh("nsenter -t \(pid) -n ip -o link | grep -vc ' lo:' || true", prints: "0")
                try await t.sh("ls /proc/\(pid)/root", prints: t.sh("ls $ENGINE/run/vm/root"))
                let cores = try await t.sh("docker inspect -f '{{.Allocation.DedicatedCpus}}' ${N}a")
                try await t.sh(
                    "cat /proc/\(pid)/task/*/status | grep Cpus_allowed_list | awk '{ print $2 }' | sort -u",
                    prints: cores)
                try await t.sh(
                    "[ $(awk '/^VmRSS/ { print $2 }' /proc/\(pid)/status) -ge 131072 ] && echo reserved",
                    prints: "reserved")
                try await t.fails("docker update -m 256m ${N}a", 1, "stop it first")
                try await t.sh("docker update --cpus 0.5 ${N}a && docker rm -f ${N}a")
            }
        }

        @Test func firmwareThatIsUEFI() async throws {
            guard access("/usr/share/OVMF/OVMF_CODE_4M.fd", R_OK) == 0 else {
                return skip("firmwareThatIsUEFI", "needs ovmf")
            }
            try await MachineTests.withDisk { t in
                let run = "docker run -d --runtime machine --name ${N}a --network none -m 128m --cpus 1"
                try await t.sh("\(run) --annotation skala.firmware=uefi ${N}disk", deadline: 120)
                try await t.sh(
                    "\(MachineTests.waiting); shows ${N}a 'UEFI Interactive Shell'; docker kill ${N}a", deadline: 70)
            }
        }

        @Test func whatIsRefused() async throws {
            try await MachineTests.withDisk { t in
                let run = "docker run --rm --runtime machine"
                for (options, reason) in [
                    ("-v /tmp:/tmp", "folders of the host do not reach it"), ("--privileged", "its kernel is its own"),
                    ("--cap-add NET_ADMIN", "its kernel is its own"), ("--network host", "its kernel is its own"),
                    ("--user 1", "its disk says what runs in it"), ("--read-only", "its disk is written"),
                    ("--device /dev/null", "the host's devices stay on the host"),
                    ("--init", "its disk says what runs in it"),
                    ("--health-cmd true", "nothing can be executed in it"),
                    ("--storage-opt size=1M", "smaller than the image's"),
                    ("--annotation skala.firmware=coreboot", "expected bios, uefi"), ("-m 16m", "at least 64MB"),
                ] {
                    try await t.fails("\(run) \(options) ${N}disk", 125, reason)
                }
                try await t.fails("\(run) ${N}disk sh", 125, "its disk says what runs in it")
                try await t.fails("\(run) busybox", 125, "no disk in /disk")
                try await t.sh("docker create --runtime machine --name ${N}a ${N}disk")
                for command in ["cp ${N}a:/etc/passwd .", "diff ${N}a", "export -o x ${N}a"] {
                    try await t.fails("docker \(command)", 1, "nothing of Skala's runs in it")
                }
                // Disks of strangers that would have QEMU open other files, or are none.
                let disk = "$PROGRAMS/skala machine import ${N}x"
                try await t.sh(
                    """
                    qemu-img create -q -f qcow2 base.qcow2 10M; qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
                    qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 10M; qemu-img create -q -f vmdk x.vmdk 10M
                    head -c 100000 base.qcow2 >short.qcow2; echo text >text; head -c 1024 /dev/zero >tiny.img
                    """)
                try await t.fails("\(disk) over.qcow2", 1, "needs a backing file")
                try await t.fails("\(disk) data.qcow2", 1, "keeps its data in another file")
                try await t.fails("\(disk) x.vmdk", 1, "a VMDK disk")
                try await t.fails("\(disk) short.qcow2", 1, "lies outside")
                try await t.fails("\(disk) text", 1, "neither qcow2 nor raw")
                try await t.sh("docker images -q ${N}x", prints: "")
                try await t.sh("\(disk) tiny.img | cut -c1-7; docker images -q ${N}x | wc -l", prints: "sha256:\n1")
                // An image whose disk is a link is none, wherever it leads.
                try await t.sh(
                    "mkdir -p i/disk; ln -s /etc/passwd i/disk/x; tar -C i -c disk | docker import - ${N}link")
                try await t.fails("\(run) ${N}link", 125, "/disk/x")
            }
        }
    }
}
