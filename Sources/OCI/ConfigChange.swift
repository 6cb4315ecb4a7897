public import Base

/// Dockerfile instructions applied to an image's configuration: `--change` of commit and import.
public enum ConfigChange {
    /// - Throws: `.invalid` for an instruction that cannot be applied without a build.
    public static func apply(_ changes: [String], to config: JSON) throws(SkalaError) -> JSON {
        var config = config
        for change in changes {
            let parts = change.split(separator: " ", maxSplits: 1).map(String.init)
            guard let word = parts.first else { continue }
            try apply(word.uppercased(), parts.count == 2 ? parts[1] : "", to: &config)
        }
        return config
    }

    private static func apply(_ instruction: String, _ text: String, to config: inout JSON) throws(SkalaError) {
        switch instruction {
        case "CMD": config["Cmd"] = command(text)
        case "ENTRYPOINT": config["Entrypoint"] = command(text)
        case "ENV":
            for (name, value) in pairs(text) {
                let others = (config["Env"].strings ?? []).filter { !$0.hasPrefix(name + "=") }
                config["Env"] = JSON(others + [name + "=" + value])
            }
        case "LABEL": for (name, value) in pairs(text) { config["Labels"][name] = JSON(value) }
        case "EXPOSE":
            for port in text.split(separator: " ") {
                config["ExposedPorts"][port.contains("/") ? String(port) : port + "/tcp"] = [:]
            }
        case "VOLUME":
            let paths = (try? JSON(parsing: text))?.strings ?? text.split(separator: " ").map(String.init)
            for path in paths { config["Volumes"][path] = [:] }
        case "USER": config["User"] = JSON(text)
        case "WORKDIR": config["WorkingDir"] = JSON(text)
        case "STOPSIGNAL": config["StopSignal"] = JSON(text)
        case "ONBUILD": config["OnBuild"] = JSON((config["OnBuild"].strings ?? []) + [text])
        default: throw SkalaError(.invalid, "\(instruction) is not a valid change command")
        }
    }

    /// `["a", "b"]`, or a line for the shell.
    private static func command(_ text: String) -> JSON {
        if let list = (try? JSON(parsing: text))?.strings { return JSON(list) }
        return ["/bin/sh", "-c", JSON(text)]
    }

    /// `A=1 B="two words"`, or the old form `A two words`.
    private static func pairs(_ text: String) -> [(String, String)] {
        var words: [String] = [""]
        var quote: Character?
        for character in text {
            switch (character, quote) {
            case ("\"", nil), ("'", nil): quote = character
            case (let end, let open?) where end == open: quote = nil
            case (" ", nil): words.append("")
            default: words[words.count - 1].append(character)
            }
        }
        guard words.first?.contains("=") == true else {
            let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
            return parts.count == 2 ? [(parts[0], parts[1])] : []
        }
        return words.compactMap { word in
            guard let equals = word.firstIndex(of: "=") else { return nil }
            return (String(word[..<equals]), String(word[word.index(after: equals)...]))
        }
    }
}
