/// A duration in nanoseconds.
typealias Nanoseconds = Int64

extension Nanoseconds {
    static func seconds(_ count: Int64) -> Nanoseconds { count * 1_000_000_000 }
    static func milliseconds(_ count: Int64) -> Nanoseconds { count * 1_000_000 }

    /// Whole milliseconds, rounded up, so that a time left is 0 only when nothing is left.
    var millisecondsRoundedUp: Int64 { (self + 999_999) / 1_000_000 }
    /// Milliseconds with three decimals, for reports.
    var inMilliseconds: Double { (Double(self) / 1000).rounded() / 1000 }
    var inSeconds: Double { Double(self) / 1e9 }
}

/// A point on the monotonic clock. The core is told the time and never reads it.
struct Instant: Comparable, Hashable, Sendable {
    var nanoseconds: Int64

    static let distantFuture = Instant(nanoseconds: .max)

    /// Saturates in the distant future.
    func advanced(by duration: Nanoseconds) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(duration)
        return overflow ? .distantFuture : Instant(nanoseconds: sum)
    }

    func duration(since earlier: Instant) -> Nanoseconds { self.nanoseconds - earlier.nanoseconds }

    static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
}
