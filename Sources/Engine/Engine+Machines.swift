import Base
import Glibc
public import Images
import Kernel
import Machines
public import OCI

extension Engine {
    private static let block = 1 << 20

    /// Makes an image of a disk that comes in pieces.
    ///
    /// - Throws: `.invalid` with the reason when it is no disk a machine boots from; nothing of it is kept then.
    public func importDisk(
        _ pieces: some AsyncSequence<[UInt8], any Error> & Sendable, reference: Reference?
    ) async throws -> Image {
        // As long as its client takes: not on the threads everybody waits for.
        let threads = WorkerThreads(limit: 1)
        let image = try await images.importDisk(
            config: [:], reference: reference, author: "", comment: "disk of a machine"
        ) { file in
            var writer = DiskWriter(to: file)
            var block: [UInt8] = []
            func flush() async throws {
                let (bytes, current) = (block, writer)
                writer = try await threads.run {
                    var next = current
                    try next.append(bytes)
                    return next
                }
                block = []
            }
            for try await piece in pieces {
                block += piece
                if block.count >= Engine.block { try await flush() }
            }
            try await flush()
            return try writer.finish().driver == "qcow2" ? "disk.qcow2" : "disk.img"
        }
        events.publish("image", "import", image.id, ["name": reference?.familiar ?? image.id])
        return image
    }
}
