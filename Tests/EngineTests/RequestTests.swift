import Base
import Networks
import Testing

@testable import Engine

/// Parts of a create request.
struct RequestTests {
    private func mounts(_ host: JSON, _ config: JSON = [:]) throws -> [ContainerRecord.Mount] {
        try MountParser(host: host, config: config).mounts
    }

    @Test func bindsAndVolumesAreRead() throws {
        let mounts = try mounts(
            ["Binds": ["/src:/dst", "/a//b/../c:/x/./y/:ro,rslave", "data:/data", "data2:/d2:nocopy,z", "/anonymous"]])
        #expect(mounts.map(\.type) == ["bind", "bind", "volume", "volume", "volume"])
        #expect(mounts.map(\.source) == ["/src", "/a/c", "", "", ""])
        #expect(mounts.map(\.name) == ["", "", "data", "data2", ""])
        #expect(mounts.map(\.destination) == ["/dst", "/x/y", "/data", "/d2", "/anonymous"])
        #expect(mounts.map(\.isReadOnly) == [false, true, false, false, false])
        #expect(mounts.map(\.propagation) == ["rprivate", "rslave", "", "", ""])
        #expect(mounts.map(\.copiesUp) == [false, false, true, false, true])
        #expect(mounts.map(\.isAnonymous) == [false, false, false, false, true])
    }

    @Test func elementsOfMountsAreRead() throws {
        let mounts = try mounts([
            "Mounts": [
                [
                    "Type": "bind", "Source": "/s", "Target": "/b", "ReadOnly": true,
                    "BindOptions": ["Propagation": "shared"],
                ],
                ["Type": "volume", "Source": "vol", "Target": "/v", "VolumeOptions": ["NoCopy": true]],
                ["Type": "tmpfs", "Target": "/t", "TmpfsOptions": ["SizeBytes": 1024, "Mode": 511]],
                ["Type": "volume", "Target": "/w"],
            ], "Tmpfs": ["/run": "size=1m,mode=700"],
        ])
        #expect(mounts.map(\.type) == ["bind", "volume", "tmpfs", "volume", "tmpfs"])
        #expect(mounts[0].isReadOnly && mounts[0].propagation == "shared" && mounts[0].mode == "mount")
        #expect(!mounts[1].copiesUp && mounts[1].name == "vol" && !mounts[1].isAnonymous)
        #expect(mounts[2].options == ["size=1024", "mode=777"])
        #expect(mounts[3].isAnonymous && mounts[3].copiesUp)
        #expect(mounts[4].options == ["size=1m", "mode=700"])
    }

    @Test func imagesVolumesAreAnonymousUnlessMounted() throws {
        let mounts = try mounts(["Binds": ["named:/data"]], ["Volumes": ["/data/": [:], "/cache": [:]]])
        #expect(mounts.map(\.destination) == ["/data", "/cache"])
        #expect(mounts.map(\.name) == ["named", ""])
    }

    @Test(
        arguments: [
            ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"), (":/x", "invalid volume specification: ':/x'"),
            ("/a:", "invalid volume specification: '/a:'"), ("", "invalid volume specification: ''"),
            ("/a:/b:rw,nonsense", "invalid volume specification: '/a:/b:rw,nonsense': invalid mode: rw,nonsense"),
            ("/a:relative", "invalid mount path: 'relative' mount path must be absolute"),
            ("/a:/", "invalid volume specification: destination can't be '/'"),
            ("/a:/x/..", "invalid volume specification: destination can't be '/'"),
            ("a/b:/x", "includes invalid characters for a local volume name"), ("x:/x", "includes invalid characters"),
            ("../up:/x", "includes invalid characters"), (".hidden:/x", "includes invalid characters"),
        ])
    func impossibleBindsAreRefusedInDockersWords(bind: String, text: String) {
        let error = #expect(throws: SkalaError.self) { try mounts(["Binds": [JSON(bind)]]) }
        #expect(error?.code == .invalid && error?.message.contains(text) == true, "\(error?.message ?? "")")
    }

    @Test func impossibleMountsAreRefused() {
        for host: JSON in [
            ["Binds": ["/a:/x", "/b:/x/"]], ["Mounts": [["Type": "bind", "Source": "rel", "Target": "/x"]]],
            ["Mounts": [["Type": "npipe", "Source": "/a", "Target": "/x"]]], ["Mounts": [["Type": "volume"]]],
            ["Mounts": [["Type": "tmpfs", "Target": "/t", "ImageOptions": ["Subpath": "x"]]]],
            ["Tmpfs": ["relative": ""]],
        ] {
            #expect(throws: SkalaError.self) { try mounts(host) }
        }
        let twice = #expect(throws: SkalaError.self) { try mounts(["Binds": ["/a:/x", "/b:/x/"]]) }
        #expect(twice?.message == "Duplicate mount point: /x")
    }

    @Test(
        arguments: [
            ("/a/b", "/a/b"), ("/a//b/", "/a/b"), ("/a/./b/../c", "/a/c"), ("/../..", "/"), ("a/../b", "b"), ("", ""),
            ("/", "/"),
        ])
    func pathsAreCleaned(path: String, clean: String) { #expect(MountParser.clean(path) == clean) }

    private func published(_ bindings: JSON, all: Bool = false, exposed: JSON = [:]) throws -> [PortRequest] {
        try PortBindings.published(
            hostConfig: ["PortBindings": bindings, "PublishAllPorts": JSON(all)], config: ["ExposedPorts": exposed])
    }

    @Test func portsAreRead() throws {
        let ports = try published(
            [
                "80/tcp": [["HostIp": "127.0.0.1", "HostPort": "8080"], ["HostPort": ""]],
                "53/udp": [["HostPort": "53-55"]],
                "90": .null,
            ], all: true, exposed: ["80/tcp": [:], "443/tcp": [:]])
        #expect(ports.map(\.containerPort) == [80, 80, 53, 443])
        #expect(ports.map(\.hostPorts) == [8080...8080, nil, 53...55, nil])
        #expect(ports.map(\.protocol) == ["tcp", "tcp", "udp", "tcp"])
        #expect(ports[0].hostIP == "127.0.0.1")
        let settings = PortBindings.settings(
            [PublishedPort(hostIP: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp")],
            exposed: ["80/tcp", "443/tcp"])
        #expect(settings == ["80/tcp": [["HostIp": "127.0.0.1", "HostPort": "8080"]], "443/tcp": .null])
    }

    @Test(arguments: ["", "0/tcp", "65536/tcp", "x/tcp", "-1/tcp", "+80/tcp", "80/icmp", "/tcp", "80-81/tcp"])
    func impossiblePortsAreRefused(key: String) {
        #expect(throws: SkalaError.self) { try published([key: [["HostPort": "80"]]]) }
    }

    @Test(arguments: ["x", "65536", "-1", "+80", "80 ", "9-8", "8-", "0-5", "1-2-3", "1-65536"])
    func impossibleHostPortsAreRefused(text: String) {
        let error = #expect(throws: SkalaError.self) { try published(["80/tcp": [["HostPort": JSON(text)]]]) }
        #expect(error?.message == "invalid port specification: \"\(text)\"")
    }

    @Test func impossibleHostAddressesAreRefused() {
        for address: JSON in ["localhost", "127.0.0.1 }; flush ruleset", "1.2.3", "::g"] {
            #expect(throws: SkalaError.self) {
                try published(["80/tcp": [["HostIp": address, "HostPort": "80"]]])
            }
        }
    }

    private let users = UserLookup(
        passwd: """
            root:x:0:0:root:/root:/bin/sh
            web:x:1000:50:Web:/srv:/bin/false
            nohome:x:1001:1001:::
            broken
            12:x:77:78::/digits:
            short:x:1002
            """,
        group: "root:x:0:\nwww:x:50:\naudio:x:29:web,other\nvideo:x:44:web\nbad\nodd:x:x:web\n")

    @Test(
        arguments: [
            ("", 0, 0, [], "/root"), ("root", 0, 0, [], "/root"), ("web", 1000, 50, [29, 44], "/srv"),
            ("1000", 1000, 50, [29, 44], "/srv"), ("web:video", 1000, 44, [], "/srv"), ("web:7", 1000, 7, [], "/srv"),
            ("4242", 4242, 0, [], "/"), ("4242:4243", 4242, 4243, [], "/"), (":www", 0, 50, [], "/root"),
            ("nohome", 1001, 1001, [], "/"), ("12", 77, 78, [], "/digits"), ("short", 1002, 0, [], "/"),
            ("web:", 1000, 50, [29, 44], "/srv"),
        ] as [(String, Int64, Int64, [Int64], String)])
    func usersAreFound(text: String, uid: Int64, gid: Int64, groups: [Int64], home: String) throws {
        let found = try users.find(text, groups: [])
        #expect(found.user["uid"].int == uid && found.user["gid"].int == gid && found.home == home)
        // The primary group may be among them, so that a set-group-id program cannot shed it.
        let additional = (found.user["additionalGids"].array ?? []).compactMap(\.int)
        #expect(additional.filter { $0 != gid } == groups)
    }

    @Test func unknownUsersAreNamedInDockersWords() throws {
        let user = #expect(throws: SkalaError.self) { try users.find("nobody", groups: []) }
        #expect(user?.message == "unable to find user nobody: no matching entries in passwd file")
        for text in ["web:none", "-1", "4294967296", "broken"] {
            #expect(throws: SkalaError.self, "\(text)") { try users.find(text, groups: []) }
        }
        let group = #expect(throws: SkalaError.self) { try users.find("web", groups: ["none"]) }
        #expect(group?.message == "unable to find group none: no matching entries in group file")
        let more = try users.find("web", groups: ["www", "9"]).user["additionalGids"].array ?? []
        #expect(Set(more.compactMap(\.int)) == [29, 44, 50, 9])
        let empty = UserLookup(passwd: "", group: "")
        let root = try empty.find("", groups: []).user
        #expect(root["uid"] == 0 && root["gid"] == 0)
        #expect(throws: SkalaError.self) { try empty.find("root", groups: []) }
    }

    @Test func limitsOfVMsAreParted() throws {
        let (host, guest) = MachineLimits.part([
            "cpu": ["quota": 50000, "period": 100_000, "cpus": "1"], "memory": ["limit": 1024],
            "blockIO": ["weight": 100],
        ])
        #expect(host == ["cpu": ["quota": 50000, "period": 100_000, "cpus": "1"], "blockIO": ["weight": 100]])
        #expect(guest["memory"]["limit"] == 1024 && guest["cpu"]["quota"] == 50000)
        #expect(guest["cpu"]["cpus"].isNull && guest["blockIO"].isNull)
        #expect(MachineLimits.part(["pids": ["limit": 5]]).host == [:])
    }
}
