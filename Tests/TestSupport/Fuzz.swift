import Base
import Glibc
import Kernel

/// Runs a test over and over with inputs that follow from a seed.
///
/// Short by default, with fixed seeds, so that a check-in's result is the same everywhere. `SKALA_FUZZ_SECONDS` runs new
/// seeds for that long; `SKALA_FUZZ_SEED` runs one again. The seed of the round under way is in a file, which stays when
/// the process crashes.
public enum Fuzz {
    /// Rounds of a short run.
    static let shortRounds: UInt64 = 400

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Others get their turn between rounds: the concurrency pool has as many threads as cores.
    ///
    /// - Parameter body: one round. What it throws fails the test with the round's seed.
    public static func run(_ name: String, _ body: (inout SeededRandom) throws -> Void) async throws {
        let path = "/tmp/skala-fuzz-\(name)-\(getpid()).seed"
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        defer { unlink(path) }
        func round(_ seed: UInt64) throws {
            // Of one length, so that each overwrites the one before.
            let digits = String(seed)
            let line = Array((digits + String(repeating: " ", count: 20 - digits.utf8.count) + "\n").utf8)
            try checkErrno(pwrite(file.raw, line, line.count, 0), "write", path)
            var random = SeededRandom(seed: seed)
            do {
                try body(&random)
            } catch { throw Failure(description: "\(name): SKALA_FUZZ_SEED=\(seed): \(error)") }
        }
        if let seed = variable("SKALA_FUZZ_SEED").flatMap(UInt64.init) { return try round(seed) }
        guard let seconds = variable("SKALA_FUZZ_SECONDS").flatMap(Int64.init) else {
            for seed in 0..<shortRounds {
                try round(seed)
                await Task.yield()
            }
            return
        }
        var seed = UInt64(truncatingIfNeeded: SystemClock.now().nanoseconds)
        let first = seed
        let end = SystemClock.monotonicNanoseconds() + seconds * 1_000_000_000
        while SystemClock.monotonicNanoseconds() < end {
            try round(seed)
            seed &+= 1
            await Task.yield()
        }
        print("fuzz \(name): \(seed &- first) rounds from seed \(first)")
    }

    /// A single round was asked for.
    public static var isOneRound: Bool { variable("SKALA_FUZZ_SEED") != nil }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

extension SeededRandom {
    /// The sample with a few bytes changed, added, removed, repeated or cut off.
    public mutating func mutate(_ sample: [UInt8], changes: Int = 4) -> [UInt8] {
        var bytes = sample
        for _ in 0...below(changes) where !bytes.isEmpty {
            let at = below(bytes.count)
            switch below(7) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: next())
            case 1: bytes[at] ^= 1 << UInt8(below(8))
            case 2: bytes.insert(pick([0, 0x0A, 0x0D, 0x22, 0x2E, 0x2F, 0x39, 0x5C, 0x7F, 0xCC, 0xFF]), at: at)
            case 3: bytes.remove(at: at)
            case 4: bytes.removeLast(min(bytes.count, below(32)))
            case 5:
                let piece = bytes[at..<min(bytes.count, at + 1 + below(64))]
                bytes.insert(contentsOf: piece, at: below(bytes.count))
            default:
                let length = min(bytes.count - at, 1 + below(8))
                bytes.replaceSubrange(at..<at + length, with: self.bytes(length))
            }
        }
        return bytes
    }
}
