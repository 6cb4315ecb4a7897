import Base

/// Lines over a number: over time, or over a factor that is one. Each line has its name at its end.
struct LineFigure {
    struct Point {
        let x: Double
        let y: Double
        var interval: ClosedRange<Double>?
    }

    struct Line {
        let label: String
        let style: FigureStyle
        /// In the order of x.
        let points: [Point]
    }

    let title: String
    let xTitle: String
    let yTitle: String
    let lines: [Line]
    /// Points are marked, with their intervals. Otherwise they are too many for it.
    var hasMarks = true

    private static let width = 760.0
    private static let plotTop = 26.0
    private static let plotHeight = 230.0

    /// Nil without two points on a line.
    var svg: Markup? {
        let shown = lines.filter { !$0.points.isEmpty }
        guard shown.contains(where: { $0.points.count > 1 }) else { return nil }
        let points = shown.flatMap(\.points)
        let xs = points.map(\.x)
        let ys = points.map(\.y)
        let xScale = FigureScale(
            xs, origin: nil, isLogarithmic: (xs.min() ?? 0) > 0 && (xs.max() ?? 0) >= 10 * (xs.min() ?? 0) && hasMarks)
        let isWide = (ys.min() ?? 0) > 0 && (ys.max() ?? 0) > FigureScale.wideRatio * (ys.min() ?? 0) && hasMarks
        let floor = (ys.min() ?? 1) / 3
        let reach = ys + points.flatMap { $0.interval.map { [$0.lowerBound, $0.upperBound] } ?? [] }
        let yScale = FigureScale(
            isWide ? reach.map { max($0, floor) } : reach, origin: isWide ? nil : 0, isLogarithmic: isWide)
        let right = min(230, (shown.map { SVG.width($0.label) }.max() ?? 0) + 22)
        let frame = Frame(
            left: 58, right: LineFigure.width - right, top: LineFigure.plotTop,
            bottom: LineFigure.plotTop + LineFigure.plotHeight, xScale: xScale, yScale: yScale)
        let note = isWide ? " (logarithmic)" : ""
        return SVG.picture(width: LineFigure.width, height: frame.bottom + 42, title: title) {
            axes(frame)
            SVG.text(0, 12, yTitle + note, "axis")
            SVG.text((frame.left + frame.right) / 2, frame.bottom + 34, xTitle, "tick")
            for line in shown { curve(line, frame) }
            labels(shown, frame)
        }
    }

    private struct Frame {
        let left: Double
        let right: Double
        let top: Double
        let bottom: Double
        let xScale: FigureScale
        let yScale: FigureScale

        func x(_ value: Double) -> Double { left + xScale.position(value) * (right - left) }
        func y(_ value: Double) -> Double { bottom - yScale.position(value) * (bottom - top) }
    }

    private func axes(_ frame: Frame) -> [Markup] {
        var parts: [Markup] = []
        for tick in frame.yScale.ticks {
            let y = frame.y(tick)
            parts.append(SVG.line(frame.left, y, frame.right, y, tick == 0 ? "origin" : "grid"))
            parts.append(SVG.text(frame.left - 8, y + 4, FigureScale.label(tick), "tick end"))
        }
        // Where few values were chosen, those; otherwise round ones.
        let chosen = Array(Set(lines.flatMap { $0.points.map(\.x) })).sorted()
        for tick in hasMarks && chosen.count <= 8 ? chosen : frame.xScale.ticks {
            let x = frame.x(tick)
            parts.append(SVG.line(x, frame.bottom, x, frame.bottom + 4, "origin"))
            parts.append(SVG.text(x, frame.bottom + 17, FigureScale.label(tick), "tick"))
        }
        return parts
    }

    private func curve(_ line: Line, _ frame: Frame) -> [Markup] {
        let path = line.points.enumerated().map { index, point in
            "\(index == 0 ? "M" : "L")\(SVG.number(frame.x(point.x))) \(SVG.number(frame.y(point.y)))"
        }
        var parts = [
            Markup(
                "path", [("d", path.joined()), ("class", "curve"), ("stroke-dasharray", line.style.dash)])
        ]
        guard hasMarks else { return parts }
        for point in line.points {
            let x = frame.x(point.x)
            if let interval = point.interval {
                let (low, high) = (frame.y(interval.lowerBound), frame.y(interval.upperBound))
                let (a, b) = (SVG.number(x - 3.5), SVG.number(x + 3.5))
                let d =
                    "M\(SVG.number(x)) \(SVG.number(low))V\(SVG.number(high))M\(a) \(SVG.number(low))H\(b)"
                    + "M\(a) \(SVG.number(high))H\(b)"
                parts.append(Markup("path", [("d", d), ("class", "whisker")]))
            }
            parts.append(line.style.mark(x, frame.y(point.y)))
        }
        return parts
    }

    /// Names at the lines' ends, moved apart where they would lie on each other.
    private func labels(_ shown: [Line], _ frame: Frame) -> [Markup] {
        var places = shown.compactMap { line in
            line.points.last.map { (line: line, end: frame.y($0.y), x: frame.x($0.x), y: frame.y($0.y)) }
        }
        places.sort { $0.end < $1.end }
        for index in places.indices.dropFirst() { places[index].y = max(places[index].y, places[index - 1].y + 15) }
        let excess = max(0, (places.last?.y ?? 0) - frame.bottom - 4)
        var limit = Double.infinity
        for index in places.indices.reversed() {
            places[index].y = min(places[index].y, index == places.count - 1 ? places[index].y - excess : limit)
            limit = places[index].y - 15
        }
        return places.flatMap { place in
            [
                SVG.line(place.x + 5, place.end, frame.right + 9, place.y, "leader"),
                SVG.text(frame.right + 13, place.y + 4, place.line.label),
            ]
        }
    }
}
