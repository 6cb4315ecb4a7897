/// A tournament tree over nodes: finds the node with the lowest key that has so much CPU and memory free.
///
///                    key 3, cpu 8, mem 16                  an inner entry: the lowest key of the two below,
///                   ╱                    ╲                 and the most free CPU and memory of either
///        key 3, cpu 2, mem 16      key 5, cpu 8, mem 4
///            ╱       ╲                 ╱       ╲
///        3,2,16     4,1,2           5,8,1     9,4,4        a leaf: a node
///
/// A search follows the lower key first, and leaves out what has no room or no lower key than found already. When the loads of
/// nodes are alike, as spreading makes them, it goes down once: its cost, and that of a change, is the logarithm of the nodes.
struct NodeTree: Sendable {
    struct Entry: Sendable, Equatable {
        var key: UInt64
        var cpu: Int64
        var memory: Int64

        /// Never chosen.
        static let none = Entry(key: .max, cpu: .min, memory: .min)
    }

    /// Position 1 is the root, those below `i` are `2i` and `2i + 1`, and the leaves are the last half.
    private var entries: ContiguousArray<Entry>
    private let base: Int

    /// - Parameter count: leaves, all of them never chosen at first.
    init(count: Int) {
        var base = 1
        while base < count { base *= 2 }
        self.base = base
        entries = ContiguousArray(repeating: .none, count: 2 * base)
    }

    private static func merge(_ left: Entry, _ right: Entry) -> Entry {
        Entry(key: min(left.key, right.key), cpu: max(left.cpu, right.cpu), memory: max(left.memory, right.memory))
    }

    /// Changes a leaf, and what is above it as far as it differs.
    mutating func set(_ leaf: Int, _ entry: Entry) { replace(base + leaf, entry) }

    /// Takes an entry, with all below it, out of searches.
    mutating func block(_ position: Int) { replace(position, .none) }

    /// Takes an entry that is no leaf back into them.
    mutating func unblock(_ position: Int) {
        if position < base { replace(position, NodeTree.merge(entries[2 * position], entries[2 * position + 1])) }
    }

    /// The leaf at a position; nil when others are below it.
    func leaf(at position: Int) -> Int? { position < base ? nil : position - base }

    private mutating func replace(_ position: Int, _ entry: Entry) {
        entries.withUnsafeMutableBufferPointer { entries in
            var index = position
            if entries[index] == entry { return }
            entries[index] = entry
            while index > 1 {
                index /= 2
                let merged = NodeTree.merge(entries[2 * index], entries[2 * index + 1])
                if entries[index] == merged { return }
                entries[index] = merged
            }
        }
    }

    /// Changes a leaf without what is above it; `build` follows.
    mutating func fill(_ leaf: Int, _ entry: Entry) { entries[base + leaf] = entry }

    mutating func build() {
        for index in stride(from: base - 1, to: 0, by: -1) {
            entries[index] = NodeTree.merge(entries[2 * index], entries[2 * index + 1])
        }
    }

    /// The leaf with the lowest key among those with that much free, and of equal ones the first.
    ///
    /// - Parameter full: positions that were met and have no room below them. Who searches for the same again blocks them, so
    ///   that full nodes with low keys are met once, and not in each search.
    func lowest(cpu: Int64, memory: Int64, full: inout [Int]) -> Int? {
        var search = Search(cpu: cpu, memory: memory)
        entries.withUnsafeBufferPointer { search.descend($0, 1, base) }
        full = search.full
        return search.best == .max ? nil : search.found
    }

    private struct Search {
        let cpu: Int64
        let memory: Int64
        var best = UInt64.max
        var found = 0
        var full: [Int] = []

        init(cpu: Int64, memory: Int64) {
            self.cpu = cpu
            self.memory = memory
        }

        mutating func descend(_ entries: UnsafeBufferPointer<Entry>, _ index: Int, _ base: Int) {
            let entry = entries[index]
            if entry.key > best || (entry.key == best && firstLeaf(index, base) >= found) { return }
            if entry.cpu < cpu || entry.memory < memory { return full.append(index) }
            if index >= base {
                best = entry.key
                found = index - base
                return
            }
            let isLeftFirst = entries[2 * index].key <= entries[2 * index + 1].key
            descend(entries, isLeftFirst ? 2 * index : 2 * index + 1, base)
            descend(entries, isLeftFirst ? 2 * index + 1 : 2 * index, base)
        }

        /// The leaf furthest to the left below an entry.
        private func firstLeaf(_ index: Int, _ base: Int) -> Int {
            index << (index.leadingZeroBitCount - base.leadingZeroBitCount) - base
        }
    }
}
