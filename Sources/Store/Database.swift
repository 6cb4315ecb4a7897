import Base
import CSQLite
import Glibc
import Kernel

/// The SQLite file: one table, four statements. Used on one thread only.
final class Database: @unchecked Sendable {
    // @unchecked: every call comes from the store's one thread.

    /// Marks the file as Skala's: "SKLA".
    static let applicationID: Int64 = 0x534B_4C41
    /// The form of the table. Raise it with a migration in `prepareSchema`.
    static let schemaVersion: Int64 = 1

    private let path: String
    private var handle: OpaquePointer?
    private var putStatement: Statement?
    private var removeStatement: Statement?
    private var getStatement: Statement?
    private var allStatement: Statement?

    init(path: String) throws(SkalaError) {
        self.path = path
        try makeFile()
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let result = sqlite3_open_v2(path, &opened, flags, nil)
        handle = opened
        do throws(SkalaError) {
            guard result == SQLITE_OK else { throw failure(result) }
            try configure()
            try prepareSchema()
            try prepareStatements()
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    /// Closes the file, after folding the write-ahead log into it. Further calls do nothing.
    func close() {
        putStatement = nil
        removeStatement = nil
        getStatement = nil
        allStatement = nil
        guard let handle else { return }
        sqlite3_close_v2(handle)
        self.handle = nil
    }

    // MARK: Opening

    /// SQLite would create the file with the umask's mode; it holds environment variables of containers.
    private func makeFile() throws(SkalaError) {
        do throws(KernelError) {
            // Only a file that did not exist is opened here: closing any descriptor of a file drops SQLite's locks on it.
            try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL).close()
        } catch {
            if error.errno != EEXIST { throw error.asSkalaError.within("state file") }
        }
    }

    private func configure() throws(SkalaError) {
        // The lock is taken with the first access and kept: a second daemon fails here instead of writing beside us. Set
        // before WAL is entered, it also keeps the log's index in memory of our own instead of a shared file.
        try execute("PRAGMA locking_mode = EXCLUSIVE")
        try execute("PRAGMA trusted_schema = OFF")
        try execute("PRAGMA journal_mode = WAL")
        try execute("PRAGMA synchronous = NORMAL")
        // The log shrinks back after a burst.
        try execute("PRAGMA journal_size_limit = 4194304")
        guard let check = try text(of: "PRAGMA quick_check(1)"), check == "ok" else {
            throw SkalaError(.invalid, "the state file \(path) is damaged; move it away to start without state")
        }
    }

    private func prepareSchema() throws(SkalaError) {
        let application = try number(of: "PRAGMA application_id")
        let version = try number(of: "PRAGMA user_version")
        let tables = try number(of: "SELECT count(*) FROM sqlite_schema")
        if application == 0, version == 0, tables == 0 {
            try execute("BEGIN IMMEDIATE")
            try execute(
                "CREATE TABLE documents (kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, "
                    + "PRIMARY KEY (kind, id)) STRICT")
            try execute("PRAGMA application_id = \(Database.applicationID)")
            try execute("PRAGMA user_version = \(Database.schemaVersion)")
            try execute("COMMIT")
            return
        }
        guard application == Database.applicationID else {
            throw SkalaError(.invalid, "\(path) is a database, but not Skala's state file")
        }
        guard version <= Database.schemaVersion else {
            throw SkalaError(
                .unsupported,
                "the state file \(path) was written by a newer Skala (schema \(version), this one knows "
                    + "\(Database.schemaVersion))")
        }
    }

    private func prepareStatements() throws(SkalaError) {
        putStatement = try statement(
            "INSERT INTO documents (kind, id, body) VALUES (?1, ?2, ?3) "
                + "ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body")
        removeStatement = try statement("DELETE FROM documents WHERE kind = ?1 AND id = ?2")
        getStatement = try statement("SELECT body FROM documents WHERE kind = ?1 AND id = ?2")
        allStatement = try statement("SELECT id, body FROM documents WHERE kind = ?1 ORDER BY id")
    }

    // MARK: Documents

    /// Makes the changes in one transaction.
    func commit(_ changes: [Store.Change]) throws(SkalaError) {
        try execute("BEGIN IMMEDIATE")
        do throws(SkalaError) {
            for change in changes {
                switch change {
                case .put(let document):
                    try run(putStatement, [Array(document.kind.utf8), Array(document.id.utf8), document.body.bytes])
                case .remove(let kind, let id): try run(removeStatement, [Array(kind.utf8), Array(id.utf8)])
                }
            }
            try execute("COMMIT")
        } catch {
            // SQLite has rolled back already after some errors (a full disk); asked twice it only says so.
            if let handle, sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    func get(_ kind: String, _ id: String) throws(SkalaError) -> JSON? {
        var body: JSON?
        try run(getStatement, [Array(kind.utf8), Array(id.utf8)]) { row throws(SkalaError) in
            body = try JSON(parsing: row.bytes(0))
        }
        return body
    }

    func all(_ kind: String) throws(SkalaError) -> [(id: String, body: JSON)] {
        var documents: [(id: String, body: JSON)] = []
        try run(allStatement, [Array(kind.utf8)]) { row throws(SkalaError) in
            documents.append((String(decoding: row.bytes(0), as: UTF8.self), try JSON(parsing: row.bytes(1))))
        }
        return documents
    }

    // MARK: Statements

    private func statement(_ sql: String) throws(SkalaError) -> Statement {
        var prepared: OpaquePointer?
        let result = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard result == SQLITE_OK, let prepared else { throw failure(result) }
        return Statement(prepared)
    }

    private func run(
        _ statement: Statement?, _ values: [[UInt8]], row: ((Statement) throws(SkalaError) -> Void)? = nil
    ) throws(SkalaError) {
        guard let statement else { throw SkalaError(.unavailable, "the state store is closed") }
        defer { statement.reset() }
        for (index, value) in values.enumerated() {
            let result = statement.bind(value, at: Int32(index + 1))
            guard result == SQLITE_OK else { throw failure(result) }
        }
        while true {
            let result = statement.step()
            if result == SQLITE_DONE { return }
            guard result == SQLITE_ROW else { throw failure(result) }
            try row?(statement)
        }
    }

    private func execute(_ sql: String) throws(SkalaError) {
        guard let handle else { throw SkalaError(.unavailable, "the state store is closed") }
        let result = sqlite3_exec(handle, sql, nil, nil, nil)
        guard result == SQLITE_OK else { throw failure(result) }
    }

    private func text(of sql: String) throws(SkalaError) -> String? {
        var text: String?
        try run(try statement(sql), []) { text = String(decoding: $0.bytes(0), as: UTF8.self) }
        return text
    }

    private func number(of sql: String) throws(SkalaError) -> Int64 { Int64(try text(of: sql) ?? "") ?? 0 }

    // MARK: Errors

    /// The error for a result code, with its extension, of sqlite.org/rescode.html.
    private func failure(_ result: Int32) -> SkalaError {
        let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(result))
        let kernel = handle.map { sqlite3_system_errno($0) } ?? 0
        switch result & 0xFF {
        case SQLITE_FULL: return SkalaError(.exhausted, "no room for the state file \(path): \(reason)")
        case SQLITE_IOERR where kernel == ENOSPC || kernel == EDQUOT:
            return SkalaError(.exhausted, "no room for the state file \(path): \(reason)")
        case SQLITE_BUSY, SQLITE_LOCKED:
            return SkalaError(.conflict, "another process has the state file \(path) open")
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return SkalaError(
                .invalid, "the state file \(path) is damaged (\(reason)); move it away to start without state")
        case SQLITE_TOOBIG: return SkalaError(.invalid, "document too large for the state file \(path)")
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_CANTOPEN:
            return SkalaError(.system, "cannot write the state file \(path): \(reason)")
        default: return SkalaError(.system, "state file \(path): \(reason)")
        }
    }
}
