/// What a VM's memory image depends on, beside the programs: two VMs of one shape can be clones of one template.
public struct MachineShape: Sendable, Hashable {
    /// What the VM has places for.
    public enum Kind: Sendable, Hashable {
        /// One container.
        case microvm
        /// Several, which come and go: `MachinePlace`.
        case pod
    }

    public let kind: Kind
    /// Bytes.
    public let memory: Int64
    public let processors: Int
    /// The release of its kernel; empty is the current one.
    public let kernel: String

    /// The sizes templates are made in, in MiB: few, so that workloads share them.
    private static let sizes: [Int64] = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
    /// What the guest's kernel and warden use beside the workload, in bytes.
    public static let overhead: Int64 = 96 << 20

    /// The smallest shape for a workload.
    ///
    /// - Parameters:
    ///   - memoryLimit: bytes; 0 is no limit.
    ///   - processors: cores' worth of time; 0 is no limit.
    ///   - available: the cores of the host.
    ///   - kernel: its release; empty is the current one.
    public init(memoryLimit: Int64, processors: Double, available: Int, kernel: String = "") {
        self.kernel = kernel
        let needed = memoryLimit == 0 ? 0 : memoryLimit + MachineShape.overhead
        let size = MachineShape.sizes.first { $0 << 20 >= needed } ?? (needed >> 20)
        kind = .microvm
        memory = size << 20
        let wanted = processors == 0 ? 1 : Int(processors.rounded(.up))
        self.processors = max(1, min(wanted, available))
    }

    /// That of a microVM that is there.
    public init(memory: Int64, processors: Int) {
        kind = .microvm
        kernel = ""
        self.memory = memory
        self.processors = processors
    }

    /// The smallest shape for a pod.
    ///
    /// - Parameters:
    ///   - ceiling: bytes that its members, the guest's kernel and warden may use together.
    ///   - processors: at most the cores of the host, `available`.
    public init(podCeiling ceiling: Int64, processors: Int, available: Int) {
        kind = .pod
        kernel = ""
        memory = (MachineShape.sizes.first { $0 << 20 >= ceiling } ?? (ceiling + (1 << 20) - 1) >> 20) << 20
        self.processors = max(1, min(processors, available))
    }

    /// `256m-1`, or `1024m-2-pod`, for names of folders.
    public var text: String {
        "\(memory >> 20)m-\(processors)\(kind == .pod ? "-pod" : "")" + (kernel.isEmpty ? "" : "-" + kernel)
    }
}
