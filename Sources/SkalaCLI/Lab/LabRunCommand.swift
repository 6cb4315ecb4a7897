import Base
import Client
import Glibc
import Kernel
import Lab

/// `skala lab run`
enum LabRunCommand {
    static let command = Command(
        "run", "Measure: all experiments, or those named", "[OPTIONS] [EXPERIMENT...]", Command.atLeast(0),
        options: [
            .flag("quick", "Shortened: all experiments in a quarter of an hour on two processors"),
            .list("isolation", "NAME", "Measure only these", .words(LabIsolation.allCases.map(\.rawValue))),
            .list("allocation", "NAME", "Measure only these", .words(LabAllocation.allCases.map(\.rawValue))),
            .list(
                "peer", "NAME", "Put another program's containers beside ours, as further columns",
                .words(Peer.allCases.map(\.rawValue))),
            .list("case", "NAME", "Measure only these cases of the experiments"),
            .value("rounds", "N", "Measure each condition so often, whatever the intervals are and the time it takes"),
            .value("scale", "SHARE", "Loads take this part of their time: 0.05 makes 30 s of 600 s"),
            .flag(
                "against-itself", "Measure each condition twice, and tell differences between the two: there are none"),
            .value("seed", "N", "Of the order of conditions (default 1)"),
            .value("resume", "RUN", "Go on with a run that was stopped, or with --rounds measure more of one", .runs),
            .flag("no-profile", "Do not give the engine what was found, for placement and advice"),
            .flag("dry-run", "Show what would be measured, and what cannot be"), LabCommands.experiments,
            LabCommands.home,
        ],
        examples: [
            "skala lab run --quick", "skala lab run interference --isolation container --isolation microvm",
            "skala lab run baseline --peer docker --peer podman", "skala lab run ./my-experiment --rounds 10",
            "skala lab run --resume 20261126", "skala lab run --resume 20261126 --rounds 20",
        ]
    ) { call in
        let resuming = try call.arguments["resume"].map { try LabCommands.run($0, call) }
        var options = resuming == nil ? try options(call) : RunOptions()
        if resuming != nil { try refuseChoices(call) }
        options.rounds = try rounds(call.arguments)
        let signals = try SignalQueue([SIGINT, SIGTERM, SIGHUP])
        let line = ProgressLine()
        let stop = StopSwitch(signals)
        let run = try LabRun(
            options, home: LabCommands.home(call), resuming: resuming, client: call.client, isStopped: stop.isOn,
            show: line.show)
        for obstacle in run.plan.obstacles { StandardStreams.error("not measured: \(obstacle)\n") }
        if call.arguments.flag("dry-run") {
            try call.output.write(table(run.plan))
            return 0
        }
        StandardStreams.error("run \(run.folder.identifier) in \(run.folder.path)\n")
        defer { line.end() }
        let isComplete: Bool
        do { isComplete = try run.run() } catch {
            line.end()
            if run.folder.exists {
                StandardStreams.error(
                    "what was measured is kept; go on with: skala lab run --resume \(run.folder.identifier)\n")
            }
            throw error
        }
        line.end()
        for obstacle in run.obstacles { StandardStreams.error("not measured: \(obstacle)\n") }
        if !isComplete {
            StandardStreams.error(
                "stopped; what was measured is kept. Go on with: skala lab run --resume \(run.folder.identifier)\n")
        }
        let results = try RunResults(run.folder)
        if isComplete, !call.arguments.flag("no-profile"), !run.options.isAgainstItself {
            LabProfile.keep(run.folder, call.client)
        }
        try call.output.write(LabSummary.text(results))
        try FileContents.replace(run.folder.reportFile, with: Array(HTMLReport(results).text.utf8))
        StandardStreams.error("report: \(run.folder.reportFile)\n")
        return isComplete ? run.obstacles.isEmpty ? 0 : 1 : 130
    }

    private static func rounds(_ arguments: Arguments) throws -> Int? {
        guard let rounds = try arguments.int("rounds") else { return nil }
        guard (1...1000).contains(rounds) else {
            throw arguments.invalid("rounds", "\(rounds)", "expected 1 to 1000")
        }
        return Int(rounds)
    }

    /// A run that goes on measures what it began with.
    private static func refuseChoices(_ call: Invocation) throws {
        let choices = ["quick", "isolation", "allocation", "peer", "case", "scale", "against-itself", "seed"]
        if let option = choices.first(where: call.arguments.has) {
            throw CommandFailure(
                125, "--\(option) and --resume exclude each other: a run goes on with what it began with")
        }
        guard call.arguments.positional.isEmpty else {
            throw CommandFailure(125, "a run that is resumed has its experiments: name none")
        }
    }

    private static func options(_ call: Invocation) throws -> RunOptions {
        let arguments = call.arguments
        var options = RunOptions()
        let folders = LabCommands.folders(call)
        if arguments.positional.isEmpty {
            options.folders = try folders.required().map(\.folder)
        } else {
            options.folders = try arguments.positional.map(folders.find)
        }
        // It may be resumed from elsewhere.
        options.folders = try options.folders.map(LabRunCommand.absolute)
        options.isQuick = arguments.flag("quick")
        options.isolations = Set(try arguments.words("isolation", LabIsolation.self))
        options.allocations = Set(try arguments.words("allocation", LabAllocation.self))
        options.peers = Set(try arguments.words("peer", Peer.self))
        for peer in Peer.allCases {
            guard let variable = peer.socketVariable, let text = call.environment(variable) else { continue }
            do { options.peerSockets[peer] = try EngineAddress(parsing: text) } catch {
                throw error.within("$\(variable)")
            }
        }
        options.cases = Set(arguments.list("case"))
        options.isAgainstItself = arguments.flag("against-itself")
        if let text = arguments["scale"] {
            guard let scale = Double(text), scale > 0, scale <= 10 else {
                throw arguments.invalid("scale", text, "expected a share such as 0.05")
            }
            options.scale = scale
        }
        if let seed = try arguments.int("seed") { options.seed = UInt64(clamping: seed) }
        return options
    }

    private static func absolute(_ path: String) throws -> String {
        path.hasPrefix("/") ? path : "\(try API.workingDirectory())/\(path)"
    }

    private static func table(_ plan: RunPlan) -> String {
        var table = Table(["EXPERIMENT", "CASE", "BY", "CONDITIONS", "MEASURES"])
        for step in plan.steps {
            for item in step.cases {
                var runners: [String] = []
                for name in item.conditions.compactMap({ $0["isolation"] }) where !runners.contains(name) {
                    runners.append(name)
                }
                table.add([
                    step.experiment.name, item.name, runners.joined(separator: " "), "\(item.conditions.count)",
                    item.measures.map(\.name).joined(separator: " "),
                ])
            }
        }
        return table.text
    }
}

/// Whether the user wants a run to stop.
private final class StopSwitch {
    private let signals: SignalQueue
    private var hasStopped = false

    init(_ signals: SignalQueue) { self.signals = signals }

    func isOn() -> Bool {
        if signals.next() != nil { hasStopped = true }
        return hasStopped
    }
}

/// One line on the terminal that tells what is under way; without a terminal a line for each case.
private final class ProgressLine {
    private let isTerminal = Terminal.isTerminal(2)
    private var shown = ""

    func show(_ progress: LabRun.Progress) {
        let minutes = max(1, (progress.left + 59_999_999_999) / 60_000_000_000)
        let text = "[\(progress.done)/\(progress.expected)] \(progress.text) · about \(minutes) min left"
        if isTerminal {
            let columns = Terminal(descriptor: 2).size?.columns ?? 80
            StandardStreams.error("\r\u{1B}[2K" + text.prefix(columns - 1))
            shown = text
        } else {
            let subject = progress.text.split(separator: "·").prefix(2).joined(separator: "·")
            guard subject != shown else { return }
            StandardStreams.error(text + "\n")
            shown = subject
        }
    }

    func end() {
        if isTerminal, !shown.isEmpty { StandardStreams.error("\r\u{1B}[2K") }
        shown = ""
    }
}
