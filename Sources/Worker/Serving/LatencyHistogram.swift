/// Durations by how often they occurred, in buckets that grow with the duration.
///
/// Log-linear: each power of two of microseconds is split into 32 equal buckets, so that a quantile, taken in
/// the middle of its bucket, is off by at most 1/64 (1.6 %). Below 32 µs each microsecond has its own.
///
/// Only buckets that were hit take memory: a method's durations hit a few dozen.
///
///     1000 µs = 0b1111101000, power 9, next five bits 11110 → bucket (9 − 4) · 32 + 30
struct LatencyHistogram: Equatable {
    private static let subBuckets = 32
    private static let subBucketBits = 5
    /// 2^36 µs are 19 hours; longer counts as that.
    private static let longestMicroseconds = 0x1p36 - 1

    private(set) var count = 0
    private(set) var sum = 0.0
    private(set) var minimum = Double.infinity
    private(set) var maximum = 0.0
    private var buckets: [Int: Int] = [:]

    mutating func record(milliseconds: Double) {
        self.count += 1
        self.sum += milliseconds
        self.minimum = min(self.minimum, milliseconds)
        self.maximum = max(self.maximum, milliseconds)
        self.buckets[Self.bucket(of: milliseconds), default: 0] += 1
    }

    /// Adds what another has recorded.
    mutating func merge(_ other: LatencyHistogram) {
        self.count += other.count
        self.sum += other.sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.buckets.merge(other.buckets) { $0 + $1 }
    }

    var average: Double { self.count > 0 ? self.sum / Double(self.count) : 0 }

    /// The duration that a share of all is not above, in milliseconds; 0 when nothing was recorded.
    ///
    /// - Parameter share: 0.95 for the 95th percentile.
    func quantile(_ share: Double) -> Double {
        guard self.count > 0 else { return 0 }
        let wanted = max(1, Int((share * Double(self.count)).rounded(.up)))
        var seen = 0
        for (bucket, count) in self.buckets.sorted(by: { $0.key < $1.key }) {
            seen += count
            if seen >= wanted {
                return min(max(Self.middle(of: bucket), self.minimum), self.maximum)
            }
        }
        return self.maximum
    }

    private static func bucket(of milliseconds: Double) -> Int {
        let microseconds = UInt64(min(max(milliseconds * 1000, 0), self.longestMicroseconds))
        guard microseconds >= UInt64(self.subBuckets) else { return Int(microseconds) }
        let power = 63 - microseconds.leadingZeroBitCount
        let shift = power - self.subBucketBits
        return (shift + 1) * self.subBuckets + Int(microseconds >> UInt64(shift)) - self.subBuckets
    }

    private static func middle(of bucket: Int) -> Double {
        guard bucket >= self.subBuckets else { return (Double(bucket) + 0.5) / 1000 }
        let shift = bucket / self.subBuckets - 1
        let start = UInt64(bucket % self.subBuckets + self.subBuckets) << UInt64(shift)
        return (Double(start) + Double(UInt64(1) << UInt64(shift)) / 2) / 1000
    }
}
