import YAML

/// Writes the paths of a Compose file out that are relative to its folder.
enum ComposePaths {
    /// Without `.`, `..` and doubled slashes.
    static func normal(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { parts = parts.dropLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// A whole document's.
    static func document(_ node: YAMLNode, from folder: String) -> YAMLNode {
        node.changing("services") { $0.changingValues { service($0, from: folder) } }
            .changing("secrets") { $0.changingValues { $0.changing("file") { path($0, folder) } } }
            .changing("configs") { $0.changingValues { $0.changing("file") { path($0, folder) } } }
    }

    /// A service's.
    static func service(_ node: YAMLNode, from folder: String) -> YAMLNode {
        node.changing("build") { build in
            guard case .mapping = build.content else { return context(build, folder) }
            return build.changing("context") { context($0, folder) }
        }
        .changing("env_file") { files in
            let one = { (file: YAMLNode) in
                if case .mapping = file.content {
                    file.changing("path") { path($0, folder) }
                } else {
                    path(file, folder)
                }
            }
            guard case .sequence(let list) = files.content else { return one(files) }
            return YAMLNode(.sequence(list.map(one)), at: files.place)
        }
        .changing("volumes") { volumes in
            guard case .sequence(let list) = volumes.content else { return volumes }
            return YAMLNode(.sequence(list.map { volume($0, folder) }), at: volumes.place)
        }
    }

    private static func path(_ node: YAMLNode, _ folder: String) -> YAMLNode {
        guard case .scalar(let text, let isPlain) = node.content, !node.isNull, !text.hasPrefix("~") else {
            return node
        }
        return YAMLNode(.scalar(normal(ComposeFile.absolute(text, folder)), isPlain: isPlain), at: node.place)
    }

    /// A build's, which may be an address.
    private static func context(_ node: YAMLNode, _ folder: String) -> YAMLNode {
        if case .scalar(let text, _) = node.content, text.contains("://") || text.hasPrefix("git@") { return node }
        return path(node, folder)
    }

    private static func volume(_ node: YAMLNode, _ folder: String) -> YAMLNode {
        switch node.content {
        case .mapping:
            guard case .scalar("bind", _)? = node["type"]?.content else { return node }
            return node.changing("source") { path($0, folder) }
        case .scalar(let text, let isPlain):
            // Only paths begin with a dot.
            guard text.hasPrefix("."), let colon = text.firstIndex(of: ":") else { return node }
            let source = normal(ComposeFile.absolute(String(text[..<colon]), folder))
            return YAMLNode(.scalar(source + text[colon...], isPlain: isPlain), at: node.place)
        case .sequence: return node
        }
    }
}

extension YAMLNode {
    /// A mapping with a key's value changed, where it is there.
    fileprivate func changing(_ key: String, _ body: (YAMLNode) -> YAMLNode) -> YAMLNode {
        guard case .mapping(var entries) = content, let index = entries.firstIndex(where: { $0.key == key }) else {
            return self
        }
        entries[index].value = body(entries[index].value)
        return YAMLNode(.mapping(entries), at: place)
    }

    fileprivate func changingValues(_ body: (YAMLNode) -> YAMLNode) -> YAMLNode {
        guard case .mapping(var entries) = content else { return self }
        for index in entries.indices { entries[index].value = body(entries[index].value) }
        return YAMLNode(.mapping(entries), at: place)
    }
}
