import CLinux
import Glibc
import Kernel

/// The checkout these tests were built from.
struct Repository: Sendable {
    struct File: Sendable {
        /// From the root: `Sources/Base/JSON.swift`.
        let path: String
        let text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

        /// The text without what `//` begins. Slashes inside strings do not matter here: too little is left, never too
        /// much.
        let code: String

        init(path: String, text: String) {
            self.path = path
            self.text = text
            code = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                line.range(of: "//").map { line[..<$0.lowerBound] } ?? line
            }.joined(separator: "\n")
        }
    }

    let root: String
    /// Every text file, but for what builds make.
    let files: [File]

    /// Read once: every test asks for it.
    private static let shared = Result { try Repository(reading: ()) }

    init() throws { self = try Repository.shared.get() }

    private init(reading: Void) throws {
        // Tests/RepositoryTests/Repository.swift
        root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
        var found: [File] = []
        var folders = [""]
        while let folder = folders.popLast() {
            for name in try FileContents.names(in: root + "/" + folder) {
                if name == ".git" || name == "Package.resolved" || name.hasPrefix(".build") { continue }
                let path = folder.isEmpty ? name : folder + "/" + name
                var status = stat()
                guard lstat(root + "/" + path, &status) == 0 else { continue }
                switch status.st_mode & S_IFMT {
                case S_IFDIR: folders.append(path)
                case S_IFREG:
                    let bytes = try FileContents.read(root + "/" + path)
                    // Programs, archives and pictures hold zero bytes.
                    if !bytes.prefix(8192).contains(0) {
                        found.append(File(path: path, text: String(decoding: bytes, as: UTF8.self)))
                    }
                default: continue
                }
            }
        }
        files = found.sorted { $0.path < $1.path }
    }

    func files(in folder: String, suffixes: [String]) -> [File] {
        files.filter { file in file.path.hasPrefix(folder + "/") && suffixes.contains(where: file.path.hasSuffix) }
    }

    func text(_ path: String) -> String? { files.first { $0.path == path }?.text }

    func exists(_ path: String) -> Bool { access(root + "/" + path, F_OK) == 0 }
}

extension StringProtocol {
    /// The first occurrence of `text`, by bytes.
    func range(of text: String) -> Range<Index>? {
        let wanted = Array(text.utf8)
        let offset = utf8.withContiguousStorageIfAvailable { bytes -> Int? in
            guard let start = bytes.baseAddress, let first = wanted.first else { return nil }
            var at = 0
            // memchr and memcmp: these tests look for hundreds of words in all of the code.
            while bytes.count - at >= wanted.count,
                let found = memchr(start + at, Int32(first), bytes.count - at - wanted.count + 1)
            {
                at = UnsafeRawPointer(start).distance(to: UnsafeRawPointer(found))
                if memcmp(found, wanted, wanted.count) == 0 { return at }
                at += 1
            }
            return nil
        }
        guard let offset = offset ?? nil else { return nil }
        let start = utf8.index(startIndex, offsetBy: offset)
        return start..<utf8.index(start, offsetBy: text.utf8.count)
    }

    func contains(_ text: String) -> Bool { range(of: text) != nil }

    /// Whether `word` occurs and is no part of a longer name.
    func contains(word: String) -> Bool {
        func isName(_ byte: UInt8?) -> Bool {
            guard let byte else { return false }
            let character = Character(Unicode.Scalar(byte))
            return character == "_" || character.isASCII && (character.isLetter || character.isNumber)
        }
        var rest = Substring(self)
        while let found = rest.range(of: word) {
            let before = rest.utf8[..<found.lowerBound].last
            let after = rest.utf8[found.upperBound...].first
            if !isName(before), !isName(after) || !isName(word.utf8.last) { return true }
            rest = rest[found.upperBound...]
        }
        return false
    }
}
