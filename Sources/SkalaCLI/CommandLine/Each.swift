import Base
import Kernel

/// Does one thing to each of several objects: goes on after a failure, and says so at the end.
enum Each {
    /// - Parameter body: answers what is printed for the object, nil for nothing.
    /// - Returns: 1 when any failed.
    static func run(_ names: [String], _ output: Output, _ body: (String) throws -> String?) throws -> Int32 {
        var status: Int32 = 0
        for name in names {
            do {
                if let line = try body(name) { try output.line(line) }
            } catch let error as SkalaError {
                // Without an engine nothing that follows can succeed.
                if error.code == .unavailable || error.code == .forbidden { throw error }
                StandardStreams.error("skala: \(error.message)\n")
                status = 1
            }
        }
        return status
    }
}
