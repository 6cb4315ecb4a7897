import Base
import Kernel

/// Something that was started, and can be taken away.
protocol Startable: AnyObject {
    /// Where its ports are reached from the host.
    var address: String { get }

    /// The last of what its main program said.
    func log() -> String

    /// Ends it, and takes everything of it away. Safe to call again.
    func remove()
}

/// Something that runs an image's programs: a process of the host, a container, a VM.
protocol Instance: Startable {
    /// Waits until scripts can be run in it, where that is not at once.
    ///
    /// - Returns: false when the deadline passes before.
    /// - Throws: when it ends meanwhile; `.cancelled` when the user stops.
    func isUp(until deadline: Deadline) throws -> Bool

    /// Runs a shell script in it to its end.
    ///
    /// - Parameters:
    ///   - environment: `NAME=VALUE`.
    ///   - deadline: after it the script is left behind.
    /// - Throws: `.cancelled` when the user stops.
    func execute(_ script: String, environment: [String], until deadline: Deadline) throws -> Execution

    /// Whether its main program still runs.
    func isRunning() throws -> Bool
}

/// One that can be stopped and go on.
protocol Movable: Instance {
    /// Stops it, and starts it again.
    func restart() throws

    /// Keeps it by a snapshot, ends it, and lets it go on from there.
    func snapshotAndRestore() throws
}

extension Instance {
    func isUp(until deadline: Deadline) throws -> Bool { true }

    /// Waits until scripts can be run in it; two minutes at the most.
    ///
    /// - Returns: the deadline of what follows, later by the time that this took: booting is not what has one. Nil when it does not boot.
    func deadlineOnceUp(_ deadline: Deadline) throws -> Deadline? {
        let started = SystemClock.monotonicNanoseconds()
        guard try isUp(until: deadline.moved(to: started + 120_000_000_000)) else { return nil }
        return deadline.moved(to: deadline.end + SystemClock.monotonicNanoseconds() - started)
    }

    /// Waits until a script in it succeeds.
    ///
    /// - Returns: false when the deadline passes before.
    /// - Throws: when its main program ends meanwhile; `.cancelled` when the user stops.
    func isReady(_ script: String, environment: [String] = [], until deadline: Deadline) throws -> Bool {
        try deadline.wait(every: 20_000_000) {
            guard try isRunning() else { throw SkalaError(.system, "its program ended: \(log())") }
            return try execute(script, environment: environment, until: deadline).status == 0
        }
    }
}

/// How a script ended.
struct Execution {
    /// Its exit status; nil when it did not end by the deadline.
    let status: Int32?
    let output: String
    /// Nanoseconds.
    let elapsed: Int64
}

/// What an instance is made of.
struct InstanceSpec: Sendable {
    var image: String
    /// A shell script as the main program; without one it waits to be used.
    var program: String?
    /// The main program is the image's own.
    var usesImageCommand = false
    var processors = 1.0
    /// Bytes.
    var memory: Int64 = 512 << 20
    var environment: [String] = []
    var allocation = LabAllocation.hard
    /// The only processors it may use, in the form of cpuset(7); nil for those its allocation gives it. Not of processes.
    var processorSet: String?
    /// Processors that somebody else has to himself.
    var spared = 0.0
    var annotations: [(name: String, value: String)] = []
    /// The control group that its own is made in; nil for the engine's.
    var cgroupParent: String?
    /// For people who look at `skala ps`.
    var role = "victim"

    /// The processors a peer gives it, which knows none of one's own: those of a dedicated one are the last. Nil for all.
    var peerProcessors: String? {
        processorSet ?? (allocation == .dedicated ? ProcessorSet.last(processors) : nil)
    }
}
