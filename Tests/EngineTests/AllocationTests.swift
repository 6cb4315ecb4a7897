import Base
import TestSupport
import Testing

@testable import Engine

struct AllocationTests {
    @Test(arguments: [
        ("", ""), ("0", "0"), ("3,1,2", "1-3"), ("0-3,8", "0-3,8"), ("0-1,1-2, 5\n", "0-2,5"), ("7-7", "7"),
    ])
    func setsAreRead(text: String, normal: String) throws { #expect(try CPUSet(parsing: text).description == normal) }

    @Test(arguments: ["a", "1-", "-1", "3-1", "1-2-3", "0-65536", "1.5", "99999999999999999999"])
    func setsThatAreNoneAreRefused(text: String) {
        #expect(throws: SkalaError.self) { try CPUSet(parsing: text) }
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func noCoreBelongsToTwo(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var allocator = CoreAllocator(online: CPUSet(0..<12))
        var held: [String: CPUSet] = [:]
        for _ in 0..<500 {
            let id = "\(random.below(6))"
            if random.below(2) == 0 {
                #expect(allocator.release(id) == (held.removeValue(forKey: id) != nil))
                continue
            }
            let wanted = random.below(2) == 0 ? nil : CPUSet((0..<12).filter { _ in random.below(2) == 0 })
            let count = 1 + random.below(4)
            let free = 12 - held.values.reduce(0) { $0 + $1.cores.count }
            do {
                let cores = try allocator.claim(id, count: count, wanted: wanted)
                if let before = held[id] {
                    #expect(cores == before)
                    continue
                }
                #expect(cores.cores.count == count && (wanted?.subtracting(cores).cores.count ?? 0) + count <= 12)
                #expect(held.values.allSatisfy { $0.intersection(cores).isEmpty })
                #expect(wanted.map { cores.subtracting($0).isEmpty } ?? true)
                held[id] = cores
            } catch {
                #expect(error.code == .exhausted && held[id] == nil && (wanted != nil || free <= count))
            }
            #expect(!allocator.common.isEmpty, "one core stays for all others")
            #expect(allocator.shared(wanted: nil) == (held.isEmpty ? nil : allocator.common))
        }
    }
}
