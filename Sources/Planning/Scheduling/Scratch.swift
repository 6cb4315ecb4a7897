/// What the call at work knows of nodes that differ for it. Only touched ones are visited when it ends.
struct Scratch: Sendable {
    /// Tasks of the service.
    var own: ContiguousArray<Int32> = []
    var flags: ContiguousArray<UInt8> = []
    var touched: ContiguousArray<Int32> = []
    /// Parts of trees without room, that are out of searches.
    var blocked: [(tree: Int, position: Int)] = []

    static let touch: UInt8 = 1
    /// A port is taken, or a neighbour is not wanted.
    static let blocked: UInt8 = 2
    /// The tenant has a VM there with room.
    static let hasMachine: UInt8 = 4
    /// To be taken last.
    static let avoided: UInt8 = 8

    mutating func grow() {
        own.append(0)
        flags.append(0)
    }

    mutating func mark(_ node: Int, _ flag: UInt8) {
        if flags[node] & Scratch.touch == 0 { touched.append(Int32(node)) }
        flags[node] |= flag | Scratch.touch
    }
}
