import Base
import Kernel
import Lab

/// The commands that remove what the lab keeps: runs, and what it made for experiments.
enum LabCleanup {
    static let all = [remove, prune]

    private static let remove = Command(
        "rm", "Remove runs with their samples and reports", "[OPTIONS] RUN [RUN...]", Command.atLeast(1),
        completes: .runs, options: [LabCommands.home],
        examples: ["skala lab rm 20261126-094512", "skala lab rm ./copied-run"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { name in
            let run = try LabCommands.run(name, call)
            try LabHome.remove(run)
            return run.identifier
        }
    }

    private static let prune = Command(
        "prune", "Remove images, and their files, that no experiment needs any more", "[OPTIONS]", 0...0,
        options: [.force, LabCommands.experiments, LabCommands.home],
        examples: ["skala lab prune", "skala lab prune --force --experiments ./mine"]
    ) { call in
        let experiments = try LabCommands.folders(call).required().map(\.folder)
        let leftovers = try LabLeftovers(
            home: LabHome(LabCommands.home(call)), experiments: experiments, client: call.client)
        guard !leftovers.items.isEmpty else {
            try call.output.line("Nothing to remove: the experiments need all there is")
            return 0
        }
        var table = Table(["KIND", "NAME", "SIZE"])
        for item in leftovers.items {
            table.add([item.kind.rawValue, item.name, ByteSize.decimal(item.bytes, digits: 3)])
        }
        try call.output.write(table.text)
        let warning =
            "This removes what is listed, \(ByteSize.decimal(leftovers.bytes, digits: 3)) in all. An experiment that needs it all the same makes it again."
        guard try Confirmation.ask(warning, call) else { return 0 }
        var status: Int32 = 0
        let freed = try leftovers.remove { item, error in
            guard let error else { return }
            StandardStreams.error("skala: \(item.name): \(error.message)\n")
            status = 1
        }
        try Prune.show(reclaimed: freed, call)
        return status
    }
}
