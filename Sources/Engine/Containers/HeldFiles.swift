import Glibc

/// How a container's files are reached at the moment.
enum FileSite: Sendable {
    /// Through the root of a process of the host's warden, which holds them.
    case process(Int32)
    /// Through the warden of the container's VM, which holds them under an id.
    case machine(VirtualMachine, hold: String)

    /// Whether it has not ended meanwhile.
    var isThere: Bool {
        switch self {
        case .process(let pid): kill(pid, 0) == 0
        case .machine(let machine, _): machine.isAlive
        }
    }
}

/// What keeps the files of a stopped container reachable, for all who use them at the time.
struct HeldFiles {
    let site: FileSite
    var users = 0
    /// Fulfilled when the last one has gone, for who waits for that.
    var unused: Promise<Bool>?
    /// Ends it a while after that.
    var ending: Task<Void, Never>?
}
