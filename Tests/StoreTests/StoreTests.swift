import Base
import Glibc
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(1)))
struct StoreTests {
    @Test func documentsComeBackInAnotherRun() async throws {
        try await withFolder { folder in
            let store = try await Store(path: folder + "/state.db")
            try await store.put("container", "b", ["name": "web", "ports": [80, 443], "text": "a\u{0}é\"\n"])
            try await store.put("container", "a", ["old": true])
            try await store.put("container", "a", ["new": 1.5])
            try await store.put("network", "a", [])
            try await store.put("container", "c", nil)
            try await store.remove("container", "c")
            try await store.remove("container", "never was")
            try await store.close()
            await #expect(throws: SkalaError.self) { try await store.get("container", "a") }

            let again = try await Store(path: folder + "/state.db")
            let containers = try await again.all("container")
            #expect(containers.map(\.id) == ["a", "b"])
            #expect(containers[0].body == ["new": 1.5])
            #expect(containers[1].body == ["name": "web", "ports": [80, 443], "text": "a\u{0}é\"\n"])
            #expect(try await again.get("network", "a") == [])
            #expect(try await again.get("container", "c") == nil)
            #expect(try await again.all("volume").isEmpty)
            try await again.close()
        }
    }

    @Test func onlyTheOwnerMayReadTheFile() async throws {
        try await withFolder { folder in
            let store = try await Store(path: folder + "/state.db")
            try await store.put("a", "b", "c")
            for name in ["state.db", "state.db-wal"] {
                var status = stat()
                #expect(stat(folder + "/" + name, &status) == 0)
                #expect(status.st_mode & 0o777 == 0o600)
            }
            try await store.close()
        }
    }

    @Test func changesHappenInTheirOrder() async throws {
        try await withFolder { folder in
            let store = try await Store(path: folder + "/state.db")
            try await store.apply([
                .put(Store.Document(kind: "a", id: "1", body: 1)), .put(Store.Document(kind: "a", id: "2", body: 2)),
                .remove(kind: "a", id: "1"),
            ])
            #expect(try await store.all("a").map(\.id) == ["2"])
            try await store.close()
            await #expect(throws: SkalaError.self) { try await store.putAll([.init(kind: "a", id: "3", body: 3)]) }
            let again = try await Store(path: folder + "/state.db")
            #expect(try await again.all("a").map(\.id) == ["2"])
            try await again.close()
        }
    }

    @Test func manyWritersAtOnce() async throws {
        try await withFolder { folder in
            let store = try await Store(path: folder + "/state.db")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<50 {
                    group.addTask {
                        for number in 0..<40 { try await store.put("n", "\(writer)-\(number)", JSON(number)) }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.all("n").count == 2000)
            try await store.close()
        }
    }

    @Test func aSecondOpenIsAConflict() async throws {
        try await withFolder { folder in
            let store = try await Store(path: folder + "/state.db")
            let error = await #expect(throws: SkalaError.self) { try await Store(path: folder + "/state.db") }
            #expect(error?.code == .conflict)
            try await store.put("still", "writes", true)
            try await store.close()
        }
    }

    @Test func damagedForeignAndNewerFilesAreRefusedAndUntouched() async throws {
        try await withFolder { folder in
            let garbage = folder + "/garbage"
            let bytes = [UInt8]((0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) })
            try write(bytes, to: garbage)
            let damaged = await #expect(throws: SkalaError.self) { try await Store(path: garbage) }
            #expect(damaged?.code == .invalid)
            #expect(damaged?.message.contains(garbage) == true)
            #expect(try read(garbage) == bytes)

            let newer = folder + "/newer"
            let store = try await Store(path: newer)
            try await store.put("a", "b", 1)
            try await store.close()
            // The schema version lies at byte 60, the application's mark at 68 (sqlite.org/fileformat.html, 1.3).
            var file = try read(newer)
            file[63] = 9
            try write(file, to: newer)
            let unknown = await #expect(throws: SkalaError.self) { try await Store(path: newer) }
            #expect(unknown?.code == .unsupported)
            #expect(unknown?.message.contains("schema 9") == true)
            file[63] = 1
            file[68] = 0
            try write(file, to: newer)
            let foreign = await #expect(throws: SkalaError.self) { try await Store(path: newer) }
            #expect(foreign?.code == .invalid)

            let missing = await #expect(throws: SkalaError.self) { try await Store(path: folder + "/no/state.db") }
            #expect(missing?.code == .notFound)
        }
    }

    @Test func aPageOverwrittenIsNoticed() async throws {
        try await withFolder { folder in
            let path = folder + "/state.db"
            let store = try await Store(path: path)
            try await store.putAll((0..<500).map { .init(kind: "k", id: "\($0)", body: .string("body \($0)")) })
            try await store.close()
            var file = try read(path)
            for offset in 4096..<8192 { file[offset] = 0xA5 }
            try write(file, to: path)
            let error = await #expect(throws: SkalaError.self) {
                let store = try await Store(path: path)
                _ = try await store.all("k")
            }
            #expect(error?.code == .invalid)
        }
    }
}
