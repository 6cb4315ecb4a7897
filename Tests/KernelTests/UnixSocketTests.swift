import Glibc
import Kernel
import TestSupport
import Testing

struct UnixSocketTests {
    /// A server that takes no connections, as a stopped process does, costs no more than the time given.
    @Test func aFullQueueIsNotWaitedForForEver() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/s"
        let server = OwnedDescriptor(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        var address = try UnixSocket.address(path)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(server.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0 && listen(server.raw, 1) == 0)
        var waiting: [OwnedDescriptor] = []
        let error = #expect(throws: KernelError.self) {
            for _ in 0..<10 { waiting.append(try UnixSocket.connect(path, limit: 50_000_000)) }
        }
        #expect(error?.errno == EAGAIN && (1...3).contains(waiting.count))
        // What was connected may wait for its peer as long as it takes.
        var time = timeval()
        var size = socklen_t(MemoryLayout<timeval>.size)
        getsockopt(waiting[0].raw, SOL_SOCKET, SO_SNDTIMEO, &time, &size)
        #expect(time.tv_sec == 0 && time.tv_usec == 0)
    }
}
