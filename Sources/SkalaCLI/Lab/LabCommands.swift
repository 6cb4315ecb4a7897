import Base
import Client
import Glibc
import Kernel
import Lab

/// `skala lab`: what each isolation costs on this host.
enum LabCommands {
    static let group = Command(
        "lab", "Measure what each isolation costs on this host", "COMMAND",
        examples: ["skala lab list", "skala lab run --quick", "skala lab report"],
        work: .group(
            [list, LabRunCommand.command] + LabResultCommands.all + LabCleanup.all
                + [LabProfile.command, LabAdvice.general]))

    static let experiments = Option.list(
        "experiments", "DIR", "A folder of further experiments (also $SKALA_EXPERIMENTS)", .files)
    static let home = Option.value(
        "home", "DIR", "Where runs are kept (default $SKALA_LAB, /var/lib/skala-lab, or ~/.local/share/skala/lab)",
        .files)

    private static let list = Command(
        "list", "List experiments, or the runs there have been", "[OPTIONS]", 0...0,
        options: [experiments, home, .flag("runs", "List runs"), .format],
        examples: ["skala lab list", "skala lab list --runs", "skala lab list --experiments ./mine"]
    ) { call in
        if call.arguments.flag("runs") { return try listRuns(call) }
        var rows: [JSON] = []
        for (name, folder) in folders(call).all() {
            do {
                let experiment = try Experiment(folder: folder, quick: false)
                rows.append(["name": JSON(name), "question": JSON(experiment.question), "folder": JSON(folder)])
            } catch {
                rows.append(["name": JSON(name), "question": JSON("broken: \(error)"), "folder": JSON(folder)])
            }
        }
        try call.output.list(rows, [("NAME", "name"), ("QUESTION", "question")], format: call.arguments["format"])
        return 0
    }

    private static func listRuns(_ call: Invocation) throws -> Int32 {
        let rows = try RunFolder.all(in: home(call) + "/runs").map { folder -> JSON in
            let record = try folder.read().record
            let names = (record["experiments"].array ?? []).compactMap { $0["name"].string }
            return [
                "id": JSON(folder.identifier), "state": record["state"], "started": record["started"],
                "experiments": JSON(names.joined(separator: " ")), "folder": JSON(folder.path),
            ]
        }
        try call.output.list(
            rows, [("RUN", "id"), ("STATE", "state"), ("EXPERIMENTS", "experiments")], format: call.arguments["format"])
        return 0
    }

    // MARK: what several commands need

    static func folders(_ call: Invocation) -> ExperimentFolders {
        let environment = (call.environment("SKALA_EXPERIMENTS") ?? "").split(separator: ":").map(String.init)
        return ExperimentFolders(own: call.arguments.list("experiments") + environment, program: programPath())
    }

    private static func programPath() -> String {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        return String(decoding: path[0..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Root's runs are the host's; a user's are his own.
    static func home(_ call: Invocation) -> String {
        call.arguments["home"] ?? home(call.environment)
    }

    /// The same where no folder is named.
    static func home(_ environment: (String) -> String?) -> String {
        if let home = environment("SKALA_LAB") { return home }
        if geteuid() == 0 { return "/var/lib/skala-lab" }
        return (environment("HOME") ?? "") + "/.local/share/skala/lab"
    }

    /// A run by its id, by a path, or the latest.
    static func run(_ name: String?, _ call: Invocation) throws -> RunFolder {
        if let name, name.contains("/") { return RunFolder(name) }
        let runs = RunFolder.all(in: home(call) + "/runs")
        guard let name else {
            guard let latest = runs.first else {
                throw SkalaError(.notFound, "no runs in \(home(call)); 'skala lab run' makes one")
            }
            return latest
        }
        let found = runs.filter { $0.identifier.hasPrefix(name) }
        guard let run = found.first else {
            throw SkalaError(.notFound, "no run '\(name)'; 'skala lab list --runs' lists all")
        }
        guard found.count == 1 else { throw SkalaError(.conflict, "several runs begin with '\(name)'") }
        return run
    }
}
