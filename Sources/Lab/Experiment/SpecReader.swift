import Base
import YAML

/// An experiment's file, where a key of `quick` takes the place of the same key above.
struct SpecReader {
    let root: YAMLValue
    let quick: YAMLValue?
    /// Of the time that loads take.
    let scale: Double

    init(_ root: YAMLValue, quick: YAMLValue?, scale: Double = 1) {
        self.root = root
        self.quick = quick
        self.scale = scale
    }

    subscript(key: String) -> YAMLValue? { quick?[key] ?? root[key] }

    func required(_ key: String) throws(SkalaError) -> YAMLValue {
        guard let value = self[key] else { throw root.fault("the key '\(key)' is missing") }
        return value
    }

    /// What `image` names, of the experiment's images.
    func image(_ images: Set<String>) throws(SkalaError) -> String {
        let value = try required("image")
        let name = try value.string()
        guard images.contains(name) else { throw value.fault("no image '\(name)' stands under 'images'") }
        return name
    }
}

extension YAMLValue {
    /// A share as `5%` or `0.05`.
    func share() throws(SkalaError) -> Double {
        let text = try string()
        let number = text.hasSuffix("%") ? Double(text.dropLast()).map { $0 / 100 } : Double(text)
        guard let number, number > 0, number <= 1 else { throw fault("a share such as 5% is expected, not '\(text)'") }
        return number
    }

    /// A duration above zero, in nanoseconds.
    func positiveDuration() throws(SkalaError) -> Int64 {
        let value = try duration()
        guard value > 0 else { throw fault("more than no time is expected") }
        return value
    }

    /// One of an enumeration's words, or several in a list; each once.
    func words<Word: CaseIterable & RawRepresentable & Hashable>(
        _ type: Word.Type
    ) throws(SkalaError) -> [Word] where Word.RawValue == String {
        var words: [Word] = []
        for element in isList ? try elements() : [self] {
            let text = try element.word(type.allCases.map(\.rawValue))
            guard let word = type.init(rawValue: text) else { continue }
            guard !words.contains(word) else { throw element.fault("'\(text)' stands there twice") }
            words.append(word)
        }
        guard !words.isEmpty else { throw fault("at least one is expected") }
        return words
    }
}
