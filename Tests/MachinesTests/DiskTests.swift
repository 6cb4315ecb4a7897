import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Machines

struct DiskTests {
    private static let size: Int64 = 3 << 30

    private func changed(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
        var header = Array(QCOW2.empty(size: DiskTests.size).prefix(512))
        header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        return header
    }

    private func format(_ header: [UInt8], fileSize: Int64 = 1 << 20) throws -> DiskFormat {
        try DiskFormat(header: header, fileSize: fileSize)
    }

    @Test func whatWeWriteIsAccepted() throws {
        for size in [512, 1 << 20, 512 << 20, 512 << 20 + 512, DiskTests.size, 8 << 40, DiskFormat.maximumSize]
            as [Int64]
        {
            let image = QCOW2.empty(size: size)
            #expect(try format(Array(image.prefix(512)), fileSize: Int64(image.count)) == .qcow2(size: size))
        }
    }

    /// The same by QEMU's own tool.
    @Test func whatWeWriteIsWhole() throws {
        guard let program = Subprocess.find("qemu-img", path: "/usr/bin:/bin") else {
            print("SKIP: whatWeWriteIsWhole: needs qemu-utils")
            return
        }
        let folder = try TemporaryFolder()
        for size in [1 << 20, DiskTests.size, 8 << 40] as [Int64] {
            let path = folder.path + "/disk"
            try FileContents.replace(path, with: QCOW2.empty(size: size))
            #expect(try Subprocess.run([program, "check", "-q", path]) == 0)
            #expect(try Subprocess.output([program, "info", path], limit: 4096).contains("(\(size) bytes)"))
        }
    }

    @Test func hostileHeadersAreRefused() {
        for (offset, bytes, reason) in [
            (4, [0, 0, 0, 4], "version 4"), (8, [0, 0, 0, 0, 0, 0, 2, 0], "backing file"),
            (16, [0, 0, 0, 9], "backing file"),
            (32, [0, 0, 0, 1], "encrypted"), (79, [4], "another file"), (79, [2], "corrupt"), (79, [32], "not known"),
            (72, [0x80], "not known"), (20, [0, 0, 0, 8], "clusters"), (20, [0, 0, 0, 22], "clusters"),
            (20, [255, 255, 255, 255], "clusters"), (24, [255, 255, 255, 255, 255, 255, 254, 0], "size"),
            (24, [0, 0, 0, 0, 0, 0, 0, 0], "size"), (36, [255, 255, 255, 255], "table"), (36, [0, 0, 0, 1], "table"),
            (40, [0, 0, 0, 0, 0, 16, 0, 0], "outside"), (40, [0, 0, 0, 0, 0, 0, 0, 1], "outside"),
            (40, [255, 255, 255, 255, 255, 255, 0, 0], "outside"), (48, [0, 0, 0, 0, 0, 0, 0, 0], "outside"),
            (56, [255, 255, 255, 255], "outside"),
        ] as [(Int, [UInt8], String)] {
            let error = #expect(throws: SkalaError.self, "\(offset)") { try format(changed(offset, bytes)) }
            #expect(error?.message.contains(reason) == true, "\(offset) \(bytes): \(error?.message ?? "")")
        }
        #expect(throws: SkalaError.self) { try format(Array(changed(4, [0, 0, 0, 3]).prefix(80)), fileSize: 80) }
    }

    @Test func otherFilesAreRefused() throws {
        for magic in [Array("KDMV".utf8), Array("conectix".utf8), [0x1F, 0x8B, 8], [0x28, 0xB5, 0x2F, 0xFD]]
            as [[UInt8]]
        {
            let file = magic + [UInt8](repeating: 0, count: 512 - magic.count)
            #expect(throws: SkalaError.self) { try format(file) }
        }
        let boot = [UInt8](repeating: 0xEB, count: 512)
        #expect(try format(boot) == .raw(size: 1 << 20))
        for size in [0, 511, 513, DiskFormat.maximumSize + 512] as [Int64] {
            #expect(throws: SkalaError.self) { try format(boot, fileSize: size) }
        }
    }

    /// Zeros take no room, and the last bytes may be some.
    @Test func aDiskIsWrittenWithHoles() throws {
        let folder = try TemporaryFolder()
        let file = try OwnedDescriptor.open(folder.path + "/disk", O_RDWR | O_CREAT)
        var writer = DiskWriter(to: file)
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for piece in [[UInt8](repeating: 7, count: 1 << 20), zeros, zeros, [9] + zeros.dropLast(), zeros] {
            try writer.append(piece)
        }
        #expect(try writer.finish() == .raw(size: 5 << 20))
        var status = stat()
        #expect(fstat(file.raw, &status) == 0 && status.st_blocks * 512 <= 3 << 20)
        let bytes = try FileContents.read(folder.path + "/disk")
        #expect(bytes.count == 5 << 20 && bytes[3 << 20] == 9 && bytes[1 << 20] == 0)
    }

    @Test func theSeedIsAnISOFileSystem() throws {
        let image = try SeedImage.make([
            ("meta-data", "instance-id: x\n"), ("user-data", "#cloud-config\n"), ("network-config", ""),
        ])
        #expect(Array(image[32769..<32774]) == Array("CD001".utf8))
        // Upper case is all that the standard knows; cloud-init looks for both.
        #expect(String(decoding: image[32808..<32814], as: UTF8.self) == "CIDATA")
        #expect(image.count % 2048 == 0)
        let text = Array("instance-id: x\n".utf8)
        let starts = stride(from: 0, to: image.count, by: 2048)
        #expect(starts.contains { image[$0..<$0 + 2048].starts(with: text) })
    }

    /// QEMU is told what lies below each disk, and no file by its name.
    @Test func qemuOpensNothingByItself() throws {
        for (mac, hasUEFI) in [("02:42:00:00:00:01", true), (nil, false)] {
            let command = DiskMachineCommand(
                program: "qemu", accelerator: .tcg, folder: "/vm", processors: 2, memory: 128 << 20,
                reservesMemory: true,
                baseDriver: "qcow2", macAddress: mac, hasUEFI: hasUEFI, uuid: String(repeating: "ab", count: 16))
            let nodes = command.arguments.filter { $0.hasPrefix("{\"driver") }
            #expect(nodes.count == (hasUEFI ? 5 : 3))
            for node in nodes {
                let json = try JSON(parsing: node)
                #expect(json["file"]["filename"].string?.hasPrefix("/dev/fdset/") == true)
                if json["driver"] == "qcow2" { #expect(json.object?.keys.contains("backing") == true) }
            }
            #expect(Set(nodes).count == nodes.count && command.arguments.contains("-S"))
            #expect(command.inherited.contains(.tap) == (mac != nil))
        }
    }
}
