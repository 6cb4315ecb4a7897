public import Base
import Glibc
import Kernel

/// A VM that booted, was stopped, and is kept as files: clones continue from it.
public struct MachineTemplate: Sendable {
    public let folder: String
    public let accelerator: Accelerator

    public init(folder: String, accelerator: Accelerator) {
        self.folder = folder
        self.accelerator = accelerator
    }

    public var memory: String { folder + "/memory" }
    public var state: String { folder + "/state" }
    /// The empty disk that it has mounted: a clone continues with a copy of it.
    public var disk: String { folder + "/disk" }
    /// A small root file system that a clone has until it gets an image's.
    public var root: String { folder + "/root" }
    /// Needed until it has booted.
    public var initramfs: String { folder + "/initramfs" }
    private var keyFile: String { folder + "/key" }

    /// What it was made of; nil when it is not complete.
    public var key: JSON? {
        // No such file, or half of one: not complete.
        guard let bytes = try? FileContents.read(keyFile) else { return nil }
        return try? JSON(parsing: bytes)
    }

    /// Whether the files are complete, and made of what `key` names.
    public func isValid(for key: JSON) -> Bool {
        self.key == key
    }

    /// Marks the files as complete.
    public func complete(_ key: JSON) throws { try FileContents.replace(keyFile, with: key.bytes) }

    /// Removes it.
    public func remove() throws { try FileContents.removeTree(folder) }

    /// Where the template of a shape is.
    public static func folder(of shape: MachineShape, _ accelerator: Accelerator, below root: String) -> String {
        "\(root)/\(shape.text)-\(accelerator.rawValue)"
    }

    /// Whether there is one, of whatever programs.
    public static func exists(for shape: MachineShape, below root: String) -> Bool {
        [Accelerator.kvm, .tcg].contains { access(folder(of: shape, $0, below: root) + "/key", F_OK) == 0 }
    }
}
