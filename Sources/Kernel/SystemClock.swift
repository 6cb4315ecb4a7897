public import Base
import CLinux
import Glibc
import CSeccomp

/// The kernel's clocks. Pure code takes a `Timestamp`; only the edges ask here.
public enum SystemClock {
    /// Wall-clock time (CLOCK_REALTIME).
    public static func now() -> Timestamp { Timestamp(nanoseconds: read(CLOCK_REALTIME)) }

    /// Nanoseconds on the clock that never jumps (CLOCK_MONOTONIC): for deadlines and durations.
    public static func monotonicNanoseconds() -> Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
