import Glibc

/// The system's clocks, read once a tick by the shell and told to the core.
enum Clock {
    static var now: Instant { Instant(nanoseconds: Self.read(CLOCK_MONOTONIC)) }

    /// Milliseconds since 1970.
    static var wallMilliseconds: Int64 { Self.read(CLOCK_REALTIME) / 1_000_000 }

    /// Processor time of this process so far.
    static var processorTime: Nanoseconds { Self.read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        precondition(clock_gettime(clock, &time) == 0, "clock_gettime: \(errno)")
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
