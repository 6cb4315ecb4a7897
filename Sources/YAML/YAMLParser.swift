public import Base
import CYAML

/// Reads YAML 1.1 by libyaml, within bounds: what a stranger wrote costs no more than its own size allows.
public struct YAMLParser {
    /// Of nested collections.
    static let maximumDepth = 64
    /// Nodes of a document, with each alias counted as what it stands for.
    static let maximumNodes = 200_000

    /// The one document of a text.
    ///
    /// - Parameter name: of the file, for errors.
    /// - Returns: nil when there is none.
    /// - Throws: `.invalid`, naming file, line and column.
    public static func parse(_ text: [UInt8], name: String) throws(SkalaError) -> YAMLNode? {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { throw SkalaError(.exhausted, "no memory for \(name)") }
        defer { yaml_parser_delete(&parser) }
        return try text.withUnsafeBufferPointer { text throws(SkalaError) -> YAMLNode? in
            yaml_parser_set_input_string(&parser, text.baseAddress, text.count)
            return try withUnsafeMutablePointer(to: &parser) { parser throws(SkalaError) -> YAMLNode? in
                var reader = YAMLParser(parser: parser, name: name)
                return try reader.document()
            }
        }
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let name: String
    private var anchors: [String: (node: YAMLNode, size: Int)] = [:]
    private var count = 0

    private init(parser: UnsafeMutablePointer<yaml_parser_t>, name: String) {
        self.parser = parser
        self.name = name
    }

    private mutating func document() throws(SkalaError) -> YAMLNode? {
        var root: YAMLNode?
        while true {
            let event = try next()
            switch event.kind {
            case .documentStart:
                if root != nil { throw fault("only one document is expected", event.place) }
                root = try node(try next(), depth: 0)
            case .streamEnd: return root
            default: continue
            }
        }
    }

    /// The node that begins with an event.
    private mutating func node(_ event: YAMLEvent, depth: Int) throws(SkalaError) -> YAMLNode {
        let first = count
        try spend(1, event.place)
        guard depth < YAMLParser.maximumDepth else {
            throw fault("nested more than \(YAMLParser.maximumDepth) deep", event.place)
        }
        let node: YAMLNode
        switch event.kind {
        case .scalar(let text, let isPlain): node = YAMLNode(.scalar(text, isPlain: isPlain), at: event.place)
        case .alias(let anchor):
            guard let known = anchors[anchor] else {
                throw fault("no anchor '\(anchor)' stands before this", event.place)
            }
            try spend(known.size - 1, event.place)
            return YAMLNode(known.node.content, at: event.place)
        case .sequenceStart: node = YAMLNode(.sequence(try elements(depth + 1)), at: event.place)
        case .mappingStart: node = YAMLNode(.mapping(try entries(depth + 1)), at: event.place)
        default: throw fault("a value is expected", event.place)
        }
        if let anchor = event.anchor { anchors[anchor] = (node, count - first) }
        return node
    }

    private mutating func elements(_ depth: Int) throws(SkalaError) -> [YAMLNode] {
        var elements: [YAMLNode] = []
        while true {
            let event = try next()
            if case .sequenceEnd = event.kind { return elements }
            elements.append(try node(event, depth: depth))
        }
    }

    private mutating func entries(_ depth: Int) throws(SkalaError) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var known: [String: YAMLPlace] = [:]
        var merged: [YAMLNode.Entry] = []
        while true {
            let event = try next()
            if case .mappingEnd = event.kind { break }
            guard case .scalar(let key, let isPlain) = event.kind else {
                throw fault("a key is a single value", event.place)
            }
            try spend(1, event.place)
            let value = try node(try next(), depth: depth)
            if key == "<<", isPlain {
                merged += try mergedEntries(value)
                continue
            }
            if let earlier = known[key] {
                throw fault("the key '\(key)' stands in line \(earlier.line) already", event.place)
            }
            known[key] = event.place
            entries.append(YAMLNode.Entry(key: key, keyPlace: event.place, value: value))
        }
        // What the mapping says itself wins, and then what was named first.
        for entry in merged where known[entry.key] == nil {
            known[entry.key] = entry.keyPlace
            entries.append(entry)
        }
        return entries
    }

    /// What `<<` brings in: a mapping's entries, or those of several.
    private func mergedEntries(_ value: YAMLNode) throws(SkalaError) -> [YAMLNode.Entry] {
        switch value.content {
        case .mapping(let entries): return entries
        case .sequence(let nodes):
            var all: [YAMLNode.Entry] = []
            for node in nodes {
                guard case .mapping(let entries) = node.content else {
                    throw fault("'<<' merges mappings, not \(node.kind)", node.place)
                }
                all += entries
            }
            return all
        case .scalar: throw fault("'<<' merges mappings, not \(value.kind)", value.place)
        }
    }

    private mutating func spend(_ nodes: Int, _ place: YAMLPlace) throws(SkalaError) {
        count += nodes
        if count > YAMLParser.maximumNodes {
            throw fault("more than \(YAMLParser.maximumNodes) values, with all aliases written out", place)
        }
    }

    private func fault(_ message: String, _ place: YAMLPlace) -> SkalaError {
        SkalaError(.invalid, "\(place): \(message)")
    }

    private func next() throws(SkalaError) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw problem() }
        defer { yaml_event_delete(&event) }
        return YAMLEvent(event, file: name)
    }

    private func problem() -> SkalaError {
        let text = parser.pointee.problem.map { String(cString: $0) } ?? "cannot be read"
        let context = parser.pointee.context.map { String(cString: $0) + ": " } ?? ""
        // A byte that is no text has an offset only.
        let mark = parser.pointee.error == YAML_READER_ERROR ? parser.pointee.mark : parser.pointee.problem_mark
        return fault(context + text, YAMLPlace(mark, file: name))
    }
}

extension YAMLPlace {
    init(_ mark: yaml_mark_t, file: String) {
        self.init(file: file, line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }
}
