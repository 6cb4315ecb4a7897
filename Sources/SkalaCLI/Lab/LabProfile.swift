import Base
import Client
import Kernel
import Lab
import Planning

/// `skala lab profile`: what the engine knows of this host's isolations.
enum LabProfile {
    static let command = Command(
        "profile", "Give the engine what a run found, for placement and advice; or show it", "[OPTIONS] [RUN]", 0...1,
        completes: .runs,
        options: [
            .flag("show", "Show what the engine knows"), .flag("forget", "Let the engine forget it"),
            .flag("force", "Also a shortened run's in the place of a full one's, or another host's"), .format,
            LabCommands.home,
        ],
        examples: ["skala lab profile", "skala lab profile --show", "skala lab profile 20261126 --force"]
    ) { call in
        let arguments = call.arguments
        if arguments.flag("forget") {
            try call.client.json(.delete(HostProfile.path))
            return 0
        }
        if arguments.flag("show") {
            guard let profile = try HostProfile.stored(call.client) else {
                throw SkalaError(.notFound, "nothing has been measured of this host: 'skala lab run' does")
            }
            if arguments.has("format") {
                try call.output.documents([profile.json], format: arguments["format"])
            } else {
                try call.output.write(text(profile))
            }
            return 0
        }
        let run = try LabCommands.run(arguments.positional.first, call)
        try call.output.write(try store(run, call.client, force: arguments.flag("force")) + "\n")
        return 0
    }

    /// Gives the engine what a run found.
    ///
    /// - Returns: what became of it, for people.
    /// - Throws: `.conflict` for a run of another host without `force`.
    static func store(_ folder: RunFolder, _ client: EngineClient, force: Bool) throws -> String {
        let results = try RunResults(folder)
        let host = results.record["host"]["hostname"].string ?? ""
        guard force || host == HostFacts.hostname else {
            throw SkalaError(
                .conflict, "run \(results.identifier) was made on the host '\(host)'; --force takes it all the same")
        }
        let profile = ProfileMaker(results).profile
        guard !profile.entries.isEmpty else {
            return "run \(results.identifier) has nothing for the host's profile: no cases with a resource"
        }
        let answer = try client.json(
            HTTPRequest("PUT", HostProfile.path, query: force ? [("force", "1")] : [], body: .json(profile.json)))
        let leftOut = answer["LeftOut"].int ?? 0
        var text = "host profile: \(profile.entries.count - Int(leftOut)) figures of run \(results.identifier)"
        if leftOut > 0 { text += "; \(leftOut) were left out, since a full run measured them (--force takes them)" }
        return text
    }

    /// At the end of a run: what was measured is kept by then, and an engine that cannot take it is worth a word only.
    static func keep(_ folder: RunFolder, _ client: EngineClient) {
        do {
            StandardStreams.error(try store(folder, client, force: false) + "\n")
        } catch { StandardStreams.error("the engine did not take the host profile: \(error)\n") }
    }

    private static func text(_ profile: HostProfile) -> String {
        var table = Table(["WHAT", "RESOURCE", "ISOLATION", "ALLOCATION", "NEIGHBOUR", "VALUE", "95 %", "RUN"])
        for entry in profile.entries {
            let key = entry.key
            let isShare = key.kind == .overhead || key.kind == .loss
            func number(_ value: Double) -> String {
                isShare
                    ? Decimal.text(value * 100, 0) + " %"
                    : key.kind == .start ? Decimal.text(value, 0) + " ms" : ByteSize.binary(Int64(value))
            }
            let value = entry.value.map(number) ?? "did not finish"
            table.add([
                key.kind.rawValue, key.resource?.rawValue ?? "", key.isolation, key.allocation ?? "",
                key.neighbour?.rawValue ?? "", entry.isProved ? value : "(\(value))",
                entry.interval.map { "\(number($0.lowerBound)) to \(number($0.upperBound))" } ?? "",
                entry.run + (entry.isShortened ? ", shortened" : ""),
            ])
        }
        return "accelerator: \(profile.accelerator ?? "none seen")\n\n" + table.text
    }
}
