import Base
import Testing

@testable import SkalaCLI

/// Texts of options and arguments.
struct SpecificationTests {
    @Test(
        arguments: [
            ("80", ["||80/tcp"]), ("8080:80", ["|8080|80/tcp"]), ("8080:80/UDP", ["|8080|80/udp"]),
            ("127.0.0.1:8080:80", ["127.0.0.1|8080|80/tcp"]), ("127.0.0.1::80", ["127.0.0.1||80/tcp"]),
            ("[::1]:8080:80", ["::1|8080|80/tcp"]), ("8000-8001:80-81", ["|8000|80/tcp", "|8001|81/tcp"]),
            ("8000-8010:80", ["|8000-8010|80/tcp"]), ("90-91", ["||90/tcp", "||91/tcp"]),
        ] as [(String, [String])])
    func portsAreRead(text: String, expected: [String]) throws {
        #expect(try PortSpec.parse(text).map { "\($0.hostIP)|\($0.hostPort)|\($0.key)" } == expected)
    }

    @Test(arguments: [
        "", "x", "0", "65536", "80:0", "1:2:3:4", "80/icmp", "80/tcp/udp", "81-80", "8000-8001:80-82", "[::1:80:80",
        "[::1]80", "-80", "80-", ":",
    ])
    func portsThatAreNoneAreRefused(text: String) {
        #expect(throws: SkalaError.self) { try PortSpec.parse(text) }
    }

    @Test func mountsAreRead() throws {
        #expect(
            try MountSpec.mount("type=bind,src=./a,dst=/b,ro,bind-propagation=rslave", directory: "/h") == [
                "Type": "bind", "Source": "/h/./a", "Target": "/b", "ReadOnly": true,
                "BindOptions": ["Propagation": "rslave"],
            ])
        #expect(
            try MountSpec.mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777", directory: "/h") == [
                "Type": "tmpfs", "Source": "", "Target": "/t", "TmpfsOptions": ["SizeBytes": 1_048_576, "Mode": 1023],
            ])
        #expect(
            try MountSpec.mount("source=v,target=/v,volume-opt=type=nfs,volume-nocopy", directory: "/h") == [
                "Type": "volume", "Source": "v", "Target": "/v",
                "VolumeOptions": ["DriverConfig": ["Options": ["type": "nfs"]], "NoCopy": true],
            ])
    }

    @Test(arguments: ["source=a", "target=/b,nope=1", "target=/b,ro=perhaps", "target=/b,tmpfs-mode=9", "type"])
    func mountsThatAreNoneAreRefused(text: String) {
        #expect(throws: SkalaError.self) { try MountSpec.mount(text, directory: "/") }
    }

    @Test func environmentFiles() throws {
        #expect(
            try KeyValue.lines("A=1\r\n  B=x # y\n#C=2\n\nD\nE=", file: "f") == ["A=1", "B=x # y", "D", "E="])
        let error = #expect(throws: SkalaError.self) { try KeyValue.lines("A=1\nB C=2\n", file: "f") }
        #expect(error?.message == "f, line 2: invalid name 'B C'")
    }

    @Test func detachKeys() throws {
        var keys = DetachKeys()
        #expect(keys.take([0x61, 0x10]).passed == [0x61])
        let (passed, isDetached) = keys.take([0x10, 0x11, 0x62])
        #expect(passed == [0x10] && isDetached)
        var other = try DetachKeys(parsing: "ctrl-a,d")
        #expect(other.take([0x01, 0x78]).passed == [0x01, 0x78])
        #expect(other.take([0x01, 0x64]).isDetached)
        for text in ["", "ctrl-", "ab", "ctrl-1", "ctrl-p,"] {
            #expect(throws: SkalaError.self) { try DetachKeys(parsing: text) }
        }
    }

    @Test(
        arguments: [
            ("busybox", "busybox", nil, "docker.io"), ("web:1", "web", "1", "docker.io"),
            ("localhost:5000/a/b", "localhost:5000/a/b", nil, "localhost:5000"),
            ("r.example/a:2", "r.example/a", "2", "r.example"), ("a/b@sha256:00", "a/b", "sha256:00", "docker.io"),
        ] as [(String, String, String?, String)])
    func imageNames(text: String, repository: String, tag: String?, registry: String) {
        let name = ImageName(text)
        #expect(name.repository == repository && name.tag == tag && name.registry == registry)
    }

    @Test func moments() throws {
        let now = Timestamp(seconds: 1_000_000)
        #expect(try TimeText.unix("10m", now: now) == "999400.000000000")
        #expect(try TimeText.unix("1.5s", now: now) == "999998.500000000")
        #expect(try TimeText.unix("1970-01-01T00:00:05.25Z", now: now) == "5.250000000")
        #expect(try TimeText.unix("77", now: now) == "77.000000000")
        #expect(throws: SkalaError.self) { try TimeText.unix("yesterday", now: now) }
    }

    @Test(
        arguments: [
            ("web:/etc", .container(name: "web", path: "/etc")), ("./a:b", .local("./a:b")), ("/a:b", .local("/a:b")),
            ("-", .local("-")), ("dir/a:b", .local("dir/a:b")), ("web:etc", .container(name: "web", path: "etc")),
        ] as [(String, CopyEnd)])
    func endsOfACopy(text: String, end: CopyEnd) {
        #expect(CopyEnd(text) == end)
    }

    @Test func pathsOfACopy() {
        #expect(CopyPath.name("/a/b/") == "b" && CopyPath.folder("/a/b/") == "/a" && CopyPath.folder("/a") == "/")
        #expect(CopyPath.folder("a") == "." && CopyPath.meansContents("a/.") && !CopyPath.meansContents("a."))
    }

    @Test func whatNeedNotBeSentToTheBuilder() {
        #expect(
            BuildContext.plainPaths("# c\n.git\nnode_modules/\n*.o\n/build\nDockerfile\n../x\n") == [
                ".git", "node_modules", "build",
            ])
        #expect(BuildContext.plainPaths(".git\n!.git/config\n") == [])
    }

    @Test func filters() throws {
        let query = try API.filters(["label=a=b", "label=c", "name=x"])
        #expect(query.map(\.value) == ["{\"label\":[\"a=b\",\"c\"],\"name\":[\"x\"]}"])
        #expect(throws: SkalaError.self) { try API.filters(["nonsense"]) }
    }
}
