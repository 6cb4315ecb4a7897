import Glibc
import Planning

/// What tasks got done at their places, over several orders of arrival.
struct PlacementScore {
    private let names: [String]
    private var logarithms: [String: [Double]] = [:]
    private var slowest: [Double] = []
    private var predicted: [Double] = []
    private var together: [Double] = []

    /// - Parameter names: of the kinds of tasks.
    init(_ names: [String]) { self.names = names }

    /// Adds the tasks of an order.
    ///
    /// - Parameters:
    ///   - kept: what each got done in relation to what it does alone.
    ///   - predicted: the same, as it was predicted.
    mutating func add(names: [String], resources: [Resource], nodes: [Int], kept: [Double], predicted: [Double]) {
        for (name, share) in zip(names, kept) { logarithms[name, default: []].append(PlacementScore.log(share)) }
        slowest.append(PlacementScore.log(kept.min() ?? 1))
        self.predicted += predicted.map(PlacementScore.log)
        let competing = resources.indices.filter { index in
            resources.indices.contains {
                $0 != index && nodes[$0] == nodes[index] && resources[$0] == resources[index]
            }
        }
        together.append(Double(competing.count))
    }

    /// By measure: geometric means in percent, and the mean number of tasks beside one that competes.
    var values: [String: Double] {
        var values = [
            "kept": PlacementScore.percent(logarithms.values.flatMap { $0 }),
            "slowest": PlacementScore.percent(slowest), "predicted": PlacementScore.percent(predicted),
            "together": together.reduce(0, +) / Double(max(1, together.count)),
        ]
        for name in names { values[name] = PlacementScore.percent(logarithms[name] ?? []) }
        return values
    }

    /// A task that gets nothing done has a thousandth, so that the others still count.
    private static func log(_ share: Double) -> Double { Glibc.log(max(share, 0.001)) }

    private static func percent(_ logarithms: [Double]) -> Double {
        100 * exp(logarithms.reduce(0, +) / Double(max(1, logarithms.count)))
    }
}
