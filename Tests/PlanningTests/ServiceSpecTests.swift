import Base
import Planning
import Testing

struct ServiceSpecTests {
    /// As the docker CLI sends it.
    private let complete = """
        {"Name":"web","Labels":{"team":"a"},"TaskTemplate":{"ContainerSpec":{"Image":"nginx","Args":["-v"],
        "Labels":{"skala.allocation":"dedicated","skala.host-config":"{\\"Privileged\\":true}"},"Isolation":"microvm"},
        "Resources":{"Limits":{"NanoCPUs":2000000000,"MemoryBytes":104857600,"Pids":50},
        "Reservations":{"NanoCPUs":1000000000}},
        "RestartPolicy":{"Condition":"on-failure","Delay":1000000,"MaxAttempts":3,"Window":5000000000},
        "Placement":{"Constraints":["node.labels.disk==ssd","node.hostname!=a"],
        "Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2},
        "Networks":[{"Target":"back","Aliases":["w"]}],"ForceUpdate":4,"Runtime":"container"},
        "Mode":{"Replicated":{"Replicas":3}},
        "UpdateConfig":{"Parallelism":2,"Delay":1,"FailureAction":"rollback","Monitor":3,"MaxFailureRatio":0.5,
        "Order":"start-first"},
        "EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,
        "PublishMode":"host"}]}}
        """

    @Test func decodesAndEncodesEverything() throws {
        let given = try JSON(parsing: complete)
        let spec = try ServiceSpec(json: given)
        #expect(spec.json == given)
        #expect(spec.task.isolation == "microvm")
        #expect(spec.task.allocation == "dedicated")
        #expect(spec.task.hostConfig == ["Privileged": true])
        #expect(spec.mode == .replicated(replicas: 3))
        #expect(spec.update.order == .startFirst)
        #expect(spec.rollback == UpdateConfig())
        #expect(spec.task.placement.constraints[1] == .init(key: "node.hostname", isEqual: false, value: "a"))
        #expect(try ServiceSpec(json: spec.json) == spec)
    }

    @Test(arguments: [
        #"{"Global":{}}"#, #"{"GlobalJob":{}}"#, #"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":9}}"#,
    ])
    func modesAreKept(_ text: String) throws {
        let mode = try ServiceMode(json: JSON(parsing: text))
        #expect(mode.json.text == text)
    }

    @Test func isolationFollowsThePod() throws {
        let task = try TaskSpec(json: ["ContainerSpec": ["Image": "a", "Labels": ["skala.pod": "p"]]])
        #expect(task.isolation == "pod")
        #expect(task.pod == "p")
        #expect(try TaskSpec(json: ["ContainerSpec": ["Image": "a", "Isolation": "process"]]).isolation == "container")
    }

    @Test(arguments: [
        (#"{"Name":"","TaskTemplate":{"ContainerSpec":{"Image":"a"}}}"#, "no name"),
        (#"{"Name":"a b","TaskTemplate":{"ContainerSpec":{"Image":"a"}}}"#, "a b"),
        (#"{"Name":"a","TaskTemplate":{"ContainerSpec":{}}}"#, "image reference"),
        (#"{"Name":"a","TaskTemplate":{}}"#, "ContainerSpec"),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"Mode":{"Global":{},"Replicated":{}}}"#,
            "one mode"
        ),
        (#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"Mode":{"Replicated":{"Replicas":-1}}}"#, "-1"),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"},"Placement":{"Constraints":["node.id=b"]}}}"#,
            "node.id=b"
        ),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"},"Placement":{"Constraints":["disk==b"]}}}"#,
            "disk==b"
        ),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"},"Resources":{"Limits":{"NanoCPUs":1000000},"#
                + #""Reservations":{"NanoCPUs":2000000}}}}"#, "above its limit"
        ),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"EndpointSpec":{"Mode":"dnsrr","#
                + #""Ports":[{"TargetPort":80}]}}"#, "dnsrr"
        ),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"EndpointSpec":{"#
                + #""Ports":[{"TargetPort":80,"PublishedPort":8},{"TargetPort":81,"PublishedPort":8}]}}"#, "8/tcp"
        ),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"EndpointSpec":{"#
                + #""Ports":[{"TargetPort":70000}]}}"#, "70000"
        ),
        (#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"UpdateConfig":{"Order":"x"}}"#, "x"),
        (
            #"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a","Labels":{"skala.host-config":"x"}}}}"#,
            "host-config"
        ),
    ])
    func wrongInputIsRefusedByName(_ text: String, _ expected: String) throws {
        let json = try JSON(parsing: text)
        do {
            _ = try ServiceSpec(json: json)
            Issue.record("accepted: \(text)")
        } catch { #expect(error.message.contains(expected), "\(error.message)") }
    }
}
