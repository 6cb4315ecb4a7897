/// What stands between a workload and others: which sandbox's warden runs it.
public enum Isolation: String, Sendable, CaseIterable {
    /// The host's own kernel.
    case container
    /// A VM that several containers share.
    case pod
    /// A light VM of its own.
    case microvm
}
