import Base
import Kernel
import Synchronization

/// What the API shows of every object of the cluster beside its contents.
struct DocumentVersion: Sendable {
    /// Raised with every change: a client that read an older one is refused.
    var index: Int64
    private(set) var created: Timestamp
    private(set) var updated: Timestamp

    init(_ counter: VersionCounter) {
        index = counter.next()
        created = SystemClock.now()
        updated = created
    }

    mutating func advance(_ counter: VersionCounter) {
        index = counter.next()
        updated = SystemClock.now()
    }

    /// The clock was set by so many nanoseconds.
    mutating func shift(by nanoseconds: Int64) {
        created = created.advanced(by: nanoseconds)
        updated = updated.advanced(by: nanoseconds)
    }

    init(json: JSON) throws(SkalaError) {
        guard let index = json["Version"]["Index"].int else {
            throw SkalaError(.invalid, "a document of the cluster in the store has no version")
        }
        self.index = index
        created = try Timestamp(parsing: json["CreatedAt"].string ?? "")
        updated = try Timestamp(parsing: json["UpdatedAt"].string ?? "")
    }

    /// The API's `Version`, `CreatedAt` and `UpdatedAt`.
    func fields(_ id: String) -> JSON {
        [
            "ID": JSON(id), "Version": ["Index": JSON(index)], "CreatedAt": JSON(created.text),
            "UpdatedAt": JSON(updated.text),
        ]
    }
}

/// Counts the changes of all objects of the cluster.
final class VersionCounter: Sendable {
    private let last = Mutex<Int64>(0)

    func next() -> Int64 {
        last.withLock {
            $0 += 1
            return $0
        }
    }

    /// What is in the store was counted before.
    func noteUsed(_ index: Int64) { last.withLock { $0 = max($0, index) } }
}
