import Base
import Glibc
import Kernel

/// Both ends of a new process's standard streams.
struct StreamEnds {
    var wiring = ContainerPlanner.Wiring()
    private(set) var input: OwnedDescriptor?
    private(set) var outputs: [(UInt8, OwnedDescriptor)] = []
    /// Our end of the socket the terminal's master comes over.
    private(set) var terminal: OwnedDescriptor?
    private var childEnds: [OwnedDescriptor] = []

    /// `io` of the protocol.
    init(_ io: JSON, terminal: Bool) throws {
        if terminal {
            try makeTerminal(io)
            return
        }
        if io["stdin"].bool ?? false {
            let pipe = try Pipe()
            try Pipe.makeNonblocking(pipe.writing)
            input = pipe.writing
            childEnds.append(pipe.reading)
        } else {
            childEnds.append(try .open("/dev/null", O_RDONLY))
        }
        for channel: UInt8 in [1, 2] {
            let pipe = try Pipe()
            try Pipe.makeNonblocking(pipe.reading)
            outputs.append((channel, pipe.reading))
            childEnds.append(pipe.writing)
        }
        wiring.stdio = childEnds.map(\.raw)
    }

    private mutating func makeTerminal(_ io: JSON) throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        try checkErrno(socketpair(AF_UNIX, kind, 0, &ends), "socketpair")
        terminal = OwnedDescriptor(ends[0])
        childEnds = [OwnedDescriptor(ends[1])]
        wiring.terminalSocket = ends[1]
        wiring.rows = max(0, min(io["rows"].int ?? 0, 65535))
        wiring.columns = max(0, min(io["columns"].int ?? 0, 65535))
    }

    /// After the clone: what the child has we do not keep, or its pipes would never end.
    mutating func closeChildEnds() { childEnds = [] }
}
