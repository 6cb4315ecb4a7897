/// What stands between a workload and others: which sandbox's warden runs it.
public enum Isolation: String, Sendable, CaseIterable {
    /// The host's own kernel.
    case container
    /// A VM that several containers share.
    case pod
    /// A light VM of its own.
    case microvm
    /// A VM that boots from its own disk, with whatever is on that.
    case machine

    /// Whether the workload runs under a warden in its VM. A machine's process for the host's warden is QEMU itself.
    var hasOwnWarden: Bool { self == .microvm || self == .pod }
    /// Whether its network card is a VM's.
    var isVirtual: Bool { self != .container }
}
