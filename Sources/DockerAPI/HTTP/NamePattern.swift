/// The part of regular expressions people use in `--filter name=`: `^`, `$`, `.`, a character or `.` followed by `*`, `+`
/// or `?`, `\` before a character, and alternatives separated by `|`. Everything else stands for itself.
///
/// Matching takes time proportional to pattern times text: it follows all possibilities at once and never backtracks.
struct NamePattern: Sendable {
    private struct Atom {
        /// nil: any character.
        let character: Character?
        var isOptional = false
        var repeats = false
    }

    private struct Alternative {
        var atoms: [Atom] = []
        var tiedToStart = false
        var tiedToEnd = false
    }

    private let alternatives: [Alternative]

    init(_ pattern: String) {
        var alternatives = [Alternative()]
        var isEscaped = false
        for character in pattern {
            let last = alternatives.count - 1
            let lastAtom = alternatives[last].atoms.count - 1
            if isEscaped {
                alternatives[last].atoms.append(Atom(character: character))
                isEscaped = false
                continue
            }
            switch character {
            case "\\": isEscaped = true
            case "|": alternatives.append(Alternative())
            case "^" where lastAtom < 0: alternatives[last].tiedToStart = true
            case "$": alternatives[last].tiedToEnd = true
            case "*" where lastAtom >= 0:
                alternatives[last].atoms[lastAtom].isOptional = true
                alternatives[last].atoms[lastAtom].repeats = true
            case "+" where lastAtom >= 0: alternatives[last].atoms[lastAtom].repeats = true
            case "?" where lastAtom >= 0: alternatives[last].atoms[lastAtom].isOptional = true
            case ".": alternatives[last].atoms.append(Atom(character: nil))
            default: alternatives[last].atoms.append(Atom(character: character))
            }
        }
        self.alternatives = alternatives
    }

    func matches(_ text: String) -> Bool { alternatives.contains { NamePattern.matches($0, text) } }

    private static func matches(_ pattern: Alternative, _ text: String) -> Bool {
        let atoms = pattern.atoms
        // states[i]: the atoms before i have matched so far.
        var states = Array(repeating: false, count: atoms.count + 1)
        start(&states, atoms)
        if !pattern.tiedToEnd, states[atoms.count] { return true }
        for character in text {
            var next = Array(repeating: false, count: atoms.count + 1)
            for (index, atom) in atoms.enumerated() where states[index] {
                guard atom.character == nil || atom.character == character else { continue }
                next[index + 1] = true
                if atom.repeats { next[index] = true }
            }
            if !pattern.tiedToStart { start(&next, atoms) }
            skipOptional(&next, atoms)
            states = next
            if !pattern.tiedToEnd, states[atoms.count] { return true }
        }
        return states[atoms.count]
    }

    private static func start(_ states: inout [Bool], _ atoms: [Atom]) {
        states[0] = true
        skipOptional(&states, atoms)
    }

    private static func skipOptional(_ states: inout [Bool], _ atoms: [Atom]) {
        for (index, atom) in atoms.enumerated() where states[index] && atom.isOptional { states[index + 1] = true }
    }
}
