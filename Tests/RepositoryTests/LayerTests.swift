import Testing

/// The layers of docs/architecture: imports go downwards only, in the order of Package.swift.
struct LayerTests {
    private static let pure: Set = ["Base", "OCI", "WardenProtocol", "Planning"]
    private static let allowed: [String: Set<String>] = [
        "Warden": ["CLinux", "Base", "Kernel", "Archives", "OCI", "WardenProtocol"]
    ]

    private let repository: Repository
    private let targets: [PackageDescription.Target]

    init() throws {
        repository = try Repository()
        targets = PackageDescription(try #require(repository.text("Package.swift"))).targets
    }

    private func imports(of file: Repository.File) -> [String] {
        file.lines.compactMap { line in
            var words = line.split(separator: " ")[...]
            while let first = words.first, first != "import" {
                guard ["public", "internal", "private", "package"].contains(first) || first.hasPrefix("@") else {
                    return nil
                }
                words.removeFirst()
            }
            guard words.count >= 2 else { return nil }
            let kinds: Set<Substring> = ["struct", "class", "enum", "func", "protocol", "var", "let", "typealias"]
            let name = kinds.contains(words[words.startIndex + 1]) ? words.dropFirst(2).first : words.dropFirst().first
            return name.map { String($0.prefix { $0 != "." }) }
        }
    }

    @Test func theDescriptionIsRead() {
        let names = targets.map(\.name)
        #expect(names.prefix(1) == ["CLinux"])
        #expect(names.contains("Engine") && names.contains("RepositoryTests"))
        #expect(targets.first { $0.name == "Kernel" }?.dependencies == ["CLinux", "CSeccomp", "Base"])
        #expect(targets.first { $0.name == "DockerAPI" }?.dependencies.last == "Services")
    }

    @Test func importsGoDownwards() {
        let order = targets.map(\.name)
        var count = 0
        for (index, target) in targets.enumerated() where target.kind != "testTarget" {
            for file in repository.files(in: "Sources/" + target.name, suffixes: [".swift"]) {
                for name in imports(of: file) {
                    count += 1
                    if let other = order.firstIndex(of: name) {
                        #expect(other < index, "\(file.path) imports \(name), which lies above")
                        #expect(target.dependencies.contains(name), "\(file.path): \(name) is no declared dependency")
                    }
                    if LayerTests.pure.contains(target.name) {
                        #expect(LayerTests.pure.contains(name), "\(file.path) is pure and imports \(name)")
                    }
                    if let allowed = LayerTests.allowed[target.name], order.contains(name) {
                        #expect(allowed.contains(name), "\(file.path) must not import \(name)")
                    }
                }
            }
        }
        #expect(count > 100)
    }

    @Test func dependenciesGoDownwards() {
        let order = targets.map(\.name)
        for (index, target) in targets.enumerated() where target.kind != "testTarget" {
            for name in target.dependencies {
                #expect(order[..<index].contains(name), "\(target.name) depends on \(name), which lies above")
            }
        }
    }

    @Test func everyFolderIsATarget() {
        let names = Set(targets.map(\.name))
        for file in repository.files where file.path.hasPrefix("Sources/") || file.path.hasPrefix("Tests/") {
            let parts = file.path.split(separator: "/")
            guard parts.count > 2, file.path.hasSuffix(".swift") else { continue }
            #expect(names.contains(String(parts[1])), "\(file.path) is in no target")
        }
    }
}
