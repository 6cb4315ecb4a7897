import Base

/// What a bar, a line or a mark looks like: patterns, dashes and shapes, so that a printout without colours can be read.
struct FigureStyle: Hashable {
    /// From 0 to 7.
    let index: Int

    static let count = 8

    /// The same word looks the same in all figures.
    private static let known = [
        "process": 0, "container": 1, "pod": 2, "microvm": 3, "machine": 4, "none": 0, "competing": 1, "orthogonal": 2,
        "adversarial": 3,
    ]

    /// - Parameter index: for words that have no style of their own.
    init(_ word: String, _ index: Int) { self.index = FigureStyle.known[word] ?? index % FigureStyle.count }

    /// Of several that stand together: each of its own.
    static func distinct(_ words: [String]) -> [FigureStyle] {
        let styles = words.enumerated().map {
            FigureStyle($0.element.split(separator: " ").first.map(String.init) ?? "", $0.offset)
        }
        return Set(styles).count == styles.count ? styles : words.indices.map { FigureStyle("", $0) }
    }

    var fill: String { "s\(index)" }

    /// `stroke-dasharray`.
    var dash: String {
        ["none", "none", "7 3", "2 3", "9 3 2 3", "1 5", "12 4", "5 2 1 2 1 2"][index]
    }

    /// A mark around a point.
    func mark(_ x: Double, _ y: Double) -> Markup {
        let r = 4.0
        func polygon(_ points: [(Double, Double)]) -> Markup {
            let text = points.map { SVG.number(x + $0.0 * r) + "," + SVG.number(y + $0.1 * r) }.joined(separator: " ")
            return Markup("polygon", [("points", text), ("class", isFilled ? "mark solid" : "mark")])
        }
        switch index {
        case 0, 1:
            return Markup(
                "circle",
                [
                    ("cx", SVG.number(x)), ("cy", SVG.number(y)), ("r", SVG.number(r)),
                    ("class", isFilled ? "mark solid" : "mark"),
                ])
        case 2, 5: return polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
        case 3, 6: return polygon([(0, -1.2), (1.1, 0.9), (-1.1, 0.9)])
        default: return polygon([(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)])
        }
    }

    private var isFilled: Bool { [1, 3, 5, 7].contains(index) }

    /// The patterns that the classes `s0` to `s7` of the style sheet name. Once a document.
    static var patterns: Markup {
        func pattern(_ id: String, _ size: Int, _ paths: String) -> Markup {
            Markup(
                "pattern",
                [
                    ("id", id), ("width", "\(size)"), ("height", "\(size)"), ("patternUnits", "userSpaceOnUse"),
                ]
            ) {
                Markup("rect", [("width", "\(size)"), ("height", "\(size)"), ("class", "ground")])
                Markup("path", [("d", paths), ("class", "hatch")])
            }
        }
        return Markup("svg", [("width", "0"), ("height", "0"), ("class", "patterns"), ("aria-hidden", "true")]) {
            Markup("defs") {
                pattern("p2", 6, "M-1 1L1 -1M0 6L6 0M5 7L7 5")
                pattern("p3", 6, "M-1 1L1 -1M0 6L6 0M5 7L7 5M-1 5L1 7M0 0L6 6M5 -1L7 1")
                pattern("p4", 4, "M0 2H4")
                pattern("p5", 4, "M2 1.4V2.6M1.4 2H2.6")
                pattern("p6", 4, "M2 0V4")
                pattern("p7", 6, "M-1 5L1 7M0 0L6 6M5 -1L7 1")
            }
        }
    }
}

/// What all figures are drawn with.
enum SVG {
    /// Coordinates: two decimals are more than a screen shows.
    static func number(_ value: Double) -> String {
        value.isFinite ? Decimal.text((value * 100).rounded() / 100, 2) : "0"
    }

    /// How wide a text of the figures' font is, about.
    static func width(_ text: String) -> Double { Double(text.count) * 6.7 }

    static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> Markup {
        Markup(
            "line",
            [
                ("x1", number(x1)), ("y1", number(y1)), ("x2", number(x2)), ("y2", number(y2)), ("class", style),
            ])
    }

    static func text(_ x: Double, _ y: Double, _ text: String, _ style: String = "") -> Markup {
        Markup("text", [("x", number(x)), ("y", number(y)), ("class", style)]) { text }
    }

    /// A whole picture.
    static func picture(
        width: Double, height: Double, title: String, @MarkupBuilder _ content: () -> [Markup]
    ) -> Markup {
        Markup(
            "svg",
            [
                ("viewBox", "0 0 \(number(width)) \(number(height))"), ("width", number(width)),
                ("height", number(height)), ("role", "img"), ("aria-label", title),
                ("xmlns", "http://www.w3.org/2000/svg"),
            ]
        ) {
            Markup("title") { title }
            content()
        }
    }
}
