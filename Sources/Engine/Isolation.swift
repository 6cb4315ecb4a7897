/// What stands between a workload and others: which sandbox's warden runs it.
public enum Isolation: String, Sendable, CaseIterable {
    /// The host's own kernel.
    case container
    /// A light VM of its own.
    case microvm

    /// What one line of help says of it.
    public var summary: String {
        switch self {
        case .container: "namespaces and cgroups on the host's kernel"
        case .microvm: "a virtual machine of its own, cloned from a template"
        }
    }
}
