import Archives
import Base
import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Images

/// Layers need device nodes, owners and trusted attributes.
let isRoot = getuid() == 0

/// Unpacks archives made in the test.
struct LayerFixture {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The unpacked layer's folder.
    var root: String { folder.path + "/root" }

    @discardableResult
    func unpack(
        _ archive: [UInt8], limit: Int64 = 1 << 20, hasWhiteouts: Bool = true, replacesDirectories: Bool = true
    ) throws -> (digest: String, bytes: Int64) {
        let path = try folder.write("layer.tar", archive)
        try FileContents.makeDirectories(root)
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let reader = try ArchiveReader(descriptor: file.raw, limit: limit)
        var unpacker = LayerUnpacker(
            folder: try OwnedDescriptor.open(root, O_RDONLY | CL_O_DIRECTORY), hasWhiteouts: hasWhiteouts,
            replacesDirectories: replacesDirectories)
        try unpacker.unpack(reader)
        return try reader.finish()
    }

    /// What is below the test's folder but for the layer and its archive.
    var strays: [String] {
        get throws {
            try FileContents.names(in: folder.path).filter { $0 != "root" && $0 != "layer.tar" && $0 != "outside" }
                + ((try? FileContents.names(in: folder.path + "/outside")) ?? [])
        }
    }

    func status(_ name: String) -> stat? {
        var status = stat()
        return lstat(root + "/" + name, &status) == 0 ? status : nil
    }

    func kind(_ name: String) -> UInt32? { status(name).map { $0.st_mode & S_IFMT } }

    func text(_ name: String) throws -> String {
        String(decoding: try FileContents.read(root + "/" + name), as: UTF8.self)
    }

    func target(_ name: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(root + "/" + name, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    func attribute(_ attribute: String, of name: String) -> [UInt8]? {
        var value = [UInt8](repeating: 0, count: 256)
        let count = lgetxattr(root + "/" + name, attribute, &value, value.count)
        return count < 0 ? nil : Array(value.prefix(count))
    }
}

/// Runs a program; what it prints.
func run(_ arguments: String...) throws -> String { try Subprocess.output(arguments, limit: 1 << 20) }

/// The first of the paths that can be executed; nil, and a line that says so, when none can.
func tool(_ name: String) -> String? {
    for folder in ["/usr/bin/", "/bin/", "/usr/sbin/"] where access(folder + name, X_OK) == 0 { return folder + name }
    print("SKIP: \(name) is not installed")
    return nil
}
