import Glibc

extension Comparison {
    /// Compares values that were not measured in turn, as those of two runs: Welch's test, of logarithms where there are any. It does
    /// not assume that both scatter alike. (B. L. Welch, 1947; degrees of freedom by Satterthwaite.)
    ///
    /// - Returns: `second` in relation to `first`.
    static func unpaired(_ first: [Double], _ second: [Double]) -> Comparison {
        let isPositive = first.allSatisfy { $0 > 0 } && second.allSatisfy { $0 > 0 }
        let a = Moments(isPositive ? first.map { log($0) } : first)
        let b = Moments(isPositive ? second.map { log($0) } : second)
        guard a.count > 0, b.count > 0 else { return Comparison(ratio: nil, interval: nil, probability: nil) }
        let difference = b.mean - a.mean
        let ratio = isPositive ? exp(difference) : nil
        guard a.count >= 2, b.count >= 2 else { return Comparison(ratio: ratio, interval: nil, probability: nil) }
        let (errorA, errorB) = (a.variance / a.count, b.variance / b.count)
        let error = (errorA + errorB).squareRoot()
        guard error > 0 else {
            // Values that never differ have no scatter.
            return Comparison(
                ratio: ratio, interval: ratio.map { $0...$0 }, probability: difference == 0 ? 1 : 0)
        }
        let degrees =
            (errorA + errorB) * (errorA + errorB)
            / (errorA * errorA / (a.count - 1) + errorB * errorB / (b.count - 1))
        let half = StudentT.quantile(0.975, degrees: degrees) * error
        return Comparison(
            ratio: ratio, interval: isPositive ? exp(difference - half)...exp(difference + half) : nil,
            probability: StudentT.twoSided(difference / error, degrees: degrees))
    }

    private struct Moments {
        let count: Double
        let mean: Double
        let variance: Double

        init(_ values: [Double]) {
            let count = Double(values.count)
            let mean = values.isEmpty ? 0 : values.reduce(0, +) / count
            self.count = count
            self.mean = mean
            variance = values.count < 2 ? 0 : values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        }
    }
}
