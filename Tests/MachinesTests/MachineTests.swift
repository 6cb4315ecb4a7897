import Base
import Kernel
import TestSupport
import Testing

@testable import Machines

struct MachineTests {
    @Test(
        arguments: [
            (0, 0.0, "256m-1"), (32 << 20, 0.5, "256m-1"), (200 << 20, 2, "512m-2"), (1 << 30, 64, "2048m-4"),
            (4 << 30, 1.5, "8192m-2"),
        ] as [(Int64, Double, String)])
    func shapes(memory: Int64, processors: Double, text: String) {
        #expect(MachineShape(memoryLimit: memory, processors: processors, available: 4).text == text)
    }

    @Test(
        arguments: [
            (1 << 30, 2, "1024m-2-pod"), (1, 64, "256m-4-pod"), (600 << 20, 0, "1024m-1-pod"),
            (100 << 30, 1, "102400m-1-pod"),
        ]
            as [(Int64, Int, String)])
    func podShapes(ceiling: Int64, processors: Int, text: String) {
        #expect(MachineShape(podCeiling: ceiling, processors: processors, available: 4).text == text)
    }

    @Test func modulesNameWhatTheyNeed() {
        let content = Array("\u{7F}ELF\0license=GPL\0depends=virtio,virtio-ring\0retpoline=Y\0".utf8)
        #expect(KernelModule(name: "x", content: content).dependencies == ["virtio", "virtio_ring"])
        #expect(KernelModule(name: "x", content: Array("a\0depends=\0b".utf8)).dependencies.isEmpty)
        #expect(KernelModule(name: "x", content: []).dependencies.isEmpty)
    }

    /// A clone has the devices of its template, at the same places.
    @Test(arguments: [
        MachineShape(memoryLimit: 0, processors: 1, available: 1),
        MachineShape(podCeiling: 1 << 30, processors: 2, available: 2),
    ])
    func devicesOfTemplateAndCloneAgree(shape: MachineShape) {
        func devices(_ origin: MachineCommand.Origin) -> [String] {
            let arguments = MachineCommand(
                program: "qemu", accelerator: .tcg, shape: shape, origin: origin, folder: "/vm"
            ).arguments
            return arguments.indices.filter { arguments[$0] == "-device" }.map { arguments[$0 + 1] }
        }
        for origin in [.clone, .snapshot(hasDisk: false, cards: []), .snapshot(hasDisk: true, cards: [])]
            as [MachineCommand.Origin]
        {
            #expect(devices(.boot) == devices(origin))
        }
        // Cards that were plugged in come on top, each where it was.
        let more = devices(.snapshot(hasDisk: true, cards: [1, 3]))
        #expect(more.filter { !devices(.boot).contains($0) }.count == 2 && more.count == devices(.boot).count + 2)
        #expect(devices(.boot).count >= 6)
    }

    /// Every device of a pod's VM has an address of its own, beside those that folders are plugged into.
    @Test func placesDoNotCollide() {
        let arguments = MachineCommand(
            program: "qemu", accelerator: .tcg, shape: MachineShape(podCeiling: 1 << 30, processors: 2, available: 2),
            origin: .clone, folder: "/vm"
        ).arguments
        let addresses = arguments.flatMap { $0.split(separator: ",") }.filter { $0.hasPrefix("addr=") }
            .map { String($0.dropFirst(5)) }
        #expect(Set(addresses).count == addresses.count)
        #expect(addresses.count == 4 + 2 * MachinePlace.count)
        let slots = Set(addresses.compactMap { Int($0.split(separator: ".")[0], radix: 16) })
        let shares = Set(MachinePlace.all.map(\.shareSlot))
        #expect(slots.isDisjoint(with: shares) && shares.count == MachinePlace.count && (shares.max() ?? 99) < 32)
        let ports = arguments.flatMap { $0.split(separator: ",") }.filter { $0.hasPrefix("nr=") }
        #expect(Set(ports).count == MachinePlace.count + 1 && ports.allSatisfy { (Int($0.dropFirst(3)) ?? 99) <= 30 })
        let sets = MachinePlace.all.flatMap { place in (0..<3).map(place.descriptorSet) }
        #expect(Set(sets).count == sets.count)
    }

    @Test(arguments: [[UInt8](repeating: 0, count: 10), [UInt8](repeating: 0, count: 0x1000), []])
    func whatIsNoKernelIsRefused(image: [UInt8]) {
        let error = #expect(throws: SkalaError.self) { try KernelImage.uncompressed(image) }
        #expect(error?.code == .invalid)
    }

    @Test func aKernelThatIsCutShortIsRefused() {
        var image = [UInt8](repeating: 0, count: 0x1000)
        image.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
        image.replaceSubrange(0x24C..<0x250, with: [0xFF, 0xFF, 0xFF, 0x7F])
        #expect(throws: SkalaError.self) { try KernelImage.uncompressed(image) }
    }

    /// A kernel that was built with everything in it comes with a list instead of modules.
    @Test func whatIsBuiltInNeedsNoModule() throws {
        let folder = try TemporaryFolder()
        let names = [
            "virtio_pci", "virtio_console", "virtio_net", "virtio-rng", "virtio_balloon", "overlay", "squashfs",
            "virtiofs", "virtio_blk",
        ]
        let (image, modules) = (folder.path + "/vmlinux", folder.path + "/6.1.1-own")
        try FileContents.makeDirectories(modules)
        try FileContents.overwrite(image, with: [0x7F] + Array("ELF and the rest".utf8))
        func add(_ names: [String]) throws -> GuestKernel {
            let list = names.map { "kernel/drivers/some/\($0).ko\n" }.joined()
            try FileContents.overwrite(modules + "/modules.builtin", with: Array(list.utf8))
            return try KernelStore(root: folder.path + "/kernels").add(image: image, modules: modules)
        }
        let kernel = try add(names)
        let archive = String(decoding: try kernel.initramfs(warden: [1], initProgram: [2]), as: UTF8.self)
        #expect(kernel.release == "6.1.1-own" && archive.contains("modules/order") && !archive.contains(".ko"))
        let error = #expect(throws: SkalaError.self) { _ = try add(Array(names.dropLast())) }
        #expect(error?.message.contains("has no module virtio_blk") == true)
    }
}
