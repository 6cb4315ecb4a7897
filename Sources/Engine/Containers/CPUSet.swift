import Base

/// A set of CPUs in the form of cpuset(7): `0-3,8`.
struct CPUSet: Sendable, Hashable, CustomStringConvertible {
    /// Sorted.
    private(set) var cores: [Int]

    init(_ cores: some Sequence<Int>) { self.cores = Set(cores).sorted() }

    /// - Throws: `.invalid` naming the text.
    init(parsing text: String) throws(SkalaError) {
        var cores: Set<Int> = []
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let low = ends.first ?? nil, let high = ends.last ?? nil, ends.count <= 2,
                (0...high).contains(low), high < 65536
            else { throw SkalaError(.invalid, "invalid list of CPUs: '\(text)'") }
            cores.formUnion(low...high)
        }
        self.cores = cores.sorted()
    }

    var isEmpty: Bool { cores.isEmpty }

    func subtracting(_ other: CPUSet) -> CPUSet { CPUSet(Set(cores).subtracting(other.cores)) }
    func intersection(_ other: CPUSet) -> CPUSet { CPUSet(Set(cores).intersection(other.cores)) }
    func union(_ other: CPUSet) -> CPUSet { CPUSet(cores + other.cores) }

    var description: String {
        var ranges: [(low: Int, high: Int)] = []
        for core in cores {
            if let last = ranges.last, last.high + 1 == core {
                ranges[ranges.count - 1].high = core
            } else {
                ranges.append((core, core))
            }
        }
        return ranges.map { $0.low == $0.high ? "\($0.low)" : "\($0.low)-\($0.high)" }.joined(separator: ",")
    }
}
