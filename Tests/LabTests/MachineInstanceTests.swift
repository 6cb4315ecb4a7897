import Base
import Kernel
import TestSupport
import Testing

@testable import Lab

/// How machines are told what to run, and what of an experiment is measured in them.
@Suite struct MachineInstanceTests {
    private static let scope = Scope(
        isolations: Set(LabIsolation.allCases), allocations: Set(LabAllocation.allCases), processors: 2,
        memory: 24 << 30)
    /// What shells, printf and ssh have opinions on.
    private static let hostile = [
        "it's \"$HOME\" `id` $(id) \\n \\\\ %s %% !! *", "a\nb\n'\n", "", "'", "''", "-n", "EOF\n", "ä€'\u{301}x",
        "\t#;&|<>{}~",
        "printf '%s' \"$A\"\n# '",
    ]

    private static func shell(_ text: String) throws -> String {
        try Subprocess.output(
            ["/bin/sh", "-c", "text=$(cat); exec /bin/sh -c \"$text\""], input: Array(text.utf8), limit: 1 << 20)
    }

    @Test func everyWordReachesTheProgram() throws {
        let said = try Self.shell(ShellText.command(["printf", "[%s]"] + Self.hostile))
        #expect(said == Self.hostile.map { "[\($0)]" }.joined())
    }

    @Test func aScriptAndItsEnvironmentReachTheMachineAsTheyAre() throws {
        for text in Self.hostile {
            let script = "printf '<%s>' \"$A\" \(ShellText.quote(text)); echo \"$HOME:${LANG-none}\"; exit 0"
            let remote = MachineSeed.script(script, ["A=\(text)", "B=x y"])
            // Here the image's root is the host's.
            let here = remote.replacing("'chroot' '/image' ", with: "")
            #expect(here != remote)
            #expect(try Self.shell(here) == "<\(text)><\(text)>/root:none\n")
        }
    }

    @Test func userDataWritesTheKeysAndTheProgram() throws {
        for text in Self.hostile {
            let folder = try TemporaryFolder()
            let data = MachineSeed.userData(
                program: text, environment: ["A=\(text)"], hostKey: "-----BEGIN\nkey\n",
                authorized: "ssh-ed25519 AAAA lab")
            #expect(data.hasPrefix("#!/bin/sh\n"))
            _ = try Self.shell(data.replacing(">/run/", with: ">\(folder.path)/"))
            func file(_ name: String) throws -> String {
                String(decoding: try FileContents.read("\(folder.path)/\(name)"), as: UTF8.self)
            }
            #expect(try file("host-key") == "-----BEGIN\nkey\n\n")
            #expect(try file("authorized-keys") == "ssh-ed25519 AAAA lab\n")
            #expect(try file("program") == MachineSeed.script(text, ["A=\(text)"]) + "\n")
        }
    }

    @Test func allocationsOfMachines() throws {
        let experiment = try Self.read(
            """
            procedure: workload
            isolations: [container, machine]
            allocations: [dedicated, shared, hard, soft]
            workloads: { w: { image: box, run: echo 1, measures: { m: { elapsed: true, unit: s, better: lower } } } }
            """)
        let item = try #require(experiment.procedure.cases(Self.scope).first)
        #expect(item.hasMachines)
        let machines = item.conditions.filter { $0["isolation"] == "machine" }
        #expect(machines.compactMap { $0["allocation"] } == ["dedicated", "shared", "hard"])
        #expect(experiment.procedure.obstacles(Self.scope) == [MachineInstance.noSoftLimit])
        let without = Scope(
            isolations: [.container], allocations: Set(LabAllocation.allCases), processors: 2, memory: 24 << 30)
        #expect(experiment.procedure.obstacles(without).isEmpty)
        #expect(experiment.procedure.cases(without).allSatisfy { !$0.hasMachines })
    }

    @Test func aMachineStartsAProgramThatIsNamed() throws {
        let text = "procedure: startup\nisolations: [container, machine]\nstarts: [usual, cold, clone]\nimage: box\n"
        let whole = try Self.read(text + "program: exec true\n")
        let conditions = whole.procedure.cases(Self.scope).flatMap(\.conditions)
        #expect(
            conditions.map(\.description) == ["container, usual", "container, clone", "machine, usual"])
        #expect(whole.procedure.obstacles(Self.scope).isEmpty)
        let imagesOwn = try Self.read(text)
        #expect(imagesOwn.procedure.cases(Self.scope).allSatisfy { !$0.hasMachines })
        #expect(imagesOwn.procedure.obstacles(Self.scope).count == 1)
    }

    @Test(arguments: [("64m", 0), ("96m", 2)])
    func aMachineHasTheMemoryToBoot(_ memory: String, _ possible: Int) throws {
        let experiment = try Self.read(
            "procedure: density\nisolations: [container, machine]\ncounts: [1, 10, 50]\nimage: box\nmemory: \(memory)\n"
        )
        let conditions = experiment.procedure.cases(Self.scope).flatMap(\.conditions)
        #expect(conditions.count { $0["isolation"] == "machine" } == possible)
        #expect(experiment.procedure.obstacles(Self.scope).count == 3 - possible)
    }

    @Test func machinesAreInFullRunsOnly() throws {
        let repository = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        for name in ["baseline", "startup", "move"] {
            for quick in [false, true] {
                let experiment = try Experiment(folder: "\(repository)/experiments/\(name)", quick: quick)
                #expect(experiment.procedure.cases(Self.scope).contains(where: \.hasMachines) == !quick, "\(name)")
            }
        }
    }

    @Test(arguments: [
        ("busybox:latest", "busybox"), ("skala-lab/tools:abc", "tools"), ("127.0.0.1:5000/a/b", "b"),
        ("a/b@sha256:00ff", "b"),
    ])
    func aDiskIsNamedByItsImage(_ reference: String, _ name: String) {
        #expect(
            MachineDiskMaker.name(reference, id: "sha256:0123456789abcdef", system: "cafe")
                == "skala-lab/\(name)-disk:0123456789ab-cafe")
    }

    private static func read(_ text: String) throws -> Experiment {
        try Specs.experiment("title: T\nquestion: Q?\nimages: { box: busybox }\n" + text)
    }
}
