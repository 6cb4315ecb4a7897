import Base
import Glibc
import Kernel

/// How quiet the host is: what disturbs a measurement without being part of it.
struct Noise {
    /// Processor time in ticks: of all kinds, idle, and stolen by a hypervisor below.
    private struct Ticks {
        var total = 0.0
        var idle = 0.0
        var stolen = 0.0

        static func read() -> Ticks {
            guard let line = HostRecord.text("/proc/stat").split(separator: "\n").first else { return Ticks() }
            let values = line.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
            guard values.count == 8 else { return Ticks() }
            return Ticks(total: values.reduce(0, +), idle: values[3] + values[4], stolen: values[7])
        }
    }

    private let start = Ticks.read()

    /// The share of processor time since then that a hypervisor gave to others.
    var stolen: Double {
        let now = Ticks.read()
        return now.total > start.total ? (now.stolen - start.stolen) / (now.total - start.total) : 0
    }

    private var busy: Double {
        let now = Ticks.read()
        return now.total > start.total ? 1 - (now.idle - start.idle) / (now.total - start.total) : 0
    }

    /// A fixed piece of work for a processor, over and over for a second: how long it takes, and how much that varies. With it, how
    /// busy the host was with other things in the second before.
    ///
    /// - Returns: `busy` and `stolen` as shares, `work` in milliseconds (median), `scatter` as the ratio of the 90th percentile to the
    ///   median.
    static func probe(until deadline: Deadline) throws -> JSON {
        let noise = Noise()
        try deadline.pause(1_000_000_000)
        let (busy, stolen) = (noise.busy, noise.stolen)
        var times: [Double] = []
        let end = SystemClock.monotonicNanoseconds() + 500_000_000
        while SystemClock.monotonicNanoseconds() < end {
            let started = SystemClock.monotonicNanoseconds()
            spin()
            times.append(Double(SystemClock.monotonicNanoseconds() - started) / 1e6)
        }
        times.sort()
        let median = Summary.median(ofSorted: times)
        return [
            "busy": rounded(busy), "stolen": rounded(stolen), "load": rounded(load()), "work": rounded(median),
            "scatter": rounded(median > 0 ? times[times.count * 9 / 10] / median : 0),
        ]
    }

    private static func load() -> Double {
        HostRecord.text("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } ?? 0
    }

    /// About two milliseconds of arithmetic that the compiler cannot leave out.
    private static func spin() {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for _ in 0..<1_000_000 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
        }
        withExtendedLifetime(sink(state)) {}
    }

    @inline(never) private static func sink(_ value: UInt64) -> UInt64 { value }

    static func rounded(_ value: Double) -> JSON { JSON((value * 1e4).rounded() / 1e4) }
}
