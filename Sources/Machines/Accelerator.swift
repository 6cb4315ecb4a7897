/// What executes a guest's instructions.
public enum Accelerator: String, Sendable, CaseIterable {
    /// The processor itself, through /dev/kvm.
    case kvm
    /// QEMU's translator: software emulation, 3 to 10 times slower.
    case tcg
}
