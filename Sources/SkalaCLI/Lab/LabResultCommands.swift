import Base
import Kernel
import Lab

/// The commands that look at runs.
enum LabResultCommands {
    static let all = [show, report, export, compare]

    static let show = Command(
        "show", "Show what a run found as tables", "[OPTIONS] [RUN]", 0...1, completes: .runs,
        options: [LabCommands.home],
        examples: ["skala lab show", "skala lab show 20261126-094512"]
    ) { call in
        let run = try LabCommands.run(call.arguments.positional.first, call)
        try call.output.write(LabSummary.text(try RunResults(run)))
        return 0
    }

    static let report = Command(
        "report", "Tell what a run found, for people: as a page, or as text for a pull request", "[OPTIONS] [RUN]",
        0...1, completes: .runs,
        options: [
            .value(
                "format", "FORMAT", "html (one file that needs no other), or markdown (default html)",
                .words(["html", "markdown"])),
            .value(
                "output", short: "o", "FILE",
                "Write there; '-' is standard output (default report.html in the run's folder; markdown: standard output)",
                .files), LabCommands.home,
        ],
        examples: [
            "skala lab report", "skala lab report 20261126-094512 -o interference.html",
            "skala lab report --format markdown",
        ]
    ) { call in
        let run = try LabCommands.run(call.arguments.positional.first, call)
        let results = try RunResults(run)
        switch try format(call, ["html", "markdown"]) {
        case "html":
            let file = call.arguments["output"] ?? run.reportFile
            try write(HTMLReport(results).text, to: file, call)
            if file != "-" { try call.output.line(file) }
        default: try write(MarkdownReport(results).text, to: call.arguments["output"] ?? "-", call)
        }
        return 0
    }

    static let export = Command(
        "export", "Write what a run found for other programs", "[OPTIONS] [RUN]", 0...1, completes: .runs,
        options: [
            .value(
                "format", "FORMAT",
                "csv (a row for each trial and measure), or json (medians, intervals, comparisons; default csv)",
                .words(["csv", "json"])), FileTransfer.outputOption, LabCommands.home,
        ],
        examples: [
            "skala lab export > samples.csv", "skala lab export 20261126-094512 --format json -o results.json",
        ]
    ) { call in
        let results = try RunResults(try LabCommands.run(call.arguments.positional.first, call))
        let text =
            switch try format(call, ["csv", "json"]) {
            case "json": RunExport(results).json.pretty() + "\n"
            default: RunExport(results).csv
            }
        try write(text, to: call.arguments["output"] ?? "-", call)
        return 0
    }

    static let compare = Command(
        "compare", "Show two runs side by side: two machines, or two versions", "[OPTIONS] A B", 2...2,
        completes: .runs,
        options: [
            .value(
                "format", "FORMAT", "text, markdown or html (default text)", .words(["text", "markdown", "html"])),
            FileTransfer.outputOption, LabCommands.home,
        ],
        examples: [
            "skala lab compare 20261126-094512 20261127-101500",
            "skala lab compare ./server-a ./server-b --format html -o compare.html",
        ]
    ) { call in
        let runs = try call.arguments.positional.map { try RunResults(try LabCommands.run($0, call)) }
        let comparison = RunComparison(runs[0], runs[1])
        let text =
            switch try format(call, ["text", "markdown", "html"]) {
            case "html": comparison.html
            case "markdown": comparison.markdown
            default: LabSummary.text(comparison)
            }
        try write(text, to: call.arguments["output"] ?? "-", call)
        return 0
    }

    // MARK: what several need

    /// The format asked for, or the first of those there are.
    private static func format(_ call: Invocation, _ known: [String]) throws -> String {
        guard let format = call.arguments["format"] else { return known[0] }
        guard known.contains(format) else {
            throw call.arguments.invalid("format", format, "expected " + known.joined(separator: ", "))
        }
        return format
    }

    private static func write(_ text: String, to file: String, _ call: Invocation) throws {
        if file == "-" { return try call.output.write(text) }
        try FileContents.replace(file, with: Array(text.utf8))
    }
}
