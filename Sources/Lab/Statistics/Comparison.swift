import Glibc

/// A condition beside the one it is compared with: whether there is a difference, and how large it is.
public struct Comparison: Sendable, Hashable {
    /// The condition's value in relation to the other's; nil where there are values of 0 or below.
    public let ratio: Double?
    /// Of the ratio, with 95 %.
    public let interval: ClosedRange<Double>?
    /// The probability of such a difference by chance, for this comparison alone; nil where nothing can be said.
    public let probability: Double?
    /// Whether a difference is called one, in the family of all comparisons of the experiment.
    public internal(set) var isDifferent = false

    /// A difference smaller than this is not called one, however sure it is.
    public static let smallestEffect = 0.02
    /// Of a family of comparisons without any difference, so many at most call one.
    public static let familyError = 0.05
}

/// The values of one measure under the conditions of one case, by round: `values[condition][round]`. Conditions of a round were
/// measured one after the other, in random order: what disturbed the host then disturbed all of them alike (a randomized block design).
struct Blocks {
    private let values: [[Int: Double]]
    /// Logarithms, so that noise and differences are relative; nil where a value has none.
    private let logarithms: [[Int: Double]]?

    init(_ values: [[Int: Double]]) {
        self.values = values
        let isPositive = values.allSatisfy { $0.values.allSatisfy { $0 > 0 } }
        logarithms = isPositive ? values.map { $0.mapValues { log($0) } } : nil
    }

    /// Compares two conditions by the rounds both have.
    ///
    /// From six rounds on by the differences within rounds alone (paired t test). With fewer the scatter is estimated from all
    /// conditions of the case together, with the rounds' own effect taken out, which assumes that they scatter alike.
    func compare(_ condition: Int, with base: Int) -> Comparison {
        let data = logarithms ?? values
        let differences = data[condition].compactMap { round, value in data[base][round].map { value - $0 } }.sorted()
        let count = Double(differences.count)
        guard count >= 2 else { return Comparison(ratio: ratio(differences), interval: nil, probability: nil) }
        let mean = differences.reduce(0, +) / count
        let error: Double
        let degrees: Double
        if count >= 6 || data.count == 2 {
            degrees = count - 1
            error = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / degrees / count).squareRoot()
        } else {
            let residual = residual(data)
            degrees = residual.degrees
            error = (2 * residual.variance / count).squareRoot()
        }
        guard degrees >= 1 else { return Comparison(ratio: ratio(differences), interval: nil, probability: nil) }
        let half = StudentT.quantile(0.975, degrees: degrees) * error
        // Values that never differ have no scatter: whole numbers, for instance.
        let probability = error > 0 ? StudentT.twoSided(mean / error, degrees: degrees) : mean == 0 ? 1 : 0
        guard logarithms != nil else { return Comparison(ratio: nil, interval: nil, probability: probability) }
        return Comparison(ratio: exp(mean), interval: exp(mean - half)...exp(mean + half), probability: probability)
    }

    private func ratio(_ differences: [Double]) -> Double? {
        logarithms != nil && !differences.isEmpty ? exp(differences.reduce(0, +) / Double(differences.count)) : nil
    }

    /// The variance of a value once the means of its condition and of its round are taken away, in rounds that are complete.
    private func residual(_ data: [[Int: Double]]) -> (variance: Double, degrees: Double) {
        let present = data.filter { !$0.isEmpty }
        guard let first = present.first else { return (0, 0) }
        let rounds = first.keys.filter { round in present.allSatisfy { $0[round] != nil } }.sorted()
        let rows = present.map { values in rounds.compactMap { values[$0] } }
        let (conditions, blocks) = (Double(rows.count), Double(rounds.count))
        let degrees = (conditions - 1) * (blocks - 1)
        guard degrees >= 1 else { return (0, 0) }
        let rowMeans = rows.map { $0.reduce(0, +) / blocks }
        let total = rowMeans.reduce(0, +) / conditions
        let columnMeans = rounds.indices.map { index in rows.reduce(0) { $0 + $1[index] } / conditions }
        var sum = 0.0
        for (row, rowMean) in zip(rows, rowMeans) {
            for (value, columnMean) in zip(row, columnMeans) {
                let residual = value - rowMean - columnMean + total
                sum += residual * residual
            }
        }
        return (sum / degrees, degrees)
    }
}

extension Comparison {
    /// Decides for a whole family which of its comparisons show a difference: those whose probability Holm's procedure lets
    /// pass, and whose effect is worth a word. (S. Holm, A simple sequentially rejective multiple test procedure, 1979.)
    ///
    /// - Parameter smallest: an effect below this is not worth a word.
    static func decide(_ family: inout [Comparison], smallest: Double = smallestEffect) {
        let tested = family.indices.filter { family[$0].probability != nil }
            .sorted { (family[$0].probability ?? 1, $0) < (family[$1].probability ?? 1, $1) }
        for (place, index) in tested.enumerated() {
            guard (family[index].probability ?? 1) <= familyError / Double(tested.count - place) else { break }
            let effect = family[index].ratio.map { abs(log($0)) } ?? .infinity
            family[index].isDifferent = effect >= log(1 + smallest)
        }
    }
}
