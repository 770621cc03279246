/// Counts durations in logarithmic buckets with linear steps inside (the scheme of G. Tene's HdrHistogram), so
/// that percentiles are within 1/64 of the true value whatever the range.
///
///     below 64 µs: one bucket a microsecond · 64–127 µs: 32 buckets of 2 µs · 128–255 µs: 32 of 4 µs · …
///
/// Recording is O(1) and allocates nothing; 27 octaves reach over two hours and take 7 KB.
struct LatencyHistogram: Sendable {
    private static let linear = 64
    private static let perOctave = 32
    private static let octaves = 27
    private static let bucketCount = Self.linear + Self.perOctave * Self.octaves

    /// Allocated with the first recording.
    private var buckets: [UInt64] = []
    private(set) var count: UInt64 = 0

    mutating func record(_ duration: Nanoseconds) {
        if self.buckets.isEmpty { self.buckets = Array(repeating: 0, count: Self.bucketCount) }
        self.buckets[Self.bucket(microseconds: UInt64(max(0, duration)) / 1000)] += 1
        self.count += 1
    }

    /// The duration that a share `quantile` (0…1) of all recorded ones does not exceed; nil without any.
    ///
    /// Nearest rank; the middle of the bucket it falls into.
    func quantile(_ quantile: Double) -> Nanoseconds? {
        guard self.count > 0 else { return nil }
        let rank = max(1, UInt64((quantile * Double(self.count)).rounded(.up)))
        var seen: UInt64 = 0
        for (index, amount) in self.buckets.enumerated() where amount > 0 {
            seen += amount
            if seen >= rank { return Self.middle(of: index) }
        }
        preconditionFailure("\(seen) durations in the buckets, \(self.count) counted")
    }

    private static func bucket(microseconds: UInt64) -> Int {
        guard microseconds >= Self.linear else { return Int(microseconds) }
        let octave = 63 - microseconds.leadingZeroBitCount - 6  // 64…127 is octave 0
        guard octave < Self.octaves else { return Self.bucketCount - 1 }
        let step = Int(microseconds >> UInt64(octave + 1)) - Self.perOctave
        return Self.linear + octave * Self.perOctave + step
    }

    private static func middle(of bucket: Int) -> Nanoseconds {
        guard bucket >= Self.linear else { return Int64(bucket) * 1000 + 500 }
        let octave = (bucket - Self.linear) / Self.perOctave
        let step = (bucket - Self.linear) % Self.perOctave
        let width = Int64(1) << Int64(octave + 1)
        return (Int64(Self.perOctave + step) * width + width / 2) * 1000
    }
}
