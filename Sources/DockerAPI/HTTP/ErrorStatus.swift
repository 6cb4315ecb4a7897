import Base
import Kernel

/// The one place where error codes become HTTP statuses.
func errorStatus(of code: SkalaError.Code) -> Int {
    switch code {
    case .invalid: 400
    case .notFound: 404
    case .conflict: 409
    case .notModified: 304
    case .forbidden: 403
    case .unauthorized: 401
    case .unsupported: 501
    case .exhausted: 507
    case .unavailable: 503
    case .timedOut: 504
    // The client never sees it: it is the one who gave up.
    case .cancelled: 499
    case .system: 500
    }
}

/// Any error as the one error type of the layers above the kernel.
func skalaError(from error: any Error) -> SkalaError {
    switch error {
    case let error as SkalaError: error
    case let error as KernelError: error.asSkalaError
    case is CancellationError: SkalaError(.cancelled, "the request was cancelled", cause: error)
    default: SkalaError(.system, "\(error)", cause: error)
    }
}

/// The reason phrase of a status line (RFC 9110, section 15).
func reasonPhrase(of status: Int) -> String {
    switch status {
    case 100: "Continue"
    case 101: "UPGRADED"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 413: "Content Too Large"
    case 417: "Expectation Failed"
    case 431: "Request Header Fields Too Large"
    case 499: "Client Closed Request"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    case 507: "Insufficient Storage"
    default: "Status \(status)"
    }
}
