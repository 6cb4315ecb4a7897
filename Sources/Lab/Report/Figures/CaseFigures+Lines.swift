import Base

extension CaseFigures {
    /// The factor that is a number and so goes to the right, where there is one: how many, how much.
    var numericFactor: String? {
        let factors = item.rows.first?.condition.factors.map(\.name) ?? []
        return factors.first { name in
            let values = item.values(of: name)
            return values.count > 2 && values.allSatisfy { Double($0) != nil }
        }
    }

    /// A measure over the factor that is a number, a line for each combination of the others.
    func lines(_ measure: Measure) -> Markup? {
        guard let factor = numericFactor else { return nil }
        var lines: [(label: String, points: [LineFigure.Point])] = []
        for row in item.rows {
            guard let x = row.condition[factor].flatMap({ Double($0) }) else { continue }
            let label = subject.name(row.condition, without: factor)
            if !lines.contains(where: { $0.label == label }) { lines.append((label, [])) }
            guard let summary = row.summaries[measure.name], let place = lines.firstIndex(where: { $0.label == label })
            else { continue }
            lines[place].points.append(LineFigure.Point(x: x, y: summary.median, interval: summary.interval))
        }
        let styles = FigureStyle.distinct(lines.map(\.label))
        return LineFigure(
            title: "\(item.title): \(measure.name) over \(factor)", xTitle: factor, yTitle: measure.axisTitle,
            lines: zip(lines, styles).map { line, style in
                LineFigure.Line(
                    label: line.label.isEmpty ? measure.name : line.label, style: style,
                    points: line.points.sorted { $0.x < $1.x })
            }
        ).svg
    }

    /// What trials recorded over time: a figure for each name, a line for each condition, the median of its rounds.
    var series: [Markup] {
        var names: [String] = []
        for row in item.rows {
            for sample in row.samples {
                for name in sample.trial.series.keys.sorted() where name != "time" && !names.contains(name) {
                    names.append(name)
                }
            }
        }
        return names.compactMap { name in
            let styles = FigureStyle.distinct(item.rows.map { subject.name($0.condition) })
            let lines = zip(item.rows, styles).compactMap { row, style -> LineFigure.Line? in
                let points = CaseFigures.points(name, row.samples)
                guard !points.isEmpty else { return nil }
                return LineFigure.Line(label: subject.name(row.condition), style: style, points: points)
            }
            let measure = item.measures.first { $0.name == name }
            let isTimed = item.rows.contains { $0.samples.contains { $0.trial.series["time"] != nil } }
            return LineFigure(
                title: "\(item.title): \(name) over time", xTitle: isTimed ? "seconds" : "step",
                yTitle: measure?.axisTitle ?? name, lines: lines, hasMarks: false
            ).svg
        }
    }

    /// The median over the rounds at each step that most of them reached.
    private static func points(_ name: String, _ samples: [Sample]) -> [LineFigure.Point] {
        let all = samples.compactMap { sample in
            sample.trial.series[name].map { (values: $0, time: sample.trial.series["time"] ?? []) }
        }
        let longest = all.map(\.values.count).max() ?? 0
        return (0..<longest).compactMap { step in
            let present = all.filter { $0.values.count > step && $0.values[step].isFinite }
            guard present.count * 2 >= all.count, let y = Summary(present.map { $0.values[step] })?.median else {
                return nil
            }
            let times = present.compactMap { $0.time.count > step ? $0.time[step] : nil }
            return LineFigure.Point(x: Summary(times)?.median ?? Double(step), y: y)
        }
    }
}
