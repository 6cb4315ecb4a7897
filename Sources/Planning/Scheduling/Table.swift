/// Records at numbers that stay theirs, and are given out again when a record has gone.
struct Table<Record: Sendable>: Sendable {
    private var records: ContiguousArray<Record> = []
    private var free: [Int32] = []

    mutating func add(_ record: Record) -> Int32 {
        if let index = free.popLast() {
            records[Int(index)] = record
            return index
        }
        records.append(record)
        return Int32(records.count - 1)
    }

    mutating func remove(_ index: Int32) { free.append(index) }

    subscript(index: Int32) -> Record {
        get { records[Int(index)] }
        _modify { yield &records[Int(index)] }
    }
}
