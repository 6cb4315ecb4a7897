/// How much the programs of a service are trusted by those they share a host with.
public enum Trust: String, Sendable, Hashable, CaseIterable {
    /// Not at all: it may try to break out.
    case none
    /// Among those of one tenant, not beyond.
    case tenant
    /// As the host's own.
    case full
}
