import Base
import Machines
import Testing

@testable import Engine

/// Which pod a container gets into, and which it is kept out of.
struct PodTests {
    private func record(_ host: JSON, labels: JSON = [:]) throws -> ContainerRecord {
        try ContainerCreation(
            body: ["HostConfig": host, "Labels": labels], image: CreationTests.image,
            id: String(repeating: "c", count: 64)
        ).record(name: "own", imageName: "web:1")
    }

    private func wish(_ body: JSON) throws -> PodWish {
        PodWish(
            try ContainerCreation(body: body, image: CreationTests.image, id: String(repeating: "c", count: 64)).record(
                name: "own", imageName: "web:1"), body)
    }

    @Test func names() throws {
        let pod: JSON = ["Annotations": ["skala.pod": "web"]]
        #expect(try PodName.asked(by: pod, labels: [:]) == "web")
        #expect(try PodName.asked(by: [:], labels: [:]) == nil)
        #expect(try PodName.asked(by: ["Annotations": ["skala.tenant": "a"]], labels: [:]) == "tenant-a")
        #expect(try PodName.asked(by: [:], labels: ["skala.tenant": "b"]) == "tenant-b")
        for labels: JSON in [
            ["skala.tenant": "../x"], ["skala.tenant": ""], ["skala.tenant": JSON(String(repeating: "a", count: 64))],
        ] {
            let error = #expect(throws: SkalaError.self) { try PodName.asked(by: [:], labels: labels) }
            #expect(error?.code == .invalid)
        }
        let both = #expect(throws: SkalaError.self) { try PodName.asked(by: pod, labels: ["skala.tenant": "b"]) }
        #expect(both?.message.contains("one of them") == true)
    }

    @Test func whoNamesAPodIsInOne() throws {
        #expect(try record(["Annotations": ["skala.pod": "web"]]).isolation == .pod)
        #expect(try record(["Annotations": ["skala.tenant": "a"]]).isolation == .pod)
        #expect(try record(["Runtime": "pod"]).isolation == .pod)
        #expect(try record([:], labels: ["skala.tenant": "a"]).isolation == .container, "a label alone is only a label")
        let error = #expect(throws: SkalaError.self) {
            try record(["Runtime": "microvm", "Annotations": ["skala.pod": "web"]])
        }
        #expect(error?.message.contains("need isolation pod, not microvm") == true)
    }

    @Test(
        arguments: [
            (["NetworkMode": "host"], "its kernel is not the host's"),
            (["Sysctls": ["net.core.somaxconn": "1"]], "the network is the pod's"),
            (["Annotations": ["skala.allocation": "dedicated"]], "shared with the pod's other containers"),
            (["Annotations": ["skala.network.rate": "1m"]], "the network is the pod's"),
            (["CpusetCpus": "0"], "are the pod's"),
            (["BlkioDeviceReadBps": [["Path": "/dev/null", "Rate": 1]]], "stay on the host"),
        ] as [(JSON, String)])
    func refusals(host: JSON, reason: String) {
        var host = host
        host["Runtime"] = "pod"
        let error = #expect(throws: SkalaError.self) { try record(host) }
        #expect(error?.message.contains("not possible at isolation pod") == true)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    }

    @Test func theFirstContainerDecides() throws {
        let usual = try wish(["HostConfig": ["Runtime": "pod"]]).pod(named: "p")
        #expect(usual.isOnDemand && usual.network == "bridge" && usual.hostname == "p")
        #expect(usual.memory == PodRecord.defaultMemory && usual.processors == PodRecord.defaultProcessors)
        let large = try wish([
            "HostConfig": [
                "Runtime": "pod", "Memory": JSON(3 << 30), "NanoCpus": 2_500_000_000, "NetworkMode": "front",
            ]
        ]).pod(named: "p")
        #expect(large.network == "front" && large.processors == 3)
        #expect(large.largestLimit >= 3 << 30)
        let alone = try wish(["HostConfig": ["Runtime": "pod", "NetworkMode": "none"]]).pod(named: "p")
        #expect(alone.network == "none")
    }

    @Test func laterOnesFitIn() throws {
        let pod = PodRecord(name: "p", isOnDemand: true, memory: 1 << 30, processors: 1, network: "front")
        func problem(_ body: JSON) -> String? {
            do {
                try wish(body).check(pod)
                return nil
            } catch { return (error as? SkalaError)?.message }
        }
        #expect(problem(["HostConfig": ["Runtime": "pod"]]) == nil, "without a word it takes the pod's network")
        #expect(problem(["HostConfig": ["Runtime": "pod", "NetworkMode": "default"]]) == nil)
        #expect(problem(["HostConfig": ["Runtime": "pod", "NetworkMode": "front", "Memory": JSON(900 << 20)]]) == nil)
        #expect(
            problem(["HostConfig": ["Runtime": "pod", "NetworkMode": "back"]])?.contains("share the network front")
                == true)
        #expect(
            problem(["HostConfig": ["Runtime": "pod", "Memory": JSON(1 << 30)]])?
                .contains("a memory limit of 1024 MiB does not fit into pod p: its VM has 1024 MiB, of which 928 MiB")
                == true)
        let addressed: JSON = ["front": ["IPAMConfig": ["IPv4Address": "10.0.0.9"]]]
        #expect(
            problem([
                "HostConfig": ["Runtime": "pod", "NetworkMode": "front"],
                "NetworkingConfig": ["EndpointsConfig": addressed],
            ])?.contains("share the pod's") == true)
        let silent = PodRecord(name: "p", isOnDemand: true, memory: 1 << 30, processors: 1, network: "none")
        let error = #expect(throws: SkalaError.self) {
            try wish(["HostConfig": ["Runtime": "pod", "PortBindings": ["80/tcp": [["HostPort": "1"]]]]]).check(silent)
        }
        #expect(error?.message.contains("no network") == true)
    }

    @Test func theRecordIsWhatWasStored() throws {
        var record = PodRecord(
            name: "p", isOnDemand: false, memory: 2 << 30, processors: 2, hostname: "h", network: "front",
            endpoint: ["MacAddress": "02:00:00:00:00:01"], ports: ["80/tcp": [["HostPort": "1"]]], labels: ["a": "b"])
        record.machineID = "m"
        record.places = ["x": 3, "y": 0]
        record.networkState = ["tap": ""]
        #expect(try PodRecord(json: record.json).json == record.json)
        // Places that no VM has are not believed.
        var broken = record.json
        broken["places"] = ["x": 99, "y": -1]
        #expect(try PodRecord(json: broken).places.isEmpty)
        #expect(throws: SkalaError.self) { try PodRecord(json: [:]) }
    }
}
