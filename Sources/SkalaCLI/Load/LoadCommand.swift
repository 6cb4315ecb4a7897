import Base
import Client
import Glibc
import Kernel
import Load

/// `skala load`: sends requests to a web server and measures its answers; without a URL it is docker's `load`.
enum LoadCommand {
    static let command = Command(
        "load",
        "Load a web server with requests and measure its answers; without a URL: take in images from an archive",
        "[OPTIONS] [URL...]", Command.atLeast(0),
        options: options,
        examples: [
            "skala load http://localhost:8080/",
            "skala load -c 64 -d 30s http://localhost:8080/                 # 64 users",
            "skala load --rate 500 -d 1m --max-failures 0 http://shop.test/  # 500 requests a second",
            "skala load --ramp 1:80 -d 60s http://shop.test/                 # from 1 user to 80",
            "skala load --stage 10s:50/s --stage 30s:50/s --stage 0s:200/s --stage 10s:200/s http://shop.test/",
            "skala load -n 1000 -X POST -H 'Content-Type: text/plain' --body @note.txt https://localhost/notes -k",
            "skala load -i images.tar",
        ]
    ) { call in
        guard !call.arguments.positional.isEmpty else {
            // What is given must mean something: an option of load tests without a URL is a forgotten URL.
            let others = options.map(\.long).filter { !["input", "quiet"].contains($0) }
            if let option = others.first(where: call.arguments.has) {
                throw CommandFailure(125, "--\(option) needs a URL; see 'skala load --help'")
            }
            return try ImageTransfer.load(call)
        }
        guard !call.arguments.has("input") else {
            throw CommandFailure(125, "--input is for archives of images, which are loaded without a URL")
        }
        let options = try LoadOptions(call.arguments)
        let report = try run(options, call.output)
        if let file = options.outputFile {
            try FileContents.replace(file, with: Array((report.json.text + "\n").utf8))
        }
        try call.output.write(options.isJSON ? report.json.text + "\n" : LoadSummary.text(report))
        return options.status(of: report.total)
    }

    private static let options: [Option] = [
        .value("concurrency", short: "c", "N", "Users who each wait for their answer (default 10)"),
        .value(
            "rate", short: "r", "N", "Requests a second, whatever the answers do; --concurrency limits connections"),
        .value("duration", short: "d", "TIME", "How long (default 10s; no limit with --requests)"),
        .value("requests", short: "n", "N", "End after so many requests"),
        .value("ramp", "FROM:TO", "Grow over the duration: 1:80 users, or 10/s:500/s requests a second"),
        .list(
            "stage", "TIME:TO",
            "Go to 50 users, or to 50/s requests a second, in that time; one stage after the other"),
        .value("method", short: "X", "NAME", "The request's method (default GET; POST with --body)", methods),
        .list("header", short: "H", "NAME: VALUE", "A header of each request"),
        .value("body", "TEXT", "What is sent with each request; @FILE sends the file's contents", .files),
        .flag("no-keepalive", "A new connection for each request"),
        .flag("insecure", short: "k", "Do not check certificates"),
        .value("timeout", "TIME", "A request without a whole answer by then has failed (default 10s)"),
        .value("expect", "STATUSES", "Statuses that are no failures: 200, 2xx, 200-299,404 (default 100-399)"),
        .value("max-failures", "N", "Status 1 when more requests fail: a number, or a share such as 0.1%"),
        .value("threads", short: "t", "N", "Threads (default one for each processor, as far as they are needed)"),
        .value("interval", "TIME", "The step of the chart and of the series (default 1s)"),
        .flag("json", "Print the result as JSON, with the series and the histogram"),
        .value("output", short: "o", "FILE", "Write the JSON to a file, too", .files),
        .flag("quiet", short: "q", "No chart, or no progress, while it works"), ImageTransfer.inputOption,
    ]

    private static let methods = Completion.words(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])

    /// Works until the load's end, or until the user has seen enough.
    private static func run(_ options: LoadOptions, _ output: Output) throws -> LoadReport {
        guard output.isTerminal, !options.isQuiet, !options.isJSON else {
            // Before there are threads, which inherit what is blocked.
            let signals = try SignalQueue([SIGINT, SIGTERM, SIGHUP])
            let run = try LoadRun(options.plan)
            while !run.hasEnded { if signals.pause(milliseconds: 20) != nil { run.stop() } }
            return try run.report()
        }
        let screen = try LiveScreen()
        defer { screen.close() }
        let run = try LoadRun(options.plan)
        while !run.hasEnded {
            screen.draw(LoadChart.text(run, columns: Terminal(descriptor: 1).size?.columns ?? 80, output))
            if screen.next(until: SystemClock.monotonicNanoseconds() + 200_000_000) == .leave { run.stop() }
        }
        return try run.report()
    }
}
