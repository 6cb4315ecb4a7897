/// How a new connection's member is chosen.
public enum BalancingAlgorithm: String, Sendable, CaseIterable {
    /// One after another, each as often as its weight says.
    case roundRobin = "round-robin"
    /// Any, each as likely as its weight says.
    case random
    /// By the client's address: it comes to the same member as long as that is there. A member that leaves or comes moves
    /// only its own share of the clients.
    case sourceHash = "source-hash"
}
