import Base
import Glibc

/// How a comparison is told.
struct Change {
    enum Verdict { case worse, better, different, unproved }

    let verdict: Verdict
    /// So many times worse than what it is compared with: below 1, better. Of a measure without a better side its ratio. Nil without
    /// a ratio.
    let cost: Double?
    let costInterval: ClosedRange<Double>?
    /// `+12 %`, `×8.0`, `÷6.2`.
    let text: String
    /// The same in words that stand alone; that nothing is proved, where it is not.
    let words: String

    init(_ comparison: Comparison, _ measure: Measure) {
        let isInverse = measure.better == .higher
        cost = comparison.ratio.map { isInverse ? 1 / $0 : $0 }
        costInterval = comparison.interval.map { isInverse ? 1 / $0.upperBound...1 / $0.lowerBound : $0 }
        text = comparison.ratio.map(Change.text) ?? (comparison.isDifferent ? "differs" : "")
        guard comparison.isDifferent else {
            verdict = .unproved
            let reason = comparison.probability == nil ? "too few values to tell" : "no difference proved"
            words = text.isEmpty ? reason : "\(reason) (\(text))"
            return
        }
        switch (measure.better, cost) {
        case (.neither, _), (_, nil): verdict = .different
        case (_, let cost?): verdict = cost > 1 ? .worse : .better
        }
        switch verdict {
        case .worse: words = text + ", worse"
        case .better: words = text + ", better"
        case .different, .unproved: words = text
        }
    }

    /// A ratio near 1 in per cent, others as a factor or a divisor.
    static func text(_ ratio: Double) -> String {
        guard ratio < 0.5 || ratio >= 2 else {
            let percent = (ratio - 1) * 100
            let size = Decimal.text(abs(percent), abs(percent) < 9.95 ? 1 : 0)
            return (size == "0.0" ? "±" : percent < 0 ? "−" : "+") + size + "\u{A0}%"
        }
        guard ratio > 0 else { return "×0" }
        let factor = ratio < 1 ? 1 / ratio : ratio
        return (ratio < 1 ? "÷" : "×") + Decimal.text(factor, factor < 9.95 ? 1 : 0)
    }

    /// `+10 % to +14 %`.
    static func text(_ interval: ClosedRange<Double>) -> String {
        text(interval.lowerBound) + " to " + text(interval.upperBound)
    }
}
