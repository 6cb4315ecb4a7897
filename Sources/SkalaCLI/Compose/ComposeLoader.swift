import Base
import Kernel
import YAML

/// Reads Compose files into one document: variables filled in, `extends` and `include` carried out, files merged.
///
/// What comes from another folder has its paths written out, so that whoever reads the document needs to know one folder only.
struct ComposeLoader {
    /// Files read at most, each time one is: a project that includes itself in other words ends somewhere, too.
    private static let maximumFiles = 200
    private static let sections = ["services", "networks", "volumes", "secrets", "configs"]

    /// What names of files in errors are relative to.
    let shownFrom: String
    private var count = 0

    init(shownFrom: String) { self.shownFrom = shownFrom }

    /// Those files, a later one over an earlier one, with what they include.
    ///
    /// - Parameters:
    ///   - folder: what paths in them are relative to.
    ///   - chain: the files that include them.
    mutating func load(
        _ files: [String], folder: String, _ variables: ComposeVariables, chain: [String] = []
    ) throws -> YAMLNode {
        var merged: YAMLNode?
        for file in files {
            let node = try extended(try read(file, variables), in: file, folder, variables)
            merged = merged.map { ComposeMerge.merge($0, node) } ?? node
        }
        let document = merged ?? YAMLNode(.mapping([]), at: YAMLPlace(file: shown(files.first ?? folder)))
        return try included(document, folder, variables, chain: chain + files)
    }

    private mutating func read(_ file: String, _ variables: ComposeVariables) throws -> YAMLNode {
        count += 1
        guard count <= ComposeLoader.maximumFiles else {
            throw SkalaError(.exhausted, "\(shown(file)): more than \(ComposeLoader.maximumFiles) files are read")
        }
        guard let node = try YAMLParser.parse(try ComposeFile.bytes(file), name: shown(file)) else {
            throw SkalaError(.invalid, "\(file): the file is empty")
        }
        return try variables.fill(YAMLValue(node))
    }

    /// A file's name in errors: as short as the user knows it by.
    private func shown(_ file: String) -> String {
        file.hasPrefix(shownFrom + "/") ? String(file.dropFirst(shownFrom.count + 1)) : file
    }

    // MARK: extends

    /// The document with each of its services over the one that it extends.
    private mutating func extended(
        _ document: YAMLNode, in file: String, _ folder: String, _ variables: ComposeVariables
    ) throws -> YAMLNode {
        guard let services = document["services"], case .mapping(var entries) = services.content else {
            return document
        }
        let root = YAMLValue(document)
        for (index, entry) in entries.enumerated() where entry.value["extends"] != nil {
            entries[index].value = try service(
                entry.key, in: root, Origin(file: file, folder: folder), variables, chain: [])
        }
        return document.setting("services", to: YAMLNode(.mapping(entries), at: services.place))
    }

    private struct Origin {
        let file: String
        /// What its paths are relative to.
        let folder: String
    }

    /// A service with what it extends below it. `chain` are those that extend it, as people know them.
    private mutating func service(
        _ name: String, in document: YAMLValue, _ origin: Origin, _ variables: ComposeVariables, chain: [String]
    ) throws -> YAMLNode {
        guard let value = document["services"]?[name] else { throw document.fault("there is no service '\(name)'") }
        guard let extends = value["extends"] else { return value.node }
        if extends.isMapping { try extends.allowOnly(["service", "file"]) }
        guard let wanted = extends.isMapping ? extends["service"] : extends else {
            throw extends.fault("service is needed")
        }
        let base = try wanted.string()
        var (baseDocument, baseOrigin) = (document, origin)
        if let path = extends["file"] {
            let file = ComposePaths.normal(ComposeFile.absolute(try path.string(), origin.folder))
            // One that names its own file means itself.
            if file != ComposePaths.normal(origin.file) {
                do { baseDocument = YAMLValue(try read(file, variables)) } catch let error as SkalaError
                    where error.code == .notFound
                {
                    throw path.fault(error.message, .notFound)
                }
                baseOrigin = Origin(file: file, folder: ComposeFile.folder(of: file))
            }
        }
        let link = "\(shown(ComposePaths.normal(origin.file))): \(name)"
        guard !chain.contains(link) else {
            let circle = chain.drop { $0 != link } + [link]
            throw extends.fault("these services extend each other: " + circle.joined(separator: " → "))
        }
        guard baseDocument["services"]?[base] != nil else {
            throw wanted.fault("\(shown(baseOrigin.file)) has no service '\(base)'", .notFound)
        }
        var below = try service(base, in: baseDocument, baseOrigin, variables, chain: chain + [link])
        if baseOrigin.folder != origin.folder { below = ComposePaths.service(below, from: baseOrigin.folder) }
        return ComposeMerge.merge(below, value.node.setting("extends", to: nil)).setting("extends", to: nil)
    }

    // MARK: include

    /// The document with what it includes beside its own.
    private mutating func included(
        _ document: YAMLNode, _ folder: String, _ variables: ComposeVariables, chain: [String]
    ) throws -> YAMLNode {
        let root = YAMLValue(document)
        var result = document.setting("include", to: nil)
        guard let include = root["include"] else { return result }
        for entry in try include.elements() {
            if entry.isMapping { try entry.allowOnly(["path", "project_directory", "env_file"]) }
            guard let paths = entry.isMapping ? entry["path"] : entry else { throw entry.fault("path is needed") }
            let files = try paths.strings().map { ComposePaths.normal(ComposeFile.absolute($0, folder)) }
            guard let first = files.first else { throw paths.fault("path is needed") }
            if let file = files.first(where: chain.map(ComposePaths.normal).contains) {
                let circle = chain.map(ComposePaths.normal).drop { $0 != file } + [file]
                throw paths.fault("these files include each other: " + circle.map(shown).joined(separator: " → "))
            }
            let given = try entry.isMapping ? entry["project_directory"]?.string() : nil
            let own = given.map { ComposePaths.normal(ComposeFile.absolute($0, folder)) }
            let ownFolder = own ?? ComposeFile.folder(of: first)
            let inner = try self.variables(entry, folder, ownFolder, variables)
            let other: YAMLNode
            do {
                other = try load(files, folder: ownFolder, inner, chain: chain)
            } catch let error as SkalaError where error.code == .notFound && error.message.hasSuffix("no such file") {
                throw paths.fault(error.message, .notFound)
            }
            result = try adding(ComposePaths.document(other, from: ownFolder), to: result, entry)
        }
        return result
    }

    /// Those of the including project, then those of the included one's files of variables.
    private func variables(
        _ entry: YAMLValue, _ folder: String, _ ownFolder: String, _ outer: ComposeVariables
    ) throws -> ComposeVariables {
        let named = try entry.isMapping ? entry["env_file"]?.strings() : nil
        let files = named?.map { ComposeFile.absolute($0, folder) } ?? [ownFolder + "/.env"]
        var own: [(name: String, value: String)] = []
        for file in files where named != nil || ComposeFile.exists(file) {
            do {
                own += try EnvironmentFile.parse(
                    ComposeFile.text(file), name: shown(file),
                    outer: { name in
                        outer.value(name) ?? own.last { $0.name == name }?.value
                    })
            } catch let error as SkalaError where error.code == .notFound {
                throw (entry["env_file"] ?? entry).fault(error.message, .notFound)
            }
        }
        let values = own
        return ComposeVariables { name in outer.value(name) ?? values.last { $0.name == name }?.value }
    }

    /// - Throws: `.conflict` for something that both have, and not alike.
    private func adding(_ other: YAMLNode, to document: YAMLNode, _ entry: YAMLValue) throws(SkalaError) -> YAMLNode {
        var result = document
        for section in ComposeLoader.sections {
            guard case .mapping(let added)? = other[section]?.content else { continue }
            var entries: [YAMLNode.Entry] = []
            if case .mapping(let there)? = result[section]?.content { entries = there }
            for new in added {
                guard let old = entries.first(where: { $0.key == new.key }) else {
                    entries.append(new)
                    continue
                }
                guard old.value.isAlike(new.value) else {
                    throw SkalaError(
                        .conflict,
                        "\(new.keyPlace): \(section).\(new.key): it is included from \(entry.node.place), "
                            + "and another one is there: \(old.keyPlace)")
                }
            }
            let place = result[section]?.place ?? document.place
            result = result.setting(section, to: YAMLNode(.mapping(entries), at: place))
        }
        return result
    }
}

extension YAMLNode {
    /// A mapping with another value of a key; nil takes the key away.
    fileprivate func setting(_ key: String, to value: YAMLNode?) -> YAMLNode {
        guard case .mapping(var entries) = content else { return self }
        if let index = entries.firstIndex(where: { $0.key == key }) {
            if let value { entries[index].value = value } else { entries.remove(at: index) }
        } else if let value {
            entries.append(Entry(key: key, keyPlace: value.place, value: value))
        }
        return YAMLNode(.mapping(entries), at: place)
    }

    /// Whether both say the same, wherever they stand.
    fileprivate func isAlike(_ other: YAMLNode) -> Bool {
        switch (content, other.content) {
        case (.scalar(let a, _), .scalar(let b, _)): a == b
        case (.sequence(let a), .sequence(let b)): a.count == b.count && zip(a, b).allSatisfy { $0.isAlike($1) }
        case (.mapping(let a), .mapping(let b)):
            a.count == b.count
                && a.allSatisfy { entry in other[entry.key].map { entry.value.isAlike($0) } ?? false }
                && b.allSatisfy { entry in a.contains { $0.key == entry.key } }
        default: false
        }
    }
}
