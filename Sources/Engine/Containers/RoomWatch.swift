/// When VMs are asked whether they stand still for want of room. Pure.
///
/// How much room there is costs one system call to know, and is looked at in every tick; to ask the VMs costs more. A disk that
/// was full for a moment between two rounds is asked about in the next one, since QEMU has stopped who wrote just then, for good.
struct RoomWatch {
    /// Between two ticks, in nanoseconds.
    static let tickTime: UInt64 = 500_000_000
    /// VMs are asked in every round while there is less room than this, in bytes.
    static let scarceRoom: Int64 = 256 << 20
    /// Ticks of a round.
    private static let round = 4
    /// With room all the time they are asked after so many ticks: a disk may be full for less than a tick.
    private static let longestPause = 60

    private var ticks = 0
    private var wasScarce = false

    /// - Parameters:
    ///   - room: bytes that can be written; nil when that cannot be told.
    ///   - isDue: whether a VM stood still when they were asked last, and shall go on as soon as it can, or did not answer.
    /// - Returns: whether VMs are to be asked now.
    mutating func tick(room: Int64?, isDue: Bool) -> Bool {
        ticks += 1
        let isScarce = room.map { $0 < RoomWatch.scarceRoom } ?? true
        if isScarce { wasScarce = true }
        guard isDue || ticks % RoomWatch.round == 0 && (wasScarce || ticks % RoomWatch.longestPause == 0) else {
            return false
        }
        wasScarce = isScarce
        return true
    }
}
