import Glibc
import Kernel
import Testing

struct SubprocessTests {
    /// Whoever started us may have left descriptors open that are not ours.
    @Test func aProgramGetsNoDescriptorsButItsOwn() throws {
        let file = try OwnedDescriptor.open("/dev/null", O_RDONLY)
        // A copy survives exec.
        let left = OwnedDescriptor(dup(file.raw))
        #expect(fcntl(left.raw, F_GETFD) == 0)
        func finds(_ number: Int32, _ descriptor: Int32?) throws -> Bool {
            try Subprocess.run(["/bin/sh", "-c", "[ -e /proc/self/fd/\(number) ]"], inheriting: descriptor) == 0
        }
        #expect(try finds(0, nil) && finds(2, nil))
        #expect(try !finds(3, nil) && !finds(left.raw, nil))
        #expect(try finds(3, file.raw) && !finds(4, file.raw) && !finds(max(4, left.raw), file.raw))
        left.close()
    }
}
