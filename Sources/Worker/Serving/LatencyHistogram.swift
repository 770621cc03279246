/// Durations by how often they occurred, in buckets that grow with the duration.
///
/// Log-linear: each power of two of microseconds is split into 32 equal buckets, so that a quantile, taken in
/// the middle of its bucket, is off by at most 1/64 (1.6 %). Below 32 µs each microsecond has its own.
///
///     1000 µs = 0b1111101000, power 9, next five bits 11110 → bucket (9 − 4) · 32 + 30
struct LatencyHistogram: Equatable {
    private static let subBuckets = 32
    private static let subBucketBits = 5
    /// 2^36 µs are 19 hours; longer counts as that.
    private static let powers = 36
    private static let bucketCount = (powers - subBucketBits + 2) * subBuckets

    private(set) var count = 0
    private(set) var sum = 0.0
    private(set) var minimum = Double.infinity
    private(set) var maximum = 0.0
    private var buckets: [UInt32] = []

    mutating func record(milliseconds: Double) {
        if self.buckets.isEmpty { self.buckets = [UInt32](repeating: 0, count: Self.bucketCount) }
        self.count += 1
        self.sum += milliseconds
        self.minimum = min(self.minimum, milliseconds)
        self.maximum = max(self.maximum, milliseconds)
        self.buckets[Self.bucket(of: milliseconds)] += 1
    }

    var average: Double { self.count > 0 ? self.sum / Double(self.count) : 0 }

    /// The duration that a share of all is not above, in milliseconds; 0 when nothing was recorded.
    ///
    /// - Parameter share: 0.95 for the 95th percentile.
    func quantile(_ share: Double) -> Double {
        guard self.count > 0 else { return 0 }
        let wanted = max(1, Int((share * Double(self.count)).rounded(.up)))
        var seen = 0
        for (bucket, count) in self.buckets.enumerated() where count > 0 {
            seen += Int(count)
            if seen >= wanted {
                return min(max(Self.middle(of: bucket), self.minimum), self.maximum)
            }
        }
        return self.maximum
    }

    private static func bucket(of milliseconds: Double) -> Int {
        let microseconds = UInt64(min(max(milliseconds * 1000, 0), 0x1p36 - 1))
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
