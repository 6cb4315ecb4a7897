/// What executes a guest's instructions.
public enum Accelerator: String, Sendable, CaseIterable {
    /// The processor itself, through /dev/kvm.
    case kvm
    /// QEMU's translator: software emulation, 3 to 10 times slower.
    case tcg
}

extension Accelerator {
    /// QEMU's `-accel`. Translated code has 256 MiB: what QEMU would take by itself, up to 1 GiB, is more than its control group
    /// has beside the guest's memory, and a guest that ran long enough was killed.
    var argument: String { self == .kvm ? "kvm" : "tcg,thread=multi,tb-size=256" }
}
