import Base
import Testing

@testable import Warden

/// What the engine asks of a VM's warden about its disks and folders is checked there too.
struct GuestTests {
    @Test(arguments: ["/etc", "/run/skala", "/run/skala/../etc", "run/skala/x", "/run/skala/x\0y", "/run/skalax/y"])
    func whatIsNotOursIsRefused(path: String) {
        let error = #expect(throws: SkalaError.self) { try Guest.path(JSON(path)) }
        #expect(error?.code == .invalid)
        let dismissal = #expect(throws: SkalaError.self) { try Guest().dismiss(["folder": JSON(path), "disks": []]) }
        #expect(dismissal?.code == .invalid)
    }

    @Test func dismissalsNameWhatIsThere() throws {
        #expect(try Guest.path("/run/skala/abc/image") == "/run/skala/abc/image")
        let disk = #expect(throws: SkalaError.self) {
            try Guest().dismiss(["folder": "/run/skala/test-of-skala", "disks": ["no such disk"]])
        }
        #expect(disk?.code == .notFound)
        for slot in [-1, 0, 13, 30, 1 << 40] as [Int64] {
            let error = #expect(throws: SkalaError.self) {
                try Guest().dismiss(["folder": "/run/skala/test-of-skala", "slot": JSON(slot)])
            }
            #expect(error?.code == .invalid)
        }
    }
}
