public import Base
import Kernel
import Machines

/// Where a kernel comes from.
public enum KernelSource: Sendable {
    /// The distribution's kernel for clouds, which is downloaded.
    case distribution
    /// The file of a Debian package.
    case package(String)
    /// One that was built by hand: the file of a bzImage or ELF kernel, and the folder of its modules.
    case files(image: String, modules: String)
    /// The file system of an OCI image that is here.
    case image(String)
}

/// The kernels VMs boot.
extension Engine {
    /// All of them: `Release`, and whether new VMs get it, `Current`.
    public func kernels() async throws -> [JSON] {
        let store = context.machines.kernels
        return try await threads.run {
            let current = try store.current()
            return try store.list().map { kernel in
                ["Release": JSON(kernel.release), "Current": JSON(kernel.release == current?.release)]
            }
        }
    }

    /// Adds a kernel. What was downloaded new VMs get; what was added when it is the first one, or when they ask for it.
    ///
    /// - Returns: its release.
    public func addKernel(_ source: KernelSource) async throws -> String {
        try await context.machines.addKernel(source, images).release
    }

    /// - Throws: `.notFound` when there is no such kernel.
    public func useKernel(_ release: String) async throws { try await context.machines.useKernel(release) }

    /// - Throws: `.notFound` when there is no such kernel.
    public func removeKernel(_ release: String) async throws {
        let store = context.machines.kernels
        try await threads.run { try store.remove(release) }
        await context.machines.forgetTemplates()
    }

    /// What runs the instructions of VMs: `kvm` or `tcg`; nil while no VM was started.
    public func accelerator() async -> String? { await context.machines.accelerator?.rawValue }
}
