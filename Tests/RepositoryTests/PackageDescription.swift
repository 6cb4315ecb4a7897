/// What Package.swift says of the package's own targets, in order.
struct PackageDescription {
    struct Target {
        let name: String
        /// `target`, `executableTarget`, `systemLibrary`, `testTarget`.
        let kind: String
        /// The package's own targets it depends on.
        let dependencies: [String]
    }

    let targets: [Target]

    init(_ text: String) {
        var targets: [Target] = []
        var rest = text[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            let kind = String(rest.prefix { $0.isLetter })
            guard ["target", "executableTarget", "systemLibrary", "testTarget"].contains(kind),
                rest.dropFirst(kind.count).first == "("
            else { continue }
            let body = PackageDescription.parenthesised(rest.dropFirst(kind.count))
            guard let name = PackageDescription.strings(body, after: "name: ").first else { continue }
            let list = body.range(of: "dependencies: [").map { body[$0.upperBound...].prefix { $0 != "]" } } ?? ""
            // Products of other packages stand in `.product(…)`.
            let own =
                list.split(separator: ".product").first.map { PackageDescription.strings($0[...], after: "") } ?? []
            targets.append(Target(name: name, kind: kind, dependencies: list.hasPrefix(".product") ? [] : own))
        }
        self.targets = targets
    }

    /// From an opening parenthesis to the one that closes it.
    private static func parenthesised(_ text: Substring) -> Substring {
        var depth = 0
        for index in text.indices {
            if text[index] == "(" { depth += 1 }
            if text[index] == ")" {
                depth -= 1
                if depth == 0 { return text[...index] }
            }
        }
        return text
    }

    /// The quoted texts that follow `label`.
    private static func strings(_ text: Substring, after label: String) -> [String] {
        var strings: [String] = []
        var rest = text
        while let open = rest.range(of: label + "\"") {
            let string = rest[open.upperBound...].prefix { $0 != "\"" }
            strings.append(String(string))
            rest = rest[string.endIndex...].dropFirst()
        }
        return strings
    }
}
