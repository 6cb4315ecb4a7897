import Base
import Kernel
import TestSupport
import Testing
import YAML

@testable import SkalaCLI

struct ComposeVariablesTests {
    private static var variables: ComposeVariables { ComposeVariables { ["A": "one", "EMPTY": ""][$0] } }

    @Test(arguments: [
        ("$A", "one"), ("${A}x", "onex"), ("$$A", "$A"), ("$NONE.", "."), ("${NONE-d}", "d"), ("${EMPTY-d}", ""),
        ("${EMPTY:-d}", "d"), ("${A:-d}", "one"), ("${A:+x}", "x"), ("${NONE+x}", ""), ("${EMPTY+x}", "x"),
        ("${EMPTY:+x}", ""), ("${NONE:-${A}-$A}", "one-one"), ("${A:?must}", "one"), ("a{b}c}", "a{b}c}"),
    ])
    func filled(text: String, expected: String) throws {
        #expect(try ComposeVariablesTests.variables.fill(text) == expected)
    }

    @Test(arguments: ["${NONE:?say so}", "${EMPTY:?}", "${A", "${A:-x", "${}", "$ 5", "${A!x}", "cost: 5$"])
    func refused(text: String) {
        #expect(throws: SkalaError.self) { try ComposeVariablesTests.variables.fill(text) }
    }

    @Test func filesOfVariables() throws {
        let text = """
            # comment
            A=1 # behind a space
            export B="two $A\\n\\$A"
            C='$A "x"'
            D=a#b
            OUTER
            E=${NONE:-e}
            """
        let parsed = try EnvironmentFile.parse(text, name: ".env") { $0 == "OUTER" ? "o" : nil }
        #expect(
            parsed.map { "\($0.name)=\($0.value)" } == [
                "A=1", "B=two 1\n$A", "C=$A \"x\"", "D=a#b", "OUTER=o", "E=e",
            ])
        let error = #expect(throws: SkalaError.self) { try EnvironmentFile.parse("A=1\nB B=2", name: "f") { _ in nil } }
        #expect(error?.message == "f, line 2: NAME=VALUE is expected")
        #expect(throws: SkalaError.self) { try EnvironmentFile.parse("A='x", name: "f") { _ in nil } }
    }

    @Test func commandsAreSplitAsAShellDoes() throws {
        #expect(
            try ShellWords.split("nginx -g 'daemon off;' a\\ b \"c \\\"d\\\"\" ''") == [
                "nginx", "-g", "daemon off;", "a b", "c \"d\"", "",
            ])
        #expect(throws: SkalaError.self) { try ShellWords.split("echo 'x") }
    }
}

struct ComposeProjectTests {
    private func project(
        _ texts: String..., environment: [String: String] = [:], profiles: Set<String> = []
    ) throws -> ComposeProject {
        let folder = try TemporaryFolder()
        var files: [String] = []
        for (index, text) in texts.enumerated() {
            files.append(folder.path + "/\(index).yaml")
            try FileContents.overwrite(files[index], with: Array(text.utf8))
        }
        try FileContents.overwrite(folder.path + "/.env", with: Array("FROM_ENV=file\n".utf8))
        let file = try ComposeFile(files: files, directory: folder.path) { environment[$0] }
        return try ComposeProject(file, name: "shop", profiles: profiles)
    }

    private func fails(_ text: String, _ message: String) {
        let error = #expect(throws: SkalaError.self) { try project(text) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func aServiceBecomesItsSpecification() throws {
        let project = try project(
            """
            services:
              web:
                image: nginx:$FROM_ENV
                command: nginx -g 'daemon off;'
                environment: {A: 1, GIVEN: }
                ports: ["8080:80", {target: 53, protocol: udp, mode: host}]
                volumes: ["data:/data:ro", "./here:/there", {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
                healthcheck: {test: curl localhost, interval: 5s, retries: 2}
                privileged: true
                ulimits: {nofile: 100, nproc: {soft: 1, hard: 2}}
                restart: on-failure:3
                cap_add: [NET_ADMIN]
                deploy:
                  replicas: 3
                  resources: {limits: {cpus: "0.5", memory: 64m}, reservations: {memory: 32m}}
                  update_config: {order: start-first, failure_action: rollback, delay: 2s}
                  placement: {constraints: [node.labels.x == y]}
                x-skala: {isolation: microvm, allocation: dedicated, profile: disk, trust: none,
                          autoscale: {max: 5, cpu: 70%, scale-down-after: 1m}}
            volumes: {data: }
            """, environment: ["GIVEN": "g"])
        let spec = try #require(project.services.first?.spec)
        let container = spec["TaskTemplate"]["ContainerSpec"]
        #expect(spec["Name"] == "shop_web")
        #expect(spec["Mode"]["Replicated"]["Replicas"] == 3)
        #expect(container["Image"] == "nginx:file")
        #expect(container["Args"] == ["nginx", "-g", "daemon off;"])
        #expect(container["Env"] == ["A=1", "GIVEN=g"])
        #expect(container["Isolation"] == "microvm")
        #expect(container["Labels"]["skala.allocation"] == "dedicated")
        // Of the service, so that a change replaces no task.
        #expect(spec["Labels"]["skala.profile"] == "disk" && spec["Labels"]["skala.trust"] == "none")
        #expect(container["Labels"]["skala.profile"].isNull)
        #expect(container["Labels"]["skala.host-config"] == "{\"Privileged\":true}")
        #expect(
            container["Mounts"][0] == ["Type": "volume", "Target": "/data", "Source": "shop_data", "ReadOnly": true])
        #expect(container["Mounts"][1]["Source"].string == project.file.directory + "/here")
        #expect(container["Mounts"][2]["TmpfsOptions"]["SizeBytes"] == 1_048_576)
        #expect(
            container["Healthcheck"] == [
                "Test": ["CMD-SHELL", "curl localhost"], "Interval": 5_000_000_000, "Retries": 2,
            ])
        #expect(
            container["Ulimits"] == [
                ["Name": "nofile", "Soft": 100, "Hard": 100], ["Name": "nproc", "Soft": 1, "Hard": 2],
            ])
        #expect(
            spec["EndpointSpec"]["Ports"] == [
                ["Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress", "PublishedPort": 8080],
                ["TargetPort": 53, "Protocol": "udp", "PublishMode": "host"],
            ])
        #expect(spec["TaskTemplate"]["RestartPolicy"] == ["Condition": "on-failure", "MaxAttempts": 3])
        #expect(
            spec["TaskTemplate"]["Resources"] == [
                "Limits": ["NanoCPUs": 500_000_000, "MemoryBytes": 67_108_864],
                "Reservations": ["MemoryBytes": 33_554_432],
            ])
        #expect(
            spec["UpdateConfig"] == [
                "Parallelism": 1, "Delay": 2_000_000_000, "FailureAction": "rollback", "Order": "start-first",
            ])
        #expect(spec["TaskTemplate"]["Placement"]["Constraints"] == ["node.labels.x == y"])
        #expect(spec["TaskTemplate"]["Networks"] == [["Target": "shop_default", "Aliases": ["web"]]])
        #expect(
            spec["Labels"]["skala.autoscale.cpu"] == "70%" && spec["Labels"]["skala.autoscale.scale-down-after"] == "1m"
        )
        #expect(project.networks.map(\.name) == ["shop_default"])
    }

    @Test func laterFilesGoOverEarlierOnes() throws {
        let project = try project(
            "services:\n  a: {image: x, command: [one], environment: [A=1, B=2], ports: [\"80\"], labels: {l: 1}}\n",
            "services:\n  a: {command: [two], environment: {B: 3}, ports: [\"81\"]}\n  b: {image: y, network_mode: none}\n"
        )
        let spec = project.services[0].spec
        #expect(spec["TaskTemplate"]["ContainerSpec"]["Args"] == ["two"])
        #expect(spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1", "B=3"])
        #expect(spec["EndpointSpec"]["Ports"].array?.count == 2)
        #expect(project.services[1].spec["TaskTemplate"]["Networks"] == [["Target": "none"]])
    }

    @Test func servicesComeBehindWhatTheyDependOn() throws {
        let text = """
            services:
              a: {image: x, depends_on: {b: {condition: service_healthy}}}
              b: {image: x, depends_on: [c]}
              c: {image: x}
              d: {image: x, profiles: [debug]}
            """
        #expect(try project(text).services.map(\.key) == ["c", "b", "a"])
        #expect(try project(text, profiles: ["debug"]).services.map(\.key) == ["c", "d", "b", "a"])
        #expect(try project(text).services[2].dependencies == [.init(service: "b", condition: .healthy)])
    }

    @Test func requestsAreBalancedByLabels() throws {
        let labels = try project(
            """
            services:
              web:
                image: nginx
                x-skala:
                  autoscale: {min: 0, max: 5, latency-p95: 200ms}
                  http: {port: 80, host: [a.example, "*.b.example"], path: /x, certificate: pem, repeat: yes, hold: 5s}
            secrets: {pem: {environment: PEM}}
            """, environment: ["PEM": "pem"]
        ).services[0].spec["Labels"]
        #expect(labels["skala.http.host"] == "a.example,*.b.example")
        #expect(labels["skala.http.port"] == "80" && labels["skala.http.path"] == "/x")
        #expect(labels["skala.http.repeat"] == "true" && labels["skala.http.hold"] == "5s")
        #expect(labels["skala.http.certificate"].string?.hasPrefix("shop_pem") == true, "\(labels)")
        #expect(labels["skala.autoscale.min"] == "0" && labels["skala.autoscale.latency-p95"] == "200ms")
        fails("services:\n  a: {image: x, x-skala: {http: {prot: 80}}}\n", "unknown key 'prot'")
        fails("services:\n  a: {image: x, x-skala: {http: {certificate: c}}}\n", "is not among the file's secrets")
    }

    @Test func whatCannotBeIsRefusedWithItsPlace() {
        fails("services:\n  a: {image: x, depends_on: [b]}\n", "0.yaml:2:6: services.a: it depends on the service 'b'")
        fails("services:\n  a: {build: {contxt: .}}\n", "did you mean 'context'?")
        fails("services:\n  a: {image: x, links: [b]}\n", "0.yaml:2:24: services.a.links: not supported")
        fails("services:\n  a: {}\n", "an image or a build is needed")
        fails("services:\n  a: {image: x, volumes: [\"v:/v\"]}\n", "the volume 'v' is not among the file's volumes")
        fails("services:\n  a: {image: x, networks: [n]}\n", "the network 'n' is not among the file's networks")
        fails("services:\n  a: {image: x, ports: [\"x\"]}\n", "invalid port 'x'")
        fails("services:\n  a: {image: x, secrets: [s]}\n", "'s' is not among the file's secrets")
        fails(
            "services:\n  a: {image: x, x-skala: {autoscale: {min: 2}}}\n",
            "max is needed")
        fails("services:\n  a: {image: x, x-skala: {profile: gpu}}\n", "cpu, memory, disk, network")
        fails("volumes: {}\n", "there is no service")
        fails("", "the file is empty")
    }

    /// Another content makes another name; the same content the same one.
    @Test func configsAreNamedByTheirContent() throws {
        func name(_ content: String) throws -> String {
            try project("services:\n  a: {image: x, configs: [c]}\nconfigs: {c: {content: \(content)}}\n").configs[0]
                .name
        }
        #expect(try name("one") == name("one"))
        #expect(try name("one") != name("two"))
        #expect(try name("one").hasPrefix("shop_c_"))
    }
}
