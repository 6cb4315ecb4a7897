import Base
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

    @Test func modulesNameWhatTheyNeed() {
        let content = Array("\u{7F}ELF\0license=GPL\0depends=virtio,virtio-ring\0retpoline=Y\0".utf8)
        #expect(KernelModule(name: "x", content: content).dependencies == ["virtio", "virtio_ring"])
        #expect(KernelModule(name: "x", content: Array("a\0depends=\0b".utf8)).dependencies.isEmpty)
        #expect(KernelModule(name: "x", content: []).dependencies.isEmpty)
    }

    /// A clone has the devices of its template, at the same places.
    @Test func devicesOfTemplateAndCloneAgree() {
        func devices(_ origin: MachineCommand.Origin) -> [String] {
            let arguments = MachineCommand(
                program: "qemu", accelerator: .tcg, shape: MachineShape(memoryLimit: 0, processors: 1, available: 1),
                origin: origin, folder: "/vm"
            ).arguments
            return arguments.indices.filter { arguments[$0] == "-device" }.map { arguments[$0 + 1] }
        }
        for origin in [.clone, .snapshot(hasDisk: false), .snapshot(hasDisk: true)] as [MachineCommand.Origin] {
            #expect(devices(.boot) == devices(origin))
        }
        #expect(devices(.boot).count >= 6)
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
}
