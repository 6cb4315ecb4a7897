/// What has to be known of a Dockerfile before it is built: the images it starts from.
public enum Dockerfile {
    /// The images named by `FROM` and `COPY --from`, without build stages and `scratch`, in order, each once.
    ///
    /// - Parameter arguments: build arguments; they replace the defaults of `ARG`s before the first `FROM`.
    public static func images(_ text: String, arguments: [String: String]) -> [String] {
        var variables: [String: String] = [:]
        var stages: Set<String> = ["scratch"]
        var images: [String] = []
        var isInStage = false
        func add(_ name: String) {
            guard !name.isEmpty, !stages.contains(name.lowercased()), Int(name) == nil, !images.contains(name) else {
                return
            }
            images.append(name)
        }
        for words in instructions(text) {
            switch words[0].uppercased() {
            case "ARG" where !isInStage:
                for word in words.dropFirst() {
                    let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
                    guard let name = parts.first else { continue }
                    variables[name] =
                        arguments[name] ?? (parts.count == 2 ? substitute(unquoted(parts[1]), variables) : "")
                }
            case "FROM":
                isInStage = true
                let rest = words.dropFirst().filter { !$0.hasPrefix("--") }
                guard let image = rest.first else { continue }
                add(substitute(image, variables))
                if rest.count == 3, rest[rest.startIndex + 1].uppercased() == "AS", let name = rest.last {
                    stages.insert(name.lowercased())
                }
            case "COPY":
                for word in words where word.hasPrefix("--from=") { add(String(word.dropFirst("--from=".count))) }
            default: continue
            }
        }
        return images
    }

    /// The words of each instruction: comments are left out, continued lines are one.
    private static func instructions(_ text: String) -> [[String]] {
        var lines: [String] = []
        var continued = ""
        for line in text.split(whereSeparator: \.isNewline) {
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            if trimmed.hasPrefix("#") { continue }
            if trimmed.hasSuffix("\\") {
                continued += trimmed.dropLast() + " "
                continue
            }
            lines.append(continued + trimmed)
            continued = ""
        }
        return (lines + [continued]).map { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
            .filter { !$0.isEmpty }
    }

    private static func unquoted(_ text: String) -> String {
        for quote in ["\"", "'"] where text.count >= 2 && text.hasPrefix(quote) && text.hasSuffix(quote) {
            return String(text.dropFirst().dropLast())
        }
        return text
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-value}` and `${NAME:+value}`.
    static func substitute(_ text: String, _ variables: [String: String]) -> String {
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            if rest.hasPrefix("{"), let end = rest.firstIndex(of: "}") {
                let body = rest[rest.index(after: rest.startIndex)..<end]
                let name = body.prefix { $0 != ":" }
                let value = variables[String(name)] ?? ""
                let modifier = body.dropFirst(name.count)
                if modifier.hasPrefix(":-") {
                    result += value.isEmpty ? String(modifier.dropFirst(2)) : value
                } else if modifier.hasPrefix(":+") {
                    result += value.isEmpty ? "" : String(modifier.dropFirst(2))
                } else {
                    result += value
                }
                rest = rest[rest.index(after: end)...]
            } else {
                let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
                result += name.isEmpty ? "$" : variables[String(name)] ?? ""
                rest = rest.dropFirst(name.count)
            }
        }
        return result + rest
    }
}
