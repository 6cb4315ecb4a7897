import Glibc
import Kernel

/// A folder of a test's own, removed with everything in it when the last reference goes.
public final class TemporaryFolder: Sendable {
    public let path: String

    /// - Parameter isInMemory: on a file system without a disk, for a test that makes many files.
    public init(isInMemory: Bool = false) throws(KernelError) {
        let parent = isInMemory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(parent)/skala-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw KernelError("mkdtemp", parent, errno: errno) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        do {
            try FileContents.removeTree(path)
        } catch { print("cannot remove \(path): \(error)") }
    }

    /// Writes a file, with the folders above it.
    @discardableResult
    public func write(_ name: String, _ bytes: some Collection<UInt8>) throws(KernelError) -> String {
        let file = path + "/" + name
        try FileContents.makeDirectories(String(file[..<(file.lastIndex(of: "/") ?? file.endIndex)]))
        try FileContents.overwrite(file, with: Array(bytes))
        return file
    }

    public func text(_ name: String) throws(KernelError) -> String {
        String(decoding: try FileContents.read(path + "/" + name), as: UTF8.self)
    }
}
