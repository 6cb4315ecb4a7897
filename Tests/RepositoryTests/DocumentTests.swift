import Testing

/// The documents: links lead somewhere, commands exist, everything can be found.
struct DocumentTests {
    private let repository: Repository
    private let documents: [Repository.File]

    init() throws {
        repository = try Repository()
        documents = repository.files.filter { $0.path.hasSuffix(".md") }
    }

    /// The targets of `[text](target)`, without those in code.
    private func links(in file: Repository.File) -> [String] {
        var links: [String] = []
        var isCode = false
        for line in file.lines {
            if line.hasPrefix("```") { isCode.toggle() }
            if isCode { continue }
            // Every second piece is between backquotes.
            let pieces = line.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            var rest = pieces.map { $0.offset % 2 == 0 ? String($0.element) : "x" }.joined()[...]
            while let open = rest.range(of: "](") {
                let target = rest[open.upperBound...].prefix { $0 != ")" && $0 != " " }
                links.append(String(target))
                rest = rest[target.endIndex...]
            }
        }
        return links
    }

    /// A link's target as a path from the root; nil for addresses and places in the same document.
    private func path(of link: String, from file: Repository.File) -> String? {
        guard !link.contains("://"), !link.hasPrefix("mailto:"), !link.hasPrefix("#") else { return nil }
        var parts = file.path.split(separator: "/").dropLast().map(String.init)
        for part in link.prefix(while: { $0 != "#" }).split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
        }
        return parts.joined(separator: "/")
    }

    @Test func linksLeadSomewhere() {
        var count = 0
        for file in documents {
            for link in links(in: file) {
                guard let path = path(of: link, from: file) else { continue }
                count += 1
                let exists = repository.exists(path)  // a failed expectation shows its operands: not all files
                #expect(exists, "\(file.path) links to \(link), which does not exist")
            }
        }
        #expect(count > 0)
    }

    @Test func everyDocumentIsLinked() {
        var reached: Set = ["README.md", "docs/README.md"]
        var waiting = documents.filter { reached.contains($0.path) }
        while let file = waiting.popLast() {
            for link in links(in: file) {
                guard let path = path(of: link, from: file), reached.insert(path).inserted else { continue }
                waiting += documents.filter { $0.path == path }
            }
        }
        for file in documents where file.path.hasPrefix("docs/") {
            #expect(reached.contains(file.path), "\(file.path) is linked from no document")
        }
    }

    @Test func commandsOfMakeExist() throws {
        let makefile = try #require(repository.text("Makefile"))
        let targets = Set(
            makefile.split(separator: "\n").compactMap { line -> String? in
                guard let colon = line.firstIndex(of: ":"), line.first?.isLetter == true else { return nil }
                return String(line[..<colon])
            })
        #expect(targets.contains("test"))
        for file in documents {
            // In code only: prose makes other things too.
            var rest = file.text[...]
            while let found = rest.range(of: "`make ") {
                let name = rest[found.upperBound...].prefix { $0.isLetter || $0 == "-" }
                rest = rest[found.upperBound...]
                if !name.isEmpty { #expect(targets.contains(String(name)), "\(file.path): there is no make \(name)") }
            }
            for line in file.lines where line.hasPrefix("make ") {
                let name = line.dropFirst(5).prefix { $0.isLetter || $0 == "-" }
                #expect(targets.contains(String(name)), "\(file.path): there is no make \(name)")
            }
        }
    }

    @Test func decisionsAreNumberedWithoutGaps() {
        let names = documents.map(\.path).filter { $0.hasPrefix("docs/decisions/") && !$0.hasSuffix("README.md") }
        let numbers = names.map { Int($0.split(separator: "/").last?.prefix(4) ?? "") }
        #expect(!numbers.isEmpty)
        #expect(numbers == (0..<numbers.count).map { $0 + 1 }, "\(names)")
        for name in names {
            let number = name.split(separator: "/").last?.prefix(4) ?? ""
            let title = repository.text(name)?.split(separator: "\n").first ?? ""
            #expect(title.hasPrefix("# \(number): "), "\(name) has the title \(title)")
        }
    }
}
