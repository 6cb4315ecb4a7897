import CSQLite

/// A prepared statement with one owner.
final class Statement {
    private let raw: OpaquePointer

    init(_ raw: OpaquePointer) { self.raw = raw }

    deinit { sqlite3_finalize(raw) }

    /// Binds UTF-8 text, which SQLite copies.
    func bind(_ text: [UInt8], at index: Int32) -> Int32 {
        // SQLITE_TRANSIENT, a cast macro Swift does not import: SQLite copies before the call returns.
        let copies = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        return text.withUnsafeBytes { bytes in
            // An empty array may have no address, and a null pointer would bind NULL.
            guard let start = bytes.baseAddress, !bytes.isEmpty else {
                return sqlite3_bind_text(raw, index, "", 0, nil)
            }
            return sqlite3_bind_text64(
                raw, index, start.assumingMemoryBound(to: CChar.self), sqlite3_uint64(bytes.count), copies,
                UInt8(SQLITE_UTF8))
        }
    }

    func step() -> Int32 { sqlite3_step(raw) }

    /// Makes it ready for the next use and lets go of the values.
    func reset() {
        sqlite3_reset(raw)
        sqlite3_clear_bindings(raw)
    }

    /// A column of the current row as text.
    func bytes(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_text(raw, column) else { return [] }
        return Array(UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(raw, column))))
    }
}
