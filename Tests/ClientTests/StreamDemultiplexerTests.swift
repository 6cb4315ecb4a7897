import Testing

@testable import Client

struct StreamDemultiplexerTests {
    private static let frames: [UInt8] =
        [1, 0, 0, 0, 0, 0, 0, 3] + Array("out".utf8) + [2, 0, 0, 0, 0, 0, 0, 0] + [2, 0, 0, 0, 0, 0, 0, 5]
        + Array("error".utf8) + [1, 0, 0, 0, 0, 0, 1, 0] + [UInt8](repeating: 0x61, count: 256)

    @Test(arguments: [1, 3, 8, 11, 1000])
    func framesAreCutAnywhere(cut: Int) {
        var demultiplexer = StreamDemultiplexer()
        var output: [UInt8] = []
        var errors: [UInt8] = []
        let frames = StreamDemultiplexerTests.frames
        for start in stride(from: 0, to: frames.count, by: cut) {
            for piece in demultiplexer.take(Array(frames[start..<min(start + cut, frames.count)])) {
                if piece.channel == .error { errors += piece.bytes } else { output += piece.bytes }
            }
        }
        #expect(errors == Array("error".utf8))
        #expect(output == Array("out".utf8) + [UInt8](repeating: 0x61, count: 256))
    }
}
