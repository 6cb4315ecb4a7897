import Base
import OCI
import Testing

struct RuntimeSpecTests {
    private static let whole = """
        {"ociVersion": "1.2.0",
         "process": {"terminal": true, "consoleSize": {"height": 24, "width": 80},
           "user": {"uid": 1000, "gid": 50, "umask": 18, "additionalGids": [5, 6]},
           "args": ["sh", "-c", "true"], "env": ["A=b"], "cwd": "/work dir",
           "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "ambient": ["CAP_KILL"]},
           "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 18446744073709551615},
                       {"type": "RLIMIT_CORE", "soft": 0, "hard": -1}],
           "noNewPrivileges": true, "oomScoreAdj": -5, "apparmorProfile": ""},
         "root": {"path": "rootfs", "readonly": true}, "hostname": "h", "domainname": "d",
         "mounts": [{"destination": "proc", "type": "proc", "source": "proc"},
                    {"destination": "/data", "type": "bind", "source": "/x", "options": ["rbind", "ro"]}],
         "annotations": {"a": "b"},
         "linux": {
           "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/ns"}, {"type": "mount", "path": ""}],
           "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
           "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 1, "gid": 2}],
           "cgroupsPath": "/a/b", "sysctl": {"net.core.somaxconn": "256"},
           "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "rootfsPropagation": "rslave",
           "resources": {
             "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": ""},
             "memory": {"limit": 67108864, "swap": -1, "reservation": 0, "swappiness": 0, "disableOOMKiller": false},
             "pids": {"limit": 100},
             "blockIO": {"weight": 300, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]},
             "hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "unified": {"memory.high": "1"},
             "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": -1, "minor": 3, "access": "r"}]}}}
        """

    @Test func aWholeSpecIsRead() throws {
        let spec = try RuntimeSpec(JSON(parsing: RuntimeSpecTests.whole))
        let process = try #require(spec.process)
        #expect(process.arguments == ["sh", "-c", "true"] && process.directory == "/work dir" && process.terminal)
        #expect((process.rows, process.columns) == (24, 80))
        #expect(process.uid == 1000 && process.gid == 50 && process.groups == [5, 6] && process.umask == 18)
        #expect(process.capabilities?.bounding == ["CAP_CHOWN"] && process.capabilities?.ambient == ["CAP_KILL"])
        #expect(process.limits.map(\.hard) == [.max, .max] && process.limits.map(\.soft) == [1024, 0])
        #expect(process.noNewPrivileges && process.oomScoreAdjust == -5)
        #expect(spec.rootPath == "rootfs" && spec.rootReadonly && spec.hostname == "h" && spec.domainname == "d")
        #expect(spec.mounts.map(\.destination) == ["/proc", "/data"])
        #expect(spec.mounts[1].options == ["rbind", "ro"])
        #expect(spec.namespace(.network)?.path == "/run/ns" && spec.namespace(.mount)?.path == nil)
        #expect(spec.namespace(.user) == nil && spec.uidMappings.map(\.line) == ["0 100000 65536"])
        #expect(spec.devices.map(\.mode) == [0o666] && spec.devices[0].minor == 229 && spec.devices[0].gid == 2)
        #expect(spec.resources.cpuShares == 512 && spec.resources.cpus == "0-1" && spec.resources.mems == nil)
        #expect(spec.resources.memorySwap == -1 && spec.resources.memoryReservation == nil)
        #expect(spec.resources.pidsLimit == 100 && spec.resources.blockWeight == 300)
        #expect(spec.resources.readBytes.map(\.value) == [1000] && spec.resources.readBytes[0].major == 8)
        #expect(spec.resources.hugePages.map(\.size) == ["2MB"] && spec.resources.unified.map(\.key) == ["memory.high"])
        #expect(spec.resources.devices.map(\.type) == ["a", "c"])
        #expect(spec.resources.devices[1].major == nil && spec.resources.devices[1].minor == 3)
        #expect(spec.rootfsPropagation == "rslave" && spec.annotations.map(\.value) == ["b"])
    }

    /// A change of the whole spec, and a word the error must hold.
    @Test(
        arguments: [
            ("process.args", #"[]"#, "process.args"), ("process.args", #"[""]"#, "process.args"),
            ("process.args", #"["a\u0000b"]"#, "zero byte"), ("process.env", #"["A=\u0000"]"#, "zero byte"),
            ("process.cwd", #""relative""#, "process.cwd"), ("process.user", #"{"uid": -1}"#, "uid"),
            ("process.user", #"{"uid": 4294967295}"#, "uid"), ("process.user", #"{"gid": "x"}"#, "gid"),
            ("process.user", #"{"additionalGids": [1e20]}"#, "additionalGids"),
            ("process.rlimits", #"[{"type": "X"}]"#, "rlimits"), ("process.rlimits", #"{}"#, "process.rlimits"),
            ("process.apparmorProfile", #""docker-default""#, "AppArmor"),
            ("process.selinuxLabel", #""system_u""#, "SELinux"), ("mounts", #"[{}]"#, "destination"),
            ("mounts", #"[{"destination": "/a", "source": "\u0000"}]"#, "zero byte"), ("mounts", "3", "mounts"),
            ("linux.namespaces", #"[{"type": "pid"}, {"type": "pid"}]"#, "twice"),
            ("linux.namespaces", #"[{"type": "moon"}]"#, "moon"),
            ("linux.uidMappings", #"[{"containerID": 0}]"#, "mapping"),
            ("linux.uidMappings", #"[{"containerID": 0, "hostID": 0, "size": 0}]"#, "mapping"),
            ("linux.devices", #"[{"path": "dev/x", "type": "c"}]"#, "device"),
            ("linux.devices", #"[{"path": "/dev/x", "type": "q"}]"#, "type"),
            ("linux.resources", #"{"unified": {"../x": "1"}}"#, "unified"),
            ("linux.resources", #"{"devices": [{"allow": true, "access": "z"}]}"#, "device rule"),
            ("linux.resources", #"{"blockIO": {"throttleReadBpsDevice": [{"major": 1}]}}"#, "major"),
            ("linux.intelRdt", #"{"closID": "a"}"#, "intelRdt"),
        ])
    func whatIsWrongIsNamed(field: String, value: String, word: String) throws {
        var document = try JSON(parsing: RuntimeSpecTests.whole)
        let parts = field.split(separator: ".").map(String.init)
        let new = try JSON(parsing: value)
        if parts.count == 1 { document[parts[0]] = new } else { document[parts[0]][parts[1]] = new }
        let error = #expect(throws: SkalaError.self) { try RuntimeSpec(document) }
        #expect([.invalid, .unsupported].contains(error?.code))
        #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }

    @Test func theLeastIsEnough() throws {
        let spec = try RuntimeSpec([:])
        #expect(spec.process == nil && spec.mounts.isEmpty && spec.namespaces.isEmpty)
        #expect(throws: SkalaError.self) { try RuntimeSpec([]) }
        #expect(throws: SkalaError.self) { try RuntimeSpec(.null) }
    }
}
