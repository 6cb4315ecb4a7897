import Base
import Client
import Kernel
import Planning
import TestSupport
import Testing

@testable import Lab

/// Other programs' containers as further columns.
@Suite struct PeerTests {
    private static func scope(_ peers: [Peer], _ isolations: Set<LabIsolation> = Set(LabIsolation.allCases)) -> Scope {
        Scope(
            isolations: isolations, allocations: Set(LabAllocation.allCases), processors: 2, memory: 24 << 30
        ).with(peers)
    }

    private static let server = """
        title: T
        question: Q?
        procedure: workload
        images: { box: busybox }
        isolations: [process, container]
        allocations: [dedicated, shared]
        workloads:
          w:
            image: box
            program: exec server
            requests: { port: 8080, users: 1 }
            neighbours: { competing: w, adversarial: x }
          x: { image: box, program: exec flood }
        """

    private static let start = """
        title: T
        question: Q?
        procedure: startup
        images: { box: busybox }
        image: box
        program: exec server
        isolations: [container, microvm]
        peers: [runc, crun]
        """

    private static func isolations(_ item: Case) -> [String] {
        var names: [String] = []
        for name in item.conditions.compactMap({ $0["isolation"] }) where !names.contains(name) { names.append(name) }
        return names
    }

    @Test func peersComeAfterOursAtEachAllocation() throws {
        let procedure = try Specs.experiment(Self.server).procedure
        let item = try #require(procedure.cases(Self.scope([.docker, .podman])).first)
        #expect(Self.isolations(item) == ["process", "container", "docker", "podman"])
        let docker = item.conditions.filter { $0.peer == .docker }.map(\.description)
        #expect(
            docker
                == ["dedicated", "shared"].flatMap { allocation in
                    ["none", "competing", "adversarial"].map { "docker, \(allocation), \($0)" }
                })
        #expect(
            item.conditions.filter { $0.peer != nil }.allSatisfy {
                item.base(of: $0)?.peer == $0.peer || $0["neighbour"] == "none"
            })
        // Without ours they are there all the same: somebody asked for them.
        let alone = try #require(procedure.cases(Self.scope([.docker], [])).first)
        #expect(Self.isolations(alone) == ["docker"])
    }

    @Test func twoServersOfAKindAreNotPutIntoOneNetwork() throws {
        let procedure = try Specs.experiment(Self.server).procedure
        let scope = Self.scope([.docker, .lxc])
        let item = try #require(procedure.cases(scope).first)
        func neighbours(_ isolation: String) -> [String] {
            item.conditions.filter { $0["isolation"] == isolation && $0["allocation"] == "dedicated" }
                .compactMap { $0["neighbour"] }
        }
        #expect(neighbours("lxc") == ["none", "adversarial"])
        #expect(neighbours("process") == ["none", "adversarial"])
        #expect(neighbours("docker") == ["none", "competing", "adversarial"])
        let told = procedure.obstacles(scope).filter { $0.contains("same port") }
        #expect(told == ["process", "lxc"].map { "w beside w, \($0): both want the same port of the host" })
    }

    @Test func anExperimentNamesItsOwn() throws {
        let experiment = try Specs.experiment(Self.start)
        #expect(experiment.peers == [.runc, .crun])
        let item = try #require(experiment.procedure.cases(Self.scope([.docker, .runc])).first)
        #expect(
            item.conditions.map(\.description) == [
                "container, usual", "microvm, usual", "docker, usual", "runc, usual",
            ])
        #expect(throws: SkalaError.self) { try Specs.experiment(Self.start.replacing("crun]", with: "krun]")) }
        do { _ = try Specs.experiment(Self.start.replacing("crun]", with: "krun]")) } catch {
            #expect("\(error)".contains("8:15: peers[1]: docker, podman, lxc, runc, crun is expected"), "\(error)")
        }
        // What runs elsewhere cannot be scaled or moved by us.
        let move = Self.start.replacing("startup", with: "move").replacing("runc, crun", with: "docker")
        do {
            _ = try Specs.experiment(move + "\nways: [restart]")
            Issue.record("peers were taken by a procedure that has none")
        } catch { #expect("\(error)".contains("unknown key 'peers'"), "\(error)") }
    }

    @Test func onlyThoseWithAnAddressAreMultiplied() throws {
        let text = Self.start.replacing("startup", with: "density").replacing(
            "peers: [runc, crun]", with: "counts: [1, 10]")
        let item = try #require(try Specs.experiment(text).procedure.cases(Self.scope([.podman, .lxc])).first)
        #expect(
            item.conditions.filter { $0.peer != nil }.map(\.description) == ["podman, 1", "podman, 10", "lxc, 1"])
    }

    @Test func aRunThatGoesOnHasTheSamePeers() throws {
        var options = RunOptions()
        options.folders = ["/x"]
        options.peers = [.lxc, .docker]
        options.peerSockets = [.docker: EngineAddress(path: "/run/other.sock")]
        let again = try RunOptions(try JSON(parsing: options.json.text))
        #expect(again.peers == options.peers && again.peerSockets == options.peerSockets)
        // Runs made before there were any.
        let old = try RunOptions(["folders": ["/x"], "quick": false, "seed": 1])
        #expect(old.peers.isEmpty && old.peerSockets.isEmpty)
    }

    // MARK: what is told of them

    /// A run of two cases; with peers that are far better than ours, and far worse.
    private static func run(with peers: [Peer]) -> RunResults {
        let names = ["process", "container", "microvm"] + peers.map(\.rawValue)
        let speeds = ["process": 100.0, "container": 90, "microvm": 50, "docker": 900, "runc": 1]
        let loads: JSON = ["name": "rate", "unit": "1/s", "better": "higher"]
        var samples: [Sample] = []
        func add(_ name: String, _ factors: [(String, String)], _ trial: (Double) -> Trial) {
            for round in 1...8 {
                let noise = [1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.008, 0.992][(round + name.count) % 8]
                samples.append(Runs.sample("x", name, Condition(factors), round, trial(noise)))
            }
        }
        var conditions: [[JSON]] = [[], [], [], []]
        for name in names {
            let speed = speeds[name] ?? 1
            add("reads", [("isolation", name)]) { Trial(values: ["rate": speed * $0]) }
            conditions[0].append(["isolation": JSON(name)])
            for neighbour in ["none", "competing"] {
                let factors = [("isolation", name), ("allocation", "shared"), ("neighbour", neighbour)]
                add("beside", factors) { Trial(values: ["rate": speed * (neighbour == "none" ? 1 : 0.5) * $0]) }
                conditions[1].append(Condition(factors.map { ($0.0, $0.1) }).json)
            }
            add("start", [("isolation", name), ("start", "usual")]) { Trial(values: ["answer": $0 / speed]) }
            conditions[2].append(["isolation": JSON(name), "start": "usual"])
            add("many", [("isolation", name), ("count", "10")]) { Trial(values: ["memory": 1000 / speed * $0]) }
            conditions[3].append(["isolation": JSON(name), "count": "10"])
        }
        func item(
            _ name: String, _ base: [JSON], _ measure: JSON, _ conditions: [JSON], resource: JSON = .null
        ) -> JSON {
            [
                "name": JSON(name), "title": JSON(name), "resource": resource, "base": JSON(base),
                "measures": [measure], "conditions": JSON(conditions),
            ]
        }
        let answer: JSON = ["name": "answer", "unit": "s", "better": "lower"]
        let memory: JSON = ["name": "memory", "unit": "MiB each", "better": "lower"]
        let record: JSON = [
            "version": 1, "id": "r", "state": "complete", "started": "2026-11-26T08:00:00Z",
            "ended": "2026-11-26T09:00:00Z", "options": ["quick": false],
            "host": ["hostname": "h", "peers": JSON(peers.map { ["name": JSON($0.rawValue), "version": "7.1"] })],
            "experiments": [
                [
                    "name": "x", "title": "X", "question": "?", "caveats": JSON(Peer.caveats(peers)),
                    "findings": [["source": "s", "text": "t", "expect": [["is": "worse", "case": ["reads"]]]]],
                    "cases": [
                        item("reads", ["isolation", "process"], loads, conditions[0], resource: "disk"),
                        item("beside", ["neighbour", "none"], loads, conditions[1], resource: "disk"),
                        item("start", ["isolation", "container"], answer, conditions[2]),
                        item("many", ["isolation", "container"], memory, conditions[3]),
                    ],
                ]
            ],
        ]
        return RunResults(record, samples)
    }

    @Test func theHostsProfileKnowsOnlyOurs() {
        let ours = ProfileMaker(Self.run(with: [])).profile
        let both = ProfileMaker(Self.run(with: [.docker, .runc])).profile
        func values(_ profile: HostProfile) -> [HostProfile.Entry.Key: Double?] {
            Dictionary(uniqueKeysWithValues: profile.entries.map { ($0.key, $0.value) })
        }
        // An overhead of each of two, a loss and a start of each of three, the memory of microVMs.
        #expect(ours.entries.count == 9)
        #expect(values(both) == values(ours))
        #expect(both.entries.allSatisfy { HostProfile.isolations.contains($0.key.isolation) && $0.base != "docker" })
    }

    @Test func reportsTellThem() {
        let results = Self.run(with: [.docker, .runc])
        let text = MarkdownReport(results).text
        #expect(text.contains("docker 7.1, runc 7.1"))
        #expect(text.contains("in the host's network"))
        #expect(text.contains("a bridge and firewall rules of its own"))
        let subject = ReportSubject(results)
        let sentences = Answer(results.experiments[0], subject).sentences
        #expect(sentences.contains { $0.subject == "docker" && $0.text.contains("better in") })
        // What others found is held against our figures.
        let check = results.experiments[0].checks(results.experiments[0].findings[0], subject)[0]
        #expect(check.instances.count == 2)
        #expect(!check.instances.contains { $0.text.contains("docker") || $0.text.contains("runc") })
        #expect(Peer.caveats([]).isEmpty)
    }

    // MARK: what they are given

    private static func container(_ allocation: LabAllocation, processors: String? = nil) throws -> ToolContainer {
        var spec = InstanceSpec(image: "box", program: "work", processors: 1.5, memory: 64 << 20)
        spec.allocation = allocation
        spec.processorSet = processors
        spec.environment = ["A=b c"]
        let files = ImageFiles(root: "/files", configuration: ["Env": ["PATH=/bin"], "WorkingDir": "/srv"])
        return try ToolContainer(spec, files, name: "lab-1", folder: "/nowhere")
    }

    @Test func allocationsAreLimits() throws {
        let hard = try Self.container(.hard).limits
        #expect(hard.quota == 150_000 && hard.memory == 64 << 20 && hard.shares == nil && hard.processors == nil)
        let shared = try Self.container(.shared).limits
        #expect(shared.quota == nil && shared.memory == 64 << 20 && shared.shares == 1024)
        let soft = try Self.container(.soft).limits
        #expect(soft.memory == nil && soft.reservation == 64 << 20)
        let dedicated = try Self.container(.dedicated).limits
        #expect(dedicated.processors == ProcessorSet.last(1.5) && dedicated.quota == nil)
        #expect(try Self.container(.shared, processors: "0-2").limits.processors == "0-2")
    }

    @Test func setsOfProcessorsDoNotTouch() {
        #expect(ProcessorSet.last(1, of: 2) == "1" && ProcessorSet.allBut(last: 1, of: 2) == "0")
        #expect(ProcessorSet.last(1.5, of: 8) == "6-7" && ProcessorSet.allBut(last: 1.5, of: 8) == "0-5")
        #expect(ProcessorSet.last(9, of: 2) == "0-1" && ProcessorSet.allBut(last: 9, of: 2) == nil)
    }

    @Test func toolsAreToldByTheirConfiguration() throws {
        let folder = try TemporaryFolder()
        func container(_ allocation: LabAllocation) throws -> ToolContainer {
            var spec = InstanceSpec(image: "box", program: "work", memory: 64 << 20, allocation: allocation)
            spec.environment = ["A=b c"]
            return try ToolContainer(
                spec, ImageFiles(root: "/files", configuration: [:]), name: "lab-1", folder: folder.path)
        }
        let runc = OCIRuntime(program: "/usr/sbin/runc", place: "/state")
        let start = try runc.start(container(.hard))
        #expect(start.prefix(4) == ["/usr/sbin/runc", "--root", "/state", "run"])
        let json = try JSON(parsing: try FileContents.read(folder.path + "/config.json"))
        #expect(json["process"]["args"].strings == ["/bin/sh", "-c", "work"])
        #expect(json["process"]["env"].strings == [ImageFiles.path, "A=b c"])
        #expect(json["linux"]["resources"]["cpu"]["quota"] == 100_000)
        #expect(json["linux"]["resources"]["pids"]["limit"] == 4096)
        #expect(runc.isRunning(#"{"status": "running"}"#))
        #expect(!runc.isRunning(#"{"status": "stopped"}"#) && !runc.isRunning("container does not exist"))

        for (isVersion1, line) in [
            (true, "lxc.cgroup.memory.limit_in_bytes = 67108864"), (false, "lxc.cgroup2.memory.max = 67108864"),
        ] {
            let lxc = LXC(place: "/state", isVersion1: isVersion1)
            #expect(try lxc.start(container(.shared)).suffix(3) == ["/bin/sh", "-c", "work"])
            let text = String(decoding: try FileContents.read(folder.path + "/config"), as: UTF8.self)
            let lines = text.split(separator: "\n").map(String.init)
            #expect(lines.contains(line) && lines.contains("lxc.environment = A=b c"))
            #expect(lines.contains(isVersion1 ? "lxc.cgroup.cpu.shares = 1024" : "lxc.cgroup2.cpu.weight = 100"))
        }
    }

    @Test func theImagesOwnProgramIsRunWhereItCanBe() throws {
        var spec = InstanceSpec(image: "box", usesImageCommand: true)
        spec.environment = ["A=b"]
        func files(_ configuration: JSON) -> ImageFiles { ImageFiles(root: "/", configuration: configuration) }
        let own = files(["Entrypoint": ["/serve"], "Cmd": ["-p", "80"], "Env": ["PATH=/own"]])
        #expect(try own.command(spec) == ["/serve", "-p", "80"])
        #expect(own.environment(spec) == ["PATH=/own", "A=b"])
        // A name that only the image knows.
        #expect(throws: SkalaError.self) { try files(["Cmd": ["x"], "User": "nobody"]).command(spec) }
        #expect(throws: SkalaError.self) { try files([:]).command(spec) }
    }

    @Test func whatProgramsSayIsUnderstood() {
        #expect(PeerHost.version(in: "runc version 1.1.5+ds1\ncommit: 1.1\n") == "1.1.5+ds1")
        #expect(PeerHost.version(in: "crun version 1.8.1\n") == "1.8.1")
        #expect(PeerHost.version(in: "podman version 4.3.1\n") == "4.3.1")
        #expect(PeerHost.version(in: "5.0.2\n") == "5.0.2" && PeerHost.version(in: "") == "unknown")
        let id = "sha256:" + String(repeating: "0f", count: 32)
        #expect(PeerEngine.identifier(in: "Loaded image ID: \(id)\n") == id)
        #expect(PeerEngine.identifier(in: "Loaded image: docker.io/x:latest") == nil)
        #expect(PeerEngine.identifier(in: "sha256:0f") == nil)
    }

    @Test func onesThatAreMissingAreTold() throws {
        let folder = try TemporaryFolder()
        let address = EngineAddress(path: folder.path + "/none.sock")
        for peer in [Peer.docker, .podman] {
            guard case .obstacle(let text) = PeerHost.look(for: peer, socket: address) else {
                Issue.record("\(peer) was found where nothing is")
                continue
            }
            #expect(text.contains("\(peer): its daemon does not answer at \(address.path)"))
            #expect(text.contains("SKALA_LAB_\(peer.rawValue.uppercased()) names another socket"))
        }
    }
}
