import Base
import Images
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

    func addKernel(_ source: KernelSource, _ images: ImageStore) async throws -> GuestKernel {
        let kernels = kernels
        let kernel: GuestKernel
        switch source {
        case .distribution: kernel = try await pullKernel()
        case .package(let path): kernel = try await threads.run { try kernels.add(package: path) }
        case .files(let image, let modules):
            kernel = try await threads.run { try kernels.add(image: image, modules: modules) }
        case .image(let name):
            let image = try await images.find(name)
            // It must not be removed while it is read.
            let holder = "kernel-" + Identifier.make()
            await images.retain(image: image.id, holder: holder)
            let layers = await images.layerPaths(of: image)
            let result: Result<GuestKernel, any Error>
            do {
                result = .success(try await threads.run { try kernels.add(layers: layers, of: "image " + name) })
            } catch { result = .failure(error) }
            await images.release(holder: holder)
            kernel = try result.get()
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
        events.publish("template", "download", "", [:])
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
        // Whoever makes a template meanwhile waits for this, and makes it of this.
        return try await task.value
    }
}
