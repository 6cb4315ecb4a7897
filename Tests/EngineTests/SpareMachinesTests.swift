import Base
import Kernel
import Machines
import Synchronization
import Testing

@testable import Engine

struct SpareMachinesTests {
    /// Those that wait, and those that are being made, may have so much memory together, whatever their sizes.
    @Test func memoryIsBounded() async throws {
        let (small, large) = (
            MachineShape(memory: 256 << 20, processors: 1), MachineShape(memory: 1 << 30, processors: 1)
        )
        let spares = SpareMachines(limit: 10, memory: (1 << 30) + (512 << 20), log: Log())
        let made = Mutex<[MachineShape: Int]>([:])
        for shape in [large, large, large, small, small, small, small] {
            spares.refill(shape) {
                made.withLock { $0[shape, default: 0] += 1 }
                // Still being made when the others are counted.
                try await Task.sleep(for: .seconds(60))
                throw CancellationError()
            } settled: { _ in
            }
        }
        // They begin a moment later; a busy host takes its time.
        for _ in 0..<200 where made.withLock({ $0.values.reduce(0, +) }) < 3 {
            try await Task.sleep(for: .milliseconds(100))
        }
        try await Task.sleep(for: .milliseconds(200))
        #expect(made.withLock { $0 } == [large: 1, small: 2])
    }
}
