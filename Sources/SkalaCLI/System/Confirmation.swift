import Base
import Kernel

/// Asks before something is removed.
enum Confirmation {
    /// True when the user says yes, or has said so by `--force`.
    ///
    /// - Throws: `.invalid` when there is nobody to ask.
    static func ask(_ warning: String, _ call: Invocation) throws -> Bool {
        if call.arguments.flag("force") { return true }
        guard Terminal.isTerminal(0) else { throw SkalaError(.invalid, "\(warning) Use --force to do it unasked") }
        StandardStreams.error("\(warning)\nGo on? [y/N] ")
        let answer = try Pipe.read(0, upTo: 64)
        return ["y", "yes"].contains(String(decoding: answer.prefix { $0 != 0x0A }, as: UTF8.self).lowercased())
    }
}
