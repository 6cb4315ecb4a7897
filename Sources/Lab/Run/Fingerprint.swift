/// A short number for long contents, by which a change is noticed: FNV-1a with 64 bits. It is no defence against forgery.
struct Fingerprint {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }

    /// A part whose end shows, so that what moves from one part to the next is a change.
    mutating func addPart(_ bytes: [UInt8]) {
        add("\(bytes.count):".utf8)
        add(bytes)
    }

    var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
