/// A VM as it was at one moment, kept as files: VMs continue from it as clones do from a template.
public struct MachineSnapshot: Sendable {
    public let folder: String

    public init(folder: String) { self.folder = folder }

    public var memory: String { folder + "/memory" }
    /// Its devices; of a machine with a disk of its own the memory, too.
    public var state: String { folder + "/state" }
    /// What the container wrote; missing when it never started.
    public var disk: String { folder + "/disk" }
    /// What a machine's UEFI firmware keeps.
    public var variables: String { folder + "/variables" }
    /// The template's disk, when the container's is another one: it is mounted in the VM all the same.
    public var scratch: String { folder + "/scratch" }
    /// QEMU itself (`ProcessCopy`): while clones are made, of a VM that runs.
    public var image: String { folder + "/image" }
}
