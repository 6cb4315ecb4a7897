import Base
import Kernel
import Load

/// What the command line of `skala load` says.
struct LoadOptions {
    private(set) var plan: LoadPlan
    let isJSON: Bool
    let isQuiet: Bool
    let outputFile: String?
    private let failureLimit: FailureLimit?

    private enum FailureLimit {
        case count(UInt64)
        case percent(Double)
    }

    init(_ arguments: Arguments) throws {
        let targets = try arguments.positional.map(LoadTarget.init(parsing:))
        plan = LoadPlan(targets: targets, profile: try LoadOptions.profile(arguments))
        isJSON = arguments.flag("json")
        isQuiet = arguments.flag("quiet")
        outputFile = arguments["output"]
        failureLimit = try LoadOptions.failureLimit(arguments)
        try setRequest(arguments)
        plan.keepsAlive = !arguments.flag("no-keepalive")
        plan.isInsecure = arguments.flag("insecure")
        plan.timeout = try LoadOptions.duration(arguments, "timeout") ?? plan.timeout
        plan.interval = try LoadOptions.duration(arguments, "interval") ?? plan.interval
        guard plan.interval >= 1_000_000 else {
            throw arguments.invalid("interval", arguments["interval"] ?? "", "expected 1ms at least")
        }
        if let text = arguments["expect"] { plan.expectedStatuses = try StatusSet(parsing: text) }
        plan.requestLimit = try LoadOptions.count(arguments, "requests", 1...1_000_000_000_000).map(UInt64.init)
        let concurrency = try LoadOptions.count(arguments, "concurrency", 1...100_000)
        if plan.profile.quantity == .rate, let concurrency { plan.connectionLimit = Int(concurrency) }
        plan.threads = Int(
            try LoadOptions.count(arguments, "threads", 1...256) ?? Int64(LoadOptions.threads(for: plan)))
    }

    /// A thread for each processor, but none without a user, and in an open loop none that only adds wake-ups: one sends
    /// some 20,000 requests a second.
    private static func threads(for plan: LoadPlan) -> Int {
        let enough = plan.profile.quantity == .rate ? Int(plan.profile.highest / 10_000) + 1 : Int(plan.profile.highest)
        return max(1, min(HostFacts.onlineCPUs, enough))
    }

    private mutating func setRequest(_ arguments: Arguments) throws {
        if let text = arguments["body"] {
            plan.body = text.hasPrefix("@") ? try FileContents.read(String(text.dropFirst())) : Array(text.utf8)
            plan.method = "POST"
        }
        plan.method = arguments["method"] ?? plan.method
        for text in arguments.list("header") {
            guard let colon = text.firstIndex(of: ":") else {
                throw arguments.invalid("header", text, "expected 'NAME: VALUE'")
            }
            let value = text[text.index(after: colon)...].drop { $0 == " " }
            plan.headers.append((String(text[..<colon]), String(value)))
        }
    }

    // MARK: the load

    private static func profile(_ arguments: Arguments) throws -> LoadProfile {
        let shapes = ["rate", "ramp", "stage"].filter(arguments.has)
        guard shapes.count <= 1 else {
            throw SkalaError(.invalid, "--\(shapes[0]) and --\(shapes[1]) exclude each other")
        }
        let isEndless = arguments.has("requests") && !arguments.has("duration") && !arguments.has("ramp")
        // A year of load is as good as no limit.
        let duration = try self.duration(arguments, "duration") ?? (isEndless ? 31_536_000_000_000_000 : 10_000_000_000)
        if arguments.has("stage") { return try stages(arguments) }
        if let text = arguments["ramp"] {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw arguments.invalid("ramp", text, "expected FROM:TO, such as 1:80") }
            let (from, to) = (try LoadProfile.parse(parts[0]), try LoadProfile.parse(parts[1]))
            guard from.quantity == to.quantity else {
                throw arguments.invalid("ramp", text, "one of both is a rate, the other is not")
            }
            return try checked(
                LoadProfile(to.quantity, from: from.value, to: to.value, duration: duration), arguments, "ramp")
        }
        if let text = arguments["rate"] {
            let number = text.hasSuffix("/s") ? text : text + "/s"
            return LoadProfile(.rate, constant: try LoadProfile.parse(number).value, duration: duration)
        }
        let users = try count(arguments, "concurrency", 1...100_000) ?? 10
        return LoadProfile(.concurrency, constant: Double(users), duration: duration)
    }

    private static func stages(_ arguments: Arguments) throws -> LoadProfile {
        guard !arguments.has("duration") else {
            throw SkalaError(.invalid, "--duration and --stage exclude each other: each stage says how long it takes")
        }
        var quantity: LoadProfile.Quantity?
        let stages = try arguments.list("stage").map { text -> (length: Int64, to: Double) in
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw arguments.invalid("stage", text, "expected TIME:TO, such as 10s:50") }
            let to = try LoadProfile.parse(parts[1])
            guard quantity ?? to.quantity == to.quantity else {
                throw arguments.invalid("stage", text, "some stages are rates, others are not")
            }
            quantity = to.quantity
            return (try DurationText.parse(parts[0]), to.value)
        }
        return try checked(LoadProfile(quantity ?? .concurrency, stages: stages), arguments, "stage")
    }

    private static func checked(
        _ profile: LoadProfile, _ arguments: Arguments, _ option: String
    ) throws -> LoadProfile {
        guard profile.quantity == .rate || !arguments.has("concurrency") else {
            throw SkalaError(.invalid, "--concurrency and --\(option) exclude each other")
        }
        return profile
    }

    // MARK: numbers

    private static func duration(_ arguments: Arguments, _ name: String) throws -> Int64? {
        guard let value = try arguments.duration(name) else { return nil }
        guard value > 0 else { throw arguments.invalid(name, arguments[name] ?? "", "expected more than no time") }
        return value
    }

    private static func count(_ arguments: Arguments, _ name: String, _ range: ClosedRange<Int64>) throws -> Int64? {
        guard let value = try arguments.int(name) else { return nil }
        guard range.contains(value) else {
            throw arguments.invalid(name, "\(value)", "expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private static func failureLimit(_ arguments: Arguments) throws -> FailureLimit? {
        guard let text = arguments["max-failures"] else { return nil }
        if let count = UInt64(text) { return .count(count) }
        if text.hasSuffix("%"), let percent = Double(text.dropLast()), (0...100).contains(percent) {
            return .percent(percent)
        }
        throw arguments.invalid("max-failures", text, "expected a number, or a share such as 0.1%")
    }

    /// 1 for more failures than allowed, and for a load that got no answer at all.
    func status(of total: LoadStatistics) -> Int32 {
        switch failureLimit {
        case .count(let limit): total.failed > limit ? 1 : 0
        case .percent(let percent): Double(total.failed) > percent / 100 * Double(total.requests) ? 1 : 0
        case nil: total.failed > 0 && total.answered == 0 ? 1 : 0
        }
    }
}
