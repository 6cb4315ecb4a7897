/// The head of an HTTP/1 request, validated.
struct RequestHead: Sendable, Equatable {
    struct Header: Sendable, Equatable {
        let name: String
        let value: String
    }

    /// How the end of the body is found (RFC 9112, section 6.3).
    enum BodyLength: Sendable, Equatable {
        case none
        case bytes(Int64)
        case chunked
    }

    let method: String
    /// As sent: path and query, not decoded.
    let target: String
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    let minorVersion: Int
    let headers: [Header]
    let bodyLength: BodyLength

    func header(_ name: String) -> String? { headers.first { $0.name.equalsIgnoringCase(name) }?.value }

    /// Whether a header that is a comma-separated list holds `token`, in any case.
    func lists(_ token: String, in name: String) -> Bool {
        headers.contains { header in
            header.name.equalsIgnoringCase(name)
                && header.value.split(separator: ",").contains { $0.trimmingSpaces().equalsIgnoringCase(token) }
        }
    }

    /// Whether the client wants the connection for more requests.
    var keepsAlive: Bool {
        minorVersion == 1 ? !lists("close", in: "Connection") : lists("keep-alive", in: "Connection")
    }

    /// Whether the client asks to leave HTTP for a raw stream, as Docker's attach and exec do.
    var asksForRawStream: Bool {
        minorVersion == 1 && lists("upgrade", in: "Connection") && lists("tcp", in: "Upgrade")
    }

    /// Whether the client asks for any other protocol instead of HTTP/1.
    var asksForUpgrade: Bool { minorVersion == 1 && lists("upgrade", in: "Connection") && header("Upgrade") != nil }

    var expectsContinue: Bool { minorVersion == 1 && lists("100-continue", in: "Expect") }
}
