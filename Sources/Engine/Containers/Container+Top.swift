public import Base
import CLinux
import Glibc
import Images
import Kernel

extension Container {
    /// The document of `GET /containers/{id}/top`: what `ps` says of the container's processes.
    public func top(arguments: String) async throws -> JSON {
        try requireRunning()
        try requireWarden("listing processes")
        guard !record.isolation.hasOwnWarden else { return try await topInMachine(arguments) }
        let answer = try await sandbox.request("processes", ["id": JSON(id)])
        let pids = Set((answer["pids"].array ?? []).compactMap(\.int))
        let options = arguments.isEmpty ? "-ef" : arguments
        let output = try await engine.threads.run {
            try Subprocess.output(["/bin/ps"] + options.split(separator: " ").map(String.init), limit: 8 << 20)
        }
        let lines = output.split(separator: "\n")
        let titles = lines.first.map { $0.split(separator: " ").map(String.init) } ?? []
        guard let pidColumn = titles.firstIndex(of: "PID") else {
            throw SkalaError(.invalid, "Couldn't find PID field in ps output")
        }
        let rows = lines.dropFirst().map { line in
            line.split(separator: " ", maxSplits: titles.count - 1).map(String.init)
        }
        let mine = rows.filter { row in row.count > pidColumn && Int64(row[pidColumn]).map(pids.contains) == true }
        return ["Processes": JSON(mine.map { JSON($0) }), "Titles": JSON(titles)]
    }

    /// The same of a VM, whose processes this host's `ps` does not know.
    private func topInMachine(_ arguments: String) async throws -> JSON {
        guard ["", "-ef", "ef", "-fe"].contains(arguments) else {
            throw SkalaError(
                .unsupported,
                "options of ps other than -ef are not possible at isolation \(record.isolation.rawValue): "
                    + "this host does not know the processes of a VM")
        }
        let list = try await reachingMachine { machine in
            try await helper(machine).document("processes", ["id": JSON(id)], limit: 32 << 20)
        }
        let users = try lookUpUsers(
            roots: await engine.images.layerPaths(of: try await engine.images.find(record.imageID)))
        let rows = (list.array ?? []).map { ProcessRow($0, users: users).columns }
        return ["Processes": JSON(rows.map { JSON($0) }), "Titles": JSON(ProcessRow.titles)]
    }
}

/// One line of `ps -ef`.
private struct ProcessRow {
    static let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    let columns: [String]

    /// - Parameter process: as the warden's helper tells it; anything else makes an odd line, and no harm.
    init(_ process: JSON, users: UserLookup) {
        let now = SystemClock.now().nanoseconds
        let user = process["user"].int ?? 0
        let started = min(max(0, process["started"].int ?? 0), now)
        let used = min(max(0, process["time"].int ?? 0), 1 << 60)
        let share = min(99, used / max(1, (now - started) / 100))
        columns = [
            users.name(of: user), "\(process["pid"].int ?? 0)", "\(process["parent"].int ?? 0)", "\(share)",
            ProcessRow.start(started, now: now), process["terminal"].string ?? "?",
            ProcessRow.duration(used / 1_000_000_000), process["command"].string ?? "",
        ]
    }

    /// The time of a start of today, the day of an earlier one, the year of one before this year.
    private static func start(_ started: Int64, now: Int64) -> String {
        let (then, today) = (local(started), local(now))
        if then.tm_year != today.tm_year { return "\(1900 + then.tm_year)" }
        if then.tm_yday != today.tm_yday {
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            return months[Int(min(max(0, then.tm_mon), 11))] + two(Int64(then.tm_mday))
        }
        return two(Int64(then.tm_hour)) + ":" + two(Int64(then.tm_min))
    }

    private static func local(_ nanoseconds: Int64) -> tm {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var result = tm()
        localtime_r(&seconds, &result)
        return result
    }

    private static func duration(_ seconds: Int64) -> String {
        let days = seconds / 86400
        return (days > 0 ? "\(days)-" : "") + two(seconds / 3600 % 24) + ":" + two(seconds / 60 % 60) + ":"
            + two(seconds % 60)
    }

    private static func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
