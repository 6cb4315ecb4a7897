import Base
import Testing

@testable import WardenProtocol

@Suite struct FrameTests {
    @Test func matchesTheDocumentedBytes() {
        var bytes: [UInt8] = []
        Frame(.data, number: 0x0102_0304, channel: 2, payload: [7, 8]).write(to: &bytes)
        #expect(bytes == [2, 0, 0, 0, 5, 2, 0, 0, 4, 3, 2, 1, 7, 8])
    }

    @Test func survivesEverySplit() throws {
        let frames = [
            Frame(.request, number: 1, payload: Array(#"{"op":"list"}"#.utf8)), Frame(.data, number: 9, channel: 1),
            Frame.credit(stream: 9, count: 70000), Frame(.event, number: 0, payload: Array("{}".utf8)),
        ]
        var bytes: [UInt8] = []
        for frame in frames { frame.write(to: &bytes) }
        for size in 1...bytes.count {
            var decoder = FrameDecoder()
            var decoded: [Frame] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                decoder.append(bytes[start..<min(start + size, bytes.count)])
                while let frame = try decoder.next() { decoded.append(frame) }
            }
            #expect(decoded == frames)
            #expect(decoder.pendingCount == 0)
        }
        #expect(frames[2].creditCount == 70000)
    }

    @Test(
        arguments: [
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
            [1, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 5, 3, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0], [3, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
        ] as [[UInt8]])
    func refusesWhatBreaksTheRules(bytes: [UInt8]) {
        var decoder = FrameDecoder()
        decoder.append(bytes)
        #expect(throws: SkalaError.self) { try decoder.next() }
    }

    @Test func neverTrapsOnRandomBytes() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var decoder = FrameDecoder()
            decoder.append(
                (0..<Int.random(in: 0..<64, using: &random)).map { _ in UInt8.random(in: 0...9, using: &random) })
            while let frame = try? decoder.next() { #expect(frame.payload.count <= frame.kind.maximumLength) }
        }
    }
}
