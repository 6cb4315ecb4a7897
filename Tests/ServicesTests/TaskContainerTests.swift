import Base
import Planning
import Testing

@testable import Services

struct TaskContainerTests {
    private func body(_ container: JSON, _ more: JSON = [:], ports: JSON = []) throws -> JSON {
        let counter = VersionCounter()
        var spec: JSON = ["Name": "web", "TaskTemplate": more, "EndpointSpec": ["Ports": ports]]
        spec["TaskTemplate"]["ContainerSpec"] = container
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = "busybox"
        let service = ServiceRecord(spec: try ServiceSpec(json: spec), counter: counter)
        let node = NodeRecord(address: "127.0.0.1", availability: .active, counter: counter)
        let task = TaskRecord(service: service, slot: 2, nodeID: node.id, counter: counter)
        return try TaskContainer(
            service: service, task: task, node: node, networks: [("net", ["tasks.web"])],
            files: [["Type": "bind", "Source": "/a", "Target": "/run/secrets"]]
        ).body()
    }

    @Test func everyFieldHasItsPlace() throws {
        let body = try body(
            [
                "Command": ["a"], "Args": ["b"], "Dir": "/d", "User": "u", "Env": ["S={{.Task.Slot}}"], "TTY": true,
                "Groups": ["g"], "ReadOnly": true, "StopGracePeriod": 1_500_000_000, "Hosts": ["10.0.0.1 x y"],
                "DNSConfig": ["Nameservers": ["10.0.0.2"]], "CapabilityAdd": ["NET_ADMIN"], "Sysctls": ["a": "b"],
                "Healthcheck": ["Test": ["CMD", "true"]], "Isolation": "microvm",
                "Mounts": [["Target": "/m{{.Task.Slot}}"]],
                "Privileges": ["NoNewPrivileges": true, "Seccomp": ["Mode": "unconfined"]],
                "Labels": [
                    "skala.allocation": "dedicated",
                    "skala.host-config": #"{"Privileged":true,"Annotations":{"k":"v"}}"#,
                ],
            ],
            [
                "Resources": [
                    "Limits": ["NanoCPUs": 2_000_000_000, "MemoryBytes": 104_857_600, "Pids": 9],
                    "Reservations": ["NanoCPUs": 500_000_000, "MemoryBytes": 10_485_760],
                ], "LogDriver": ["Name": "local", "Options": ["max-size": "1m"]],
            ])
        #expect(
            body["Entrypoint"] == ["a"] && body["Cmd"] == ["b"] && body["WorkingDir"] == "/d" && body["User"] == "u")
        #expect(body["Env"] == ["S=2"] && body["Tty"] == true && body["StopTimeout"] == 2)
        #expect(body["Healthcheck"]["Test"] == ["CMD", "true"])
        #expect(body["Labels"]["com.docker.swarm.service.name"] == "web")
        #expect(body["Labels"]["com.docker.swarm.task.name"].string?.hasPrefix("web.2.") == true)
        #expect(body["NetworkingConfig"] == ["EndpointsConfig": ["net": ["Aliases": ["tasks.web"]]]])
        let host = body["HostConfig"]
        #expect(host["GroupAdd"] == ["g"] && host["ReadonlyRootfs"] == true && host["Isolation"] == "microvm")
        #expect(host["ExtraHosts"] == ["x:10.0.0.1", "y:10.0.0.1"] && host["Dns"] == ["10.0.0.2"])
        #expect(host["CapAdd"] == ["NET_ADMIN"] && host["Sysctls"] == ["a": "b"] && host["Privileged"] == true)
        #expect(host["Annotations"] == ["k": "v", "skala.allocation": "dedicated"])
        #expect(host["SecurityOpt"] == ["no-new-privileges", "seccomp=unconfined"])
        #expect(host["NanoCpus"] == 2_000_000_000 && host["Memory"] == 104_857_600 && host["PidsLimit"] == 9)
        #expect(host["MemoryReservation"] == 10_485_760 && host["CpuShares"] == 512)
        #expect(host["LogConfig"] == ["Type": "local", "Config": ["max-size": "1m"]])
        #expect(host["Mounts"].array?.count == 2 && host["Mounts"][0]["Target"] == "/m2")
        #expect(host["NetworkMode"] == "net" && host["RestartPolicy"]["Name"] == "no")
    }

    @Test func onlyPortsOfTheNodeAreTheContainersOwn() throws {
        let body = try body(
            [:],
            ports: [
                ["TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"],
                ["TargetPort": 81, "PublishedPort": 8081, "PublishMode": "ingress"],
            ])
        #expect(body["HostConfig"]["PortBindings"] == ["80/tcp": [["HostIp": "", "HostPort": "8080"]]])
        #expect(body["ExposedPorts"] == ["80/tcp": [:], "81/tcp": [:]])
    }

    @Test(arguments: [
        #"{"CredentialSpec":{"File":"x"}}"#, #"{"SELinuxContext":{"Disable":false,"User":"x"}}"#,
        #"{"AppArmor":{"Mode":"custom"}}"#, #"{"Seccomp":{"Mode":"custom","Profile":"?"}}"#,
        #"{"Seccomp":{"Mode":"x"}}"#,
    ])
    func whatIsNotDoneIsRefused(_ privileges: String) throws {
        let json = try JSON(parsing: privileges)
        #expect(throws: SkalaError.self) { try body(["Privileges": json]) }
    }
}
