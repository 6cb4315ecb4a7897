import Base

/// The part of Go's templates that scripts around docker use: `{{.State.Pid}}`, `{{json .Config.Env}}`, `{{.}}`, text in
/// between with `\t` and `\n`.
struct Template: Sendable {
    private enum Piece: Sendable {
        case text(String)
        case value(path: [String], asJSON: Bool)
    }

    private var pieces: [Piece] = []

    /// - Throws: `SkalaError` `.invalid` for a template that needs more than that.
    init(_ text: String) throws(SkalaError) {
        var literal = ""
        var rest = Substring(text)
        while let character = rest.popFirst() {
            if character == "\\", let next = rest.first, next == "t" || next == "n" {
                literal += next == "t" ? "\t" : "\n"
                rest = rest.dropFirst()
            } else if character == "{", rest.first == "{" {
                pieces.append(.text(literal))
                literal = ""
                let inner = rest.dropFirst().prefix { $0 != "}" }
                rest = rest.dropFirst(1 + inner.count)
                guard rest.hasPrefix("}}") else {
                    throw SkalaError(.invalid, "invalid template '\(text)': '{{' without '}}'")
                }
                rest = rest.dropFirst(2)
                pieces.append(try Template.value(inner))
            } else {
                literal.append(character)
            }
        }
        pieces.append(.text(literal))
    }

    private static func value(_ text: Substring) throws(SkalaError) -> Piece {
        let words = text.split(separator: " ")
        let asJSON = words.first == "json"
        guard words.count == (asJSON ? 2 : 1), let name = words.last, name.hasPrefix(".") else {
            throw SkalaError(
                .invalid, "invalid template '{{\(text)}}': only {{.Name.Member}} and {{json .Name}} are understood")
        }
        return .value(path: name.split(separator: ".").map(String.init), asJSON: asJSON)
    }

    /// - Throws: `SkalaError` `.invalid` naming a member the document does not have.
    func fill(_ document: JSON) throws(SkalaError) -> String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .text(let piece): text += piece
            case .value(let path, let asJSON):
                var value = document
                for name in path {
                    guard let object = value.object, let member = object[name] else {
                        throw SkalaError(.invalid, "template: there is no '.\(path.joined(separator: "."))'")
                    }
                    value = member
                }
                text += asJSON ? value.text : value.isNull ? "<nil>" : value.plain
            }
        }
        return text
    }
}
