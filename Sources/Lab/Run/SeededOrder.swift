/// The order of conditions in a round: random, and the same for a seed.
struct SeededOrder: RandomNumberGenerator {
    private var state: UInt64

    /// - Parameter name: the case's, so that each has orders of its own.
    init(seed: UInt64, round: Int, name: String) {
        var fingerprint = Fingerprint()
        fingerprint.add(name.utf8)
        state =
            seed &* 0x9E37_79B9_7F4A_7C15 ^ fingerprint.value ^ UInt64(bitPattern: Int64(round))
            &* 0xBF58_476D_1CE4_E5B9
    }

    /// SplitMix64 (S. Vigna).
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    mutating func shuffled<Element>(_ elements: [Element]) -> [Element] { elements.shuffled(using: &self) }
}
