/// The version of what engine and warden say to each other.
public enum ProtocolVersion {
    /// Raised by every change after which an engine and a warden of two releases would misunderstand each other.
    public static let current = "3"
}
