import Base
import YAML

/// Puts a Compose file over another one, by the rules of the Compose specification: mappings are merged, lists are joined,
/// single values are replaced.
enum ComposeMerge {
    /// Lists that stand for one thing: the later one replaces the earlier.
    private static let replaced: Set<String> = ["command", "entrypoint", "test"]
    /// Those that may be lists of `KEY=VALUE` as well as mappings, and are merged as these.
    private static let pairs: Set<String> = [
        "environment", "labels", "annotations", "sysctls", "args", "extra_hosts", "driver_opts",
    ]
    /// Lists of names that may be mappings as well.
    private static let named: Set<String> = ["depends_on", "networks"]
    /// Lists that may be single values as well.
    private static let listed: Set<String> = ["dns", "dns_search", "env_file", "tmpfs", "profiles"]
    /// Lists whose elements are at a place in the container: the later one at a place replaces the earlier.
    private static let placed: Set<String> = ["volumes", "devices", "secrets", "configs"]

    static func merge(_ base: YAMLNode, _ over: YAMLNode, key: String = "") -> YAMLNode {
        let (base, over) = (normal(base, key), normal(over, key))
        switch (base.content, over.content) {
        case (.mapping(var entries), .mapping(let others)):
            for other in others {
                if let index = entries.firstIndex(where: { $0.key == other.key }) {
                    entries[index].value = merge(entries[index].value, other.value, key: other.key)
                } else {
                    entries.append(other)
                }
            }
            return YAMLNode(.mapping(entries), at: over.place)
        case (.sequence(let first), .sequence(let second)) where placed.contains(key):
            let places = Set(second.compactMap { target($0, key) })
            return YAMLNode(
                .sequence(first.filter { target($0, key).map { !places.contains($0) } ?? true } + second),
                at: over.place)
        case (.sequence(let first), .sequence(let second)) where !replaced.contains(key):
            // The same again, by value, stands once.
            let texts = Set(first.compactMap(text))
            return YAMLNode(
                .sequence(first + second.filter { text($0).map { !texts.contains($0) } ?? true }), at: over.place)
        default: return over
        }
    }

    /// Where an element of a placed list is in the container.
    private static func target(_ node: YAMLNode, _ key: String) -> String? {
        guard let text = text(node) else { return (node["target"] ?? node["source"]).flatMap(text) }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return String(["volumes", "devices"].contains(key) && parts.count > 1 ? parts[1] : parts[0])
    }

    private static func text(_ node: YAMLNode) -> String? {
        guard case .scalar(let text, _) = node.content else { return nil }
        return text
    }

    /// The form that is merged.
    private static func normal(_ node: YAMLNode, _ key: String) -> YAMLNode {
        if listed.contains(key), text(node) != nil, !node.isNull { return YAMLNode(.sequence([node]), at: node.place) }
        guard case .sequence(let nodes) = node.content, pairs.contains(key) || named.contains(key) else { return node }
        var entries: [YAMLNode.Entry] = []
        for element in nodes {
            guard let text = text(element) else { return node }
            let separator: Character = key == "extra_hosts" && !text.contains("=") ? ":" : "="
            let end = pairs.contains(key) ? text.firstIndex(of: separator) : nil
            let value = end.map { YAMLNode.Content.scalar(String(text[text.index(after: $0)...]), isPlain: false) }
            entries.append(
                YAMLNode.Entry(
                    key: String(end.map { text[..<$0] } ?? text[...]), keyPlace: element.place,
                    value: YAMLNode(value ?? .scalar("", isPlain: true), at: element.place)))
        }
        return YAMLNode(.mapping(entries), at: node.place)
    }
}
