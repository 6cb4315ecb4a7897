import Base
import Kernel
import Machines

extension VirtualMachines {
    /// The kernel a shape names.
    func kernel(of shape: MachineShape) async throws -> GuestKernel {
        guard !shape.kernel.isEmpty else { return try await currentKernel() }
        let kernels = kernels
        return try await threads.run { try kernels.find(shape.kernel) }
    }

    private func currentKernel() async throws -> GuestKernel {
        let kernels = kernels
        if let kernel = try await threads.run({ try kernels.current() }) { return kernel }
        return try await pullKernel()
    }

    /// Adds a kernel, of a package or built by hand, or downloads the distribution's when no file is given.
    func addKernel(file path: String?, modules: String?) async throws -> GuestKernel {
        guard let path else { return try await pullKernel() }
        let kernels = kernels
        let kernel = try await threads.run {
            if let modules { return try kernels.add(image: path, modules: modules) }
            return try kernels.add(package: path)
        }
        forgetTemplates()
        return kernel
    }

    func useKernel(_ release: String) async throws {
        let kernels = kernels
        try await threads.run { try kernels.use(release) }
        forgetTemplates()
    }

    /// The next VM of each shape looks again at what its template is made of; spare ones of old templates go.
    func forgetTemplates() {
        templates = [:]
        let old = spares.removeAll()
        Task { for machine in old { await machine.destroy() } }
    }

    private func pullKernel() async throws -> GuestKernel {
        if let pulling { return try await pulling.value }
        log.info("downloading a kernel for VMs")
        let (kernels, threads) = (kernels, threads)
        let task = Task {
            try await threads.run {
                let kernel = try kernels.pull()
                try kernels.use(kernel.release)
                return kernel
            }
        }
        pulling = task
        defer { pulling = nil }
        let kernel = try await task.value
        forgetTemplates()
        return kernel
    }
}
