public import Base
import Kernel
import Machines

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

    /// Downloads the distribution's kernel for clouds, or adds the one of a file: a Debian package, or, with the folder of its
    /// modules, an image that was built by hand. What was downloaded new VMs get; what was added when it is the first one, or
    /// when they ask for it.
    ///
    /// - Returns: its release.
    public func addKernel(file path: String?, modules: String?) async throws -> String {
        let kernel = try await context.machines.addKernel(file: path, modules: modules)
        return kernel.release
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
