import Testing

/// What must not be in the code.
struct SourceTests {
    private let repository: Repository
    private let sources: [Repository.File]

    init() throws {
        repository = try Repository()
        sources = repository.files(in: "Sources", suffixes: [".swift", ".c", ".h"])
        #expect(sources.count > 100)
    }

    @Test func nothingForks() {
        // After fork in a process with threads only async-signal-safe code may run: clone3 in CLinux, or posix_spawn.
        // A container's init is a small program of its own, without threads.
        for file in sources where !file.path.hasPrefix("Sources/skala-init/") {
            for word in ["fork(", "vfork(", "daemon(", "popen(", "system("] {
                let code = file.code
                #expect(!code.contains(word: word) || code.contains("." + word), "\(file.path) calls \(word)")
            }
        }
    }

    @Test func nothingImportsFoundation() {
        for file in sources {
            for line in file.lines where line.contains(word: "import") {
                #expect(!line.contains("Foundation") && !line.contains(word: "Dispatch"), "\(file.path): \(line)")
            }
        }
    }

    @Test func nothingTrapsOnPurpose() {
        for file in sources + repository.files(in: "Tests", suffixes: [".swift"]) {
            let banned = ["try" + "!", "as" + "!", "fatal" + "Error("]
            for word in banned { #expect(!file.code.contains(word), "\(file.path) has \(word)") }
        }
    }

    @Test func librariesDoNotPrint() {
        // Command lines print what they were asked for; everything else logs.
        let printers = ["Sources/skala/", "Sources/Warden/RuntimeCommand", "Sources/Warden/WardenCommand"]
        for file in sources where !printers.contains(where: file.path.hasPrefix) {
            let prints = file.code.contains(word: "print(") || file.code.contains(word: "printf(")
            #expect(!prints, "\(file.path) prints")
        }
    }

    @Test func filesAreOfReadableLength() {
        for file in sources + repository.files(in: "Tests", suffixes: [".swift"]) {
            #expect(file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines")
        }
    }

    @Test func everyFunctionOfCIsUsed() {
        let headers = repository.files(in: "Sources/CLinux/include", suffixes: [".h"])
        var declared: Set<String> = []
        for header in headers {
            for line in header.code.split(separator: "\n") where line.contains("(") {
                // `int cl_open(…`: the word in front of the parenthesis.
                let head = line.prefix { $0 != "(" }
                guard let name = head.split(whereSeparator: { $0 == " " || $0 == "*" }).last, name.hasPrefix("cl_"),
                    !line.hasPrefix("#")
                else { continue }
                declared.insert(String(name))
            }
        }
        #expect(declared.count > 10)
        let users = sources.filter { $0.path.hasSuffix(".swift") }.map(\.code)
        for name in declared.sorted() {
            #expect(users.contains { $0.contains(word: name) }, "\(name) of CLinux is used nowhere")
        }
    }

    @Test func nothingNamesTheMachineItWasWrittenOn() {
        // Put together here, so that this file does not name them itself.
        let folders = ["/wo" + "rk/shared", "/wo" + "rk/main", "/wo" + "rk/wt-", "/tmp" + "/bin/", "/root" + "/."]
        for file in repository.files {
            for folder in folders { #expect(!file.text.contains(folder), "\(file.path) names \(folder)") }
        }
    }
}
