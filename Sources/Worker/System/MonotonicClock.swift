import Glibc

/// A moment on the clock that never jumps.
struct MonotonicClock: Equatable, Comparable {
    var nanoseconds: Int64

    static var now: MonotonicClock {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicClock(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    var millisecondsAgo: Double { Self.now.milliseconds(since: self) }

    func milliseconds(since start: MonotonicClock) -> Double {
        Double(self.nanoseconds - start.nanoseconds) / 1_000_000
    }

    func adding(milliseconds: Int64) -> MonotonicClock {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(
            milliseconds.multipliedReportingOverflow(by: 1_000_000).partialValue)
        return MonotonicClock(nanoseconds: overflow || milliseconds > Int64.max / 1_000_000 ? Int64.max : sum)
    }

    static func < (left: MonotonicClock, right: MonotonicClock) -> Bool {
        left.nanoseconds < right.nanoseconds
    }
}
