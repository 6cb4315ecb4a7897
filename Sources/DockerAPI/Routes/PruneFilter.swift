import Base
import Kernel

/// The filters every prune has: `until`, `label` and `label!`.
struct PruneFilter {
    private let filters: Filters
    private let until: Timestamp?

    /// - Throws: `.invalid` when `until` is neither a time nor a duration.
    init(_ filters: Filters) throws(SkalaError) {
        self.filters = filters
        guard let text = filters.all("until").first else {
            until = nil
            return
        }
        if let duration = try? DurationText.parse(text), Int64(text) == nil {
            until = SystemClock.now().advanced(by: -duration)
        } else {
            until = try Timestamp(parsing: text)
        }
    }

    func includes(_ created: Timestamp, _ labels: [String: String]) -> Bool {
        guard until.map({ created < $0 }) ?? true, filters.labels(labels) else { return false }
        return !filters.has("label!") || !filters.labels(labels, filter: "label!")
    }
}
