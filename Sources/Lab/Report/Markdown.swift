/// Markdown as GitHub and terminals read it. Text cannot become markup.
enum Markdown {
    static func text(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\", "`", "*", "_", "[", "]", "<", ">", "|", "#", "~", "&": result += "\\\(character)"
            case _ where character.isNewline || character == "\t": result += " "
            // A terminal would obey them.
            case _ where character.unicodeScalars.contains { $0.properties.generalCategory == .control }:
                result.append("\u{FFFD}")
            default: result.append(character)
            }
        }
        return result
    }

    static func table(_ titles: [String], _ rows: [[String]], numbersFrom first: Int) -> String {
        func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
        let rule = titles.indices.map { $0 >= first ? "--:" : "---" }
        return line(titles.map(text)) + line(rule) + rows.map { line($0.map(text)) }.joined()
    }

    static func list(_ items: [String]) -> String { items.map { "- \($0)\n" }.joined() }
}
