public import Base

extension HostProfile {
    public var json: JSON {
        [
            "Version": JSON(HostProfile.version), "Accelerator": JSON(accelerator),
            "Entries": JSON(entries.map(\.json)),
        ]
    }

    /// Reads a document, all of whose members are checked: it comes from outside.
    ///
    /// - Throws: `.invalid` naming the entry and what is wrong with it.
    public init(json: JSON) throws(SkalaError) {
        try HostProfile.allow(json, ["Version", "Accelerator", "Entries"], "a host profile")
        guard json["Version"] == JSON(HostProfile.version) else {
            throw SkalaError(.invalid, "a host profile of version \(HostProfile.version) is expected")
        }
        let accelerator = json["Accelerator"].string
        guard json["Accelerator"].isNull || accelerator.map(["kvm", "tcg"].contains) == true else {
            throw SkalaError(.invalid, "Accelerator is kvm, tcg or null")
        }
        guard let list = json["Entries"].array else { throw SkalaError(.invalid, "Entries is an array") }
        guard list.count <= HostProfile.maximumEntries else {
            throw SkalaError(.invalid, "a host profile has at most \(HostProfile.maximumEntries) entries")
        }
        var entries: [Entry] = []
        var known: Set<Entry.Key> = []
        for (number, element) in list.enumerated() {
            do throws(SkalaError) {
                let entry = try Entry(json: element)
                guard known.insert(entry.key).inserted else { throw SkalaError(.invalid, "the same is told twice") }
                entries.append(entry)
            } catch { throw SkalaError(.invalid, "Entries[\(number)]: \(error.message)") }
        }
        self.init(accelerator: accelerator, entries: entries)
    }

    static func allow(_ json: JSON, _ keys: Set<String>, _ what: String) throws(SkalaError) {
        guard let object = json.object else { throw SkalaError(.invalid, "\(what) is an object") }
        if let key = object.keys.first(where: { !keys.contains($0) }) {
            throw SkalaError(.invalid, "\(what) has no member \(key)")
        }
    }
}

extension HostProfile.Entry {
    var json: JSON {
        var json: JSON = ["Kind": JSON(key.kind.rawValue)]
        if let resource = key.resource { json["Resource"] = JSON(resource.rawValue) }
        json["Isolation"] = JSON(key.isolation)
        if let allocation = key.allocation { json["Allocation"] = JSON(allocation) }
        if let neighbour = key.neighbour { json["Neighbour"] = JSON(neighbour.rawValue) }
        if let base { json["Base"] = JSON(base) }
        json["Value"] = value.map { JSON($0) } ?? .null
        if let interval {
            json["Low"] = JSON(interval.lowerBound)
            json["High"] = JSON(interval.upperBound)
        }
        json["Proved"] = JSON(isProved)
        json["Cases"] = JSON(cases)
        json["Run"] = JSON(run)
        json["Measured"] = JSON(measured.text)
        json["Shortened"] = JSON(isShortened)
        return json
    }

    private static let members: Set<String> = [
        "Kind", "Resource", "Isolation", "Allocation", "Neighbour", "Base", "Value", "Low", "High", "Proved", "Cases",
        "Run", "Measured", "Shortened",
    ]

    init(json: JSON) throws(SkalaError) {
        try HostProfile.allow(json, Self.members, "an entry")
        let key = try Self.key(json)
        guard let isProved = json["Proved"].bool, let isShortened = json["Shortened"].bool else {
            throw SkalaError(.invalid, "Proved and Shortened are true or false")
        }
        guard let cases = json["Cases"].strings, cases.count <= 64, cases.allSatisfy({ Self.isName($0) }) else {
            throw SkalaError(.invalid, "Cases is an array of at most 64 names")
        }
        guard let run = json["Run"].string, Self.isName(run) else { throw SkalaError(.invalid, "Run is a run's id") }
        guard let text = json["Measured"].string, let measured = try? Timestamp(parsing: text) else {
            throw SkalaError(.invalid, "Measured is a time")  // what is wrong with it needs no words
        }
        let base = json["Base"].string
        guard base.map(HostProfile.isolations.contains) ?? json["Base"].isNull else {
            throw SkalaError(.invalid, "Base is one of \(HostProfile.isolations.joined(separator: ", "))")
        }
        let (value, interval) = try Self.figures(json, key.kind)
        self.init(
            key, value: value, interval: interval, isProved: isProved, base: base, cases: cases, run: run,
            measured: measured, isShortened: isShortened)
    }

    private static func key(_ json: JSON) throws(SkalaError) -> Key {
        func word(_ name: String, _ known: [String], _ isNeeded: Bool) throws(SkalaError) -> String? {
            if json[name].isNull, !isNeeded { return nil }
            guard isNeeded, let text = json[name].string, known.contains(text) else {
                throw SkalaError(
                    .invalid, isNeeded ? "\(name) is one of \(known.joined(separator: ", "))" : "\(name) has no place")
            }
            return text
        }
        let kind = Kind(rawValue: try word("Kind", Kind.allCases.map(\.rawValue), true) ?? "") ?? .overhead
        let isLoss = kind == .loss
        let resource = try word("Resource", Resource.allCases.map(\.rawValue), isLoss || kind == .overhead)
        let isolation = try word("Isolation", HostProfile.isolations, true) ?? ""
        let allocation = try word("Allocation", HostProfile.allocations, isLoss)
        let neighbour = try word("Neighbour", HostProfile.Neighbour.allCases.map(\.rawValue), isLoss)
        return Key(
            kind, resource.flatMap(Resource.init), isolation, allocation,
            neighbour.flatMap(HostProfile.Neighbour.init))
    }

    private static func figures(_ json: JSON, _ kind: Kind) throws(SkalaError) -> (Double?, ClosedRange<Double>?) {
        let range: ClosedRange<Double> = kind == .overhead || kind == .loss ? -1000...1 : 0...1e13
        func number(_ name: String, _ range: ClosedRange<Double>) throws(SkalaError) -> Double? {
            if json[name].isNull { return nil }
            guard let number = json[name].double, range.contains(number) else {
                throw SkalaError(.invalid, "\(name) is a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
        let value = try number("Value", range)
        guard value != nil || kind == .loss else { throw SkalaError(.invalid, "Value is missing") }
        let (low, high) = (try number("Low", -1e13...1e13), try number("High", -1e13...1e13))
        guard let low, let high else {
            guard low == nil, high == nil else { throw SkalaError(.invalid, "Low and High stand together") }
            return (value, nil)
        }
        guard let value, low <= value, value <= high else {
            throw SkalaError(.invalid, "Value lies between Low and High")
        }
        return (value, low...high)
    }

    /// Names of cases and runs: short, and harmless where they are shown.
    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }
}
