import Base
import Glibc

/// An axis: where values lie on it, and which are written beside it.
struct FigureScale {
    let isLogarithmic: Bool
    let low: Double
    let high: Double
    let ticks: [Double]

    /// The range whose ratio needs a logarithmic axis.
    static let wideRatio = 20.0

    /// - Parameter origin: a value that is to be on the axis, where bars begin.
    init(_ values: [Double], origin: Double?, isLogarithmic: Bool) {
        let shown = (values + (origin.map { [$0] } ?? [])).filter { $0.isFinite && (!isLogarithmic || $0 > 0) }
        let low = shown.min() ?? 0
        let high = shown.max() ?? 1
        self.isLogarithmic = isLogarithmic
        if isLogarithmic {
            let steps = FigureScale.logarithmicTicks(max(low, 1e-300), high)
            ticks = steps
            self.low = min(low, steps.first ?? low)
            self.high = max(high, steps.last ?? high)
        } else {
            let steps = FigureScale.linearTicks(low, high)
            ticks = steps
            self.low = min(low, steps.first ?? low)
            self.high = max(high, steps.last ?? high)
        }
    }

    /// From 0 to 1.
    func position(_ value: Double) -> Double {
        guard high > low else { return 0 }
        let share =
            isLogarithmic
            ? log(max(value, low) / low) / log(high / low) : (value - low) / (high - low)
        return min(1, max(0, share))
    }

    /// Steps of 1, 2 or 5 that enclose the range.
    private static func linearTicks(_ low: Double, _ high: Double) -> [Double] {
        let span = high > low ? high - low : max(abs(high), 1)
        let raw = span / 5
        let power = pow(10, floor(log10(raw)))
        let step = ([1, 2, 5, 10].first { $0 * power >= raw * 0.999 } ?? 10) * power
        let first = floor(low / step + 1e-9)
        let last = max(first + 1, ceil(high / step - 1e-9))
        guard last - first < 20 else { return [low, high] }
        return (0...Int(last - first)).map { (first + Double($0)) * step }
    }

    /// 1, 2 and 5 of each decade, or 1 alone where they are many, that enclose the range.
    private static func logarithmicTicks(_ low: Double, _ high: Double) -> [Double] {
        let decades = log10(high / low)
        let factors: [Double] = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
        var all: [Double] = []
        for exponent in Int(floor(log10(low)))...Int(ceil(log10(high))) {
            for factor in factors { all.append(factor * pow(10, Double(exponent))) }
        }
        let begin = all.last { $0 <= low * 1.001 } ?? low
        let end = all.first { $0 >= high * 0.999 } ?? high
        var ticks = all.filter { $0 >= begin && $0 <= end }
        while ticks.count > 9 { ticks = ticks.indices.filter { $0.isMultiple(of: 2) }.map { ticks[$0] } }
        return ticks
    }

    /// As short as it can be told: `2000000` is `2M`.
    static func label(_ value: Double) -> String {
        let units: [(Double, String)] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")]
        for (size, unit) in units where abs(value) >= size {
            return short(value / (unit == "k" ? 1e3 : size)) + unit
        }
        return short(value)
    }

    private static func short(_ value: Double) -> String {
        var text = abs(value) >= 1 || value == 0 ? Decimal.text(value, 2) : Decimal.significant(value)
        guard text.contains("."), !text.contains("e") else { return text }
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }
}
