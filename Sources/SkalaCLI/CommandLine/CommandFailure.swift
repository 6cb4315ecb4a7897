import Base
import Kernel

/// The end of a command with a status that is not its error's own.
struct CommandFailure: Error {
    let status: Int32
    let message: String

    init(_ status: Int32, _ error: any Error) {
        self.status = status
        message = CommandFailure.text(error)
    }

    init(_ status: Int32, _ message: String) {
        self.status = status
        self.message = message
    }

    /// What is shown of an error.
    static func text(_ error: any Error) -> String {
        switch error {
        case let failure as CommandFailure: failure.message
        case let error as KernelError: error.asSkalaError.message
        default: "\(error)"
        }
    }

    /// The exit status of the program for an error: 125 when the command line is at fault, as docker's.
    static func status(of error: any Error) -> Int32 {
        if let failure = error as? CommandFailure { return failure.status }
        guard let error = error as? SkalaError else { return 1 }
        switch error.code {
        case .cancelled: return 130
        case .invalid, .notFound, .conflict, .notModified, .forbidden, .unauthorized, .unsupported, .exhausted,
            .unavailable, .timedOut, .system:
            return 1
        }
    }
}
