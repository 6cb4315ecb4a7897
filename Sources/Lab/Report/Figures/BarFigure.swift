import Base

/// Horizontal bars in groups, each with its name to the left and its figures to the right.
///
/// Absolute values whose range needs a logarithmic axis are drawn as marks: there a bar's length says nothing.
struct BarFigure {
    struct Bar {
        let label: String
        let style: FigureStyle
        /// Nil where there is none: `text` says why.
        let value: Double?
        var interval: ClosedRange<Double>?
        /// Single values.
        var points: [Double] = []
        /// The figures.
        let text: String
        /// No difference is proved.
        var isFaint = false
    }

    struct Group {
        let label: String?
        let bars: [Bar]
    }

    enum Axis {
        /// Values with a unit, from 0.
        case absolute(unit: String)
        /// So many times worse than another, from 1.
        case factor(title: String)
        /// The share that is lost, from 0 to 1.
        case loss(title: String)
    }

    let title: String
    let axis: Axis
    let groups: [Group]

    private static let width = 760.0
    private static let rowHeight = 21.0
    private static let barHeight = 13.0

    private var bars: [Bar] { groups.flatMap(\.bars) }

    private var scale: FigureScale {
        let values = bars.flatMap { bar -> [Double] in
            guard let value = bar.value else { return [] }
            return [value] + bar.points + (bar.interval.map { [$0.lowerBound, $0.upperBound] } ?? [])
        }
        switch axis {
        case .absolute:
            let medians = bars.compactMap(\.value)
            let isWide =
                (medians.min() ?? 0) > 0 && (medians.max() ?? 0) > FigureScale.wideRatio * (medians.min() ?? 0)
            // An interval may reach below 0, where no logarithm is.
            let floor = (medians.min() ?? 1) / 3
            return isWide
                ? FigureScale(values.map { max($0, floor) }, origin: nil, isLogarithmic: true)
                : FigureScale(values, origin: 0, isLogarithmic: false)
        case .factor:
            // What is hardly known must not press all others together.
            let centre = bars.compactMap(\.value).filter { $0 > 0 }
            let limits = (centre.min() ?? 1) / 4...(centre.max() ?? 1) * 4
            return FigureScale(
                values.map { min(max($0, limits.lowerBound), limits.upperBound) }, origin: 1, isLogarithmic: true)
        case .loss:
            return FigureScale(values.map { min(1, max(-1, $0)) } + [1], origin: 0, isLogarithmic: false)
        }
    }

    private var origin: Double? {
        switch axis {
        case .absolute: scale.isLogarithmic ? nil : 0
        case .factor: 1
        case .loss: 0
        }
    }

    private func label(_ tick: Double) -> String {
        switch axis {
        case .absolute: FigureScale.label(tick)
        case .factor: "×" + FigureScale.label(tick)
        case .loss: Decimal.text(tick * 100, 0) + " %"
        }
    }

    private var axisTitle: String {
        switch axis {
        case .absolute(let unit): unit + (scale.isLogarithmic ? " (logarithmic)" : "")
        case .factor(let title): title + " (logarithmic)"
        case .loss(let title): title
        }
    }

    var svg: Markup {
        let scale = scale
        let left = min(230, max(80, (bars.map { SVG.width($0.label) }.max() ?? 0) + 18))
        let right = min(260, max(70, (bars.filter { $0.value != nil }.map { SVG.width($0.text) }.max() ?? 0) + 16))
        let plot = (begin: left, end: BarFigure.width - right)
        var y = 8.0
        var rows: [Markup] = []
        var lines: [Markup] = []
        for (number, group) in groups.enumerated() {
            if number > 0 { y += 9 }
            if let label = group.label {
                rows.append(SVG.text(0, y + 13, label, "group"))
                y += BarFigure.rowHeight
            }
            for bar in group.bars {
                rows += row(bar, y, plot, scale)
                y += BarFigure.rowHeight
            }
        }
        let bottom = y + 4
        for tick in scale.ticks {
            let x = plot.begin + scale.position(tick) * (plot.end - plot.begin)
            lines.append(SVG.line(x, 4, x, bottom, tick == origin ? "origin" : "grid"))
            lines.append(SVG.text(x, bottom + 15, label(tick), "tick"))
        }
        lines.append(SVG.text((plot.begin + plot.end) / 2, bottom + 32, axisTitle, "tick"))
        return SVG.picture(width: BarFigure.width, height: bottom + 40, title: title) {
            lines
            rows
        }
    }

    private func row(_ bar: Bar, _ y: Double, _ plot: (begin: Double, end: Double), _ scale: FigureScale) -> [Markup] {
        let middle = y + BarFigure.rowHeight / 2
        func x(_ value: Double) -> Double { plot.begin + scale.position(value) * (plot.end - plot.begin) }
        var parts = [SVG.text(plot.begin - 10, middle + 4, bar.label, "name")]
        guard let value = bar.value, value.isFinite else {
            let from = origin.map(x) ?? plot.begin
            parts.append(Markup("path", [("d", BarFigure.cross(from + 8, middle)), ("class", "cross")]))
            parts.append(SVG.text(from + 18, middle + 4, bar.text, "failed"))
            return parts
        }
        if let origin {
            let (from, to) = (min(x(origin), x(value)), max(x(origin), x(value)))
            parts.append(
                Markup(
                    "rect",
                    [
                        ("x", SVG.number(from)), ("y", SVG.number(middle - BarFigure.barHeight / 2)),
                        ("width", SVG.number(max(1, to - from))), ("height", SVG.number(BarFigure.barHeight)),
                        ("class", "bar \(bar.style.fill)\(bar.isFaint ? " faint" : "")"),
                    ]))
        }
        if let interval = bar.interval {
            let (low, high) = (x(interval.lowerBound), x(interval.upperBound))
            let d =
                "M\(SVG.number(low)) \(SVG.number(middle))H\(SVG.number(high))"
                + "M\(SVG.number(low)) \(SVG.number(middle - 3.5))V\(SVG.number(middle + 3.5))"
                + "M\(SVG.number(high)) \(SVG.number(middle - 3.5))V\(SVG.number(middle + 3.5))"
            parts.append(Markup("path", [("d", d), ("class", "halo")]))
            parts.append(Markup("path", [("d", d), ("class", "whisker")]))
        }
        for point in bar.points {
            parts.append(
                Markup(
                    "circle",
                    [
                        ("cx", SVG.number(x(point))), ("cy", SVG.number(middle + 5)), ("r", "1.6"), ("class", "point"),
                    ]))
        }
        if origin == nil { parts.append(bar.style.mark(x(value), middle)) }
        parts.append(SVG.text(plot.end + 12, middle + 4, bar.text, bar.isFaint ? "value faint" : "value"))
        return parts
    }

    private static func cross(_ x: Double, _ y: Double) -> String {
        let (a, b) = (SVG.number(x - 4), SVG.number(x + 4))
        let (c, d) = (SVG.number(y - 4), SVG.number(y + 4))
        return "M\(a) \(c)L\(b) \(d)M\(b) \(c)L\(a) \(d)"
    }
}
