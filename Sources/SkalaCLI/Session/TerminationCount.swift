import Glibc

/// Counts how often the user asked for the end, as docker does: a container may ignore what is passed on to it, but must
/// not keep its user.
struct TerminationCount {
    static let maximum = 3

    let id: String
    private var count = 0

    init(id: String) { self.id = id }

    /// - Throws: the end of this program, at the third SIGINT or SIGTERM.
    mutating func take(_ signal: Int32) throws(CommandFailure) {
        guard signal == SIGINT || signal == SIGTERM else { return }
        count += 1
        guard count < TerminationCount.maximum else {
            let short = String(id.prefix(12))
            throw CommandFailure(
                130, "left \(short) running after \(count) signals to end; 'skala stop \(short)' stops it")
        }
    }
}
