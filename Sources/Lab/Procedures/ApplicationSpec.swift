import Base
import YAML

/// The programs of an application: instances that find each other by their addresses, started one after the other.
struct ApplicationSpec: Sendable {
    /// One of them.
    struct Member: Sendable {
        let name: String
        let image: String
        /// The main program, a script.
        let program: String
        /// A script that succeeds when it is ready.
        let ready: String?
        let processors: Double
        let memory: Int64
        /// `${NAME}` in a value is the address of a member above.
        let environment: [(key: String, value: String)]

        static let keys: Set<String> = ["image", "program", "ready", "environment", "memory", "cpus"]

        init(
            _ name: String, _ spec: SpecReader, images: Set<String>, above: [String]
        ) throws(SkalaError) {
            try spec.root.allowOnly(Member.keys)
            self.name = name
            image = try spec.image(images)
            program = try spec.required("program").string()
            ready = try spec["ready"]?.string()
            processors = try spec["cpus"]?.number() ?? 1
            memory = try spec["memory"]?.bytes() ?? 512 << 20
            environment = try ApplicationSpec.environment(spec, above: above)
        }
    }

    let members: [Member]

    /// - Parameter value: a mapping of members by name.
    init(_ value: YAMLValue, quick: YAMLValue?, images: Set<String>) throws(SkalaError) {
        var members: [Member] = []
        for (name, entry) in try value.entries() {
            let spec = SpecReader(entry, quick: quick?[name])
            if let quick = spec.quick { try quick.allowOnly(Member.keys) }
            members.append(try Member(name, spec, images: images, above: members.map(\.name)))
        }
        guard !members.isEmpty else { throw value.fault("at least one instance is expected") }
        self.members = members
    }

    /// Bytes of all.
    var memory: Int64 { members.reduce(0) { $0 + $1.memory } }

    /// - Parameter above: those whose addresses can stand in it.
    static func environment(
        _ spec: SpecReader, above: [String]
    ) throws(SkalaError) -> [(key: String, value: String)] {
        guard let value = spec["environment"] else { return [] }
        var environment: [(key: String, value: String)] = []
        for (key, text) in try value.pairs() {
            guard let text, !key.isEmpty else { throw value.fault("a value of '\(key)' is expected") }
            for name in AddressTemplate.names(in: text) where !above.contains(name) {
                throw value.fault("\(key): no instance '\(name)' stands above, so that its address is not known")
            }
            environment.append((key, text))
        }
        return environment
    }
}

/// A text in which `${NAME}` stands for an address.
enum AddressTemplate {
    /// The names that stand in a text.
    static func names(in text: String) -> [String] { pieces(text).compactMap(\.name) }

    /// The text with addresses.
    static func fill(_ text: String, _ addresses: [String: String]) -> String {
        pieces(text).map { piece in piece.name.map { addresses[$0] ?? "" } ?? piece.text }.joined()
    }

    private static func pieces(_ text: String) -> [(text: String, name: String?)] {
        var pieces: [(String, String?)] = []
        var rest = text[...]
        while let start = rest.firstRange(of: "${"), let end = rest[start.upperBound...].firstIndex(of: "}") {
            pieces.append((String(rest[..<start.lowerBound]), nil))
            pieces.append(("", String(rest[start.upperBound..<end])))
            rest = rest[rest.index(after: end)...]
        }
        pieces.append((String(rest), nil))
        return pieces
    }
}
