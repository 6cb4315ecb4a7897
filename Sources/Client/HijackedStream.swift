import Glibc
import Kernel

/// A connection that carries a container's streams after an upgrade.
public struct HijackedStream {
    public let descriptor: OwnedDescriptor
    /// What came together with the head.
    public let earlyBytes: [UInt8]

    /// Ends the container's input; its output goes on.
    public func endInput() { _ = shutdown(descriptor.raw, Int32(SHUT_WR)) }
}
