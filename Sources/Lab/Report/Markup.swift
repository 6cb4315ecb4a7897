/// HTML or SVG in the making. What is put into it as text, or as an attribute's value, cannot become markup.
struct Markup: Sendable {
    let text: String

    private init(verbatim text: String) { self.text = text }

    /// Text.
    init(_ text: String) { self.text = Markup.escaped(text) }

    /// An element.
    init(
        _ name: StaticString, _ attributes: [(StaticString, String)] = [], @MarkupBuilder _ content: () -> [Markup]
    ) {
        text = Markup.opening(name, attributes) + content().map(\.text).joined() + "</\(name)>"
    }

    /// An element without content.
    init(_ name: StaticString, _ attributes: [(StaticString, String)]) {
        text = Markup.opening(name, attributes) + "</\(name)>"
    }

    /// An element of HTML that never has content, and so no end.
    static func void(_ name: StaticString, _ attributes: [(StaticString, String)]) -> Markup {
        Markup(verbatim: opening(name, attributes))
    }

    /// Our own source, as it is: a style sheet, a script.
    static func source(_ text: StaticString) -> Markup { Markup(verbatim: "\(text)") }

    /// JSON within a script element: there `<` could end it.
    static func data(_ json: String) -> Markup { Markup(verbatim: json.replacing("<", with: "\\u003c")) }

    private static func opening(_ name: StaticString, _ attributes: [(StaticString, String)]) -> String {
        var text = "<\(name)"
        for (key, value) in attributes { text += " \(key)=\"\(escaped(value))\"" }
        return text + ">"
    }

    static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\n", "\t": result.unicodeScalars.append(scalar)
            // Control characters are no characters of a document.
            case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

@resultBuilder enum MarkupBuilder {
    static func buildExpression(_ text: String) -> [Markup] { [Markup(text)] }
    static func buildExpression(_ markup: Markup) -> [Markup] { [markup] }
    static func buildExpression(_ markup: Markup?) -> [Markup] { markup.map { [$0] } ?? [] }
    static func buildExpression(_ markup: [Markup]) -> [Markup] { markup }
    static func buildBlock(_ parts: [Markup]...) -> [Markup] { parts.flatMap { $0 } }
    static func buildOptional(_ part: [Markup]?) -> [Markup] { part ?? [] }
    static func buildEither(first part: [Markup]) -> [Markup] { part }
    static func buildEither(second part: [Markup]) -> [Markup] { part }
    static func buildArray(_ parts: [[Markup]]) -> [Markup] { parts.flatMap { $0 } }
}
