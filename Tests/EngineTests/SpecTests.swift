import Base
import Glibc
import Kernel
import OCI
import Testing

@testable import Engine
@testable import Images

/// The runtime specifications of some containers, against files that were read by people.
struct SpecTests {
    /// `SKALA_WRITE_DOCS` writes the files anew, as it does with documents.
    private func compare(_ json: JSON, with name: String) throws {
        let folder = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
        let path = folder + "/Specs/" + name + ".json"
        let text = json.pretty() + "\n"
        if getenv("SKALA_WRITE_DOCS") != nil { try FileContents.overwrite(path, with: Array(text.utf8)) }
        #expect(String(decoding: try FileContents.read(path), as: UTF8.self) == text, "\(name)")
        // And the warden takes it.
        _ = try RuntimeSpec(json)
    }

    private func spec(
        _ body: JSON, mounts: [ContainerRecord.Mount] = [],
        network: ContainerSpec.NetworkNamespace = .path("/run/skala/netns/id"),
        joined: [String: String] = [:], devices: [(node: JSON, access: String)] = [], initProgram: String? = nil
    ) throws -> JSON {
        let creation = ContainerCreation(body: body, image: CreationTests.image, id: String(repeating: "ab", count: 32))
        var record = try creation.record(name: "web", imageName: "web:1")
        record.mounts = mounts
        return ContainerSpec(
            record: record, networkNamespace: network,
            etcFiles: [("/d/resolv.conf", "/etc/resolv.conf"), ("/d/hosts", "/etc/hosts")], joined: joined,
            cgroupParent: "/skala", defaultPidsLimit: 4096, user: ["uid": 1000, "gid": 50], devices: devices,
            allocation: try Allocation(record.hostConfig), cores: nil, initProgram: initProgram
        ).json
    }

    @Test func theSimplest() throws { try compare(try spec([:]), with: "simple") }

    @Test func withEverything() throws {
        let body: JSON = [
            "Tty": true, "Env": ["REMOVED", "X=1"], "Domainname": "example.org",
            "HostConfig": [
                "Memory": 67_108_864, "NanoCpus": 1_500_000_000, "CpusetCpus": "0", "PidsLimit": 10, "BlkioWeight": 300,
                "ReadonlyRootfs": true, "CapAdd": ["NET_ADMIN"], "CapDrop": ["KILL"], "Init": true,
                "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"], "Sysctls": ["net.core.somaxconn": "256"],
                "Ulimits": [["Name": "nofile", "Soft": 10, "Hard": 20]], "OomScoreAdj": 5, "ShmSize": 1_048_576,
                "PidMode": "host", "IpcMode": "container:x", "Annotations": ["org.example": "p"],
                "DeviceCgroupRules": ["c 42:* rm"],
            ],
        ]
        let mounts = try MountParser(
            host: ["Binds": ["/a:/x/deep:ro", "/b:/x"], "Tmpfs": ["/dev/shm": "size=1m"]], config: [:]
        ).mounts
        let fuse: JSON = ["path": "/dev/fuse", "type": "c", "major": 10, "minor": 229]
        try compare(
            try spec(
                body, mounts: mounts, joined: ["ipc": "/proc/1/ns/ipc"], devices: [(fuse, "rw")],
                initProgram: "/usr/libexec/skala/skala-warden"),
            with: "everything")
    }

    @Test func privilegedOnTheHostsNetwork() throws {
        let body: JSON = [
            "HostConfig": ["Privileged": true, "NetworkMode": "host", "UTSMode": "host", "CgroupnsMode": "host"]
        ]
        try compare(try spec(body, network: .host), with: "privileged")
    }

    @Test func limitsAreTranslated() {
        func resources(_ host: JSON, pids: Int64? = nil) -> JSON {
            ContainerResources.spec(host, defaultPidsLimit: pids)
        }
        #expect(resources([:]) == [:] && resources([:], pids: 7) == ["pids": ["limit": 7]])
        #expect(resources(["PidsLimit": -1], pids: 7) == ["pids": ["limit": -1]])
        #expect(resources(["NanoCpus": 500_000_000]) == ["cpu": ["period": 100_000, "quota": 50_000]])
        #expect(resources(["CpuPeriod": 5000, "CpuQuota": -1]) == ["cpu": ["period": 5000, "quota": -1]])
        #expect(resources(["Memory": 100]) == ["memory": ["limit": 100, "swap": 200]])
        #expect(resources(["Memory": JSON(Int64.max)])["memory"]["swap"] == -1)
        #expect(
            resources(["Memory": 100, "MemorySwap": -1, "MemorySwappiness": 0])["memory"] == [
                "limit": 100, "swap": -1, "swappiness": 0,
            ])
        #expect(
            resources(["DeviceCgroupRules": ["c 1:3 r", "nonsense", "b *:* rwm", "c 1 r"]])["devices"].array?.count == 2
        )
    }
}
