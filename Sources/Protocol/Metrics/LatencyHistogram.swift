/// Counts durations in buckets that grow with the duration (the log-linear scheme of G. Tene's HdrHistogram), so
/// that a percentile is within 1 % of the true value whatever the range.
///
/// The unit is 16 ns. Up to 64 units each has a bucket; above, every power of two is split into 64 equal ones:
///
///     1.5 ms = 93,750 units = 0b1_0110_1110_0011_0110, power 16, next six bits 011011
///            → bucket (16 − 5) · 64 + 27 = 731, which holds 93,184..<94,208 units, and stands for 93,696
///
/// A bucket is at most 1/64 of its own beginning wide and stands for its middle, which is off by at most 1/128
/// (0.79 %) from 1 µs on, and by 8 ns below. What takes longer than 19 hours is in the last bucket.
///
/// Count, sum, least and largest are exact. The buckets lie in pages of 16, of which only those exist that were
/// hit: durations of one method take about 1 KB. Recording is O(1), and allocates when a page is hit first.
public struct LatencyHistogram: Sendable {
    private static let unitBits: UInt64 = 4
    private static let linear: UInt64 = 64
    private static let linearBits: UInt64 = 6
    private static let largestUnits: UInt64 = (1 << 42) - 1
    /// 64 of single units and 64 for each of the 36 powers of two above.
    static let bucketCount = 37 * 64
    private static let pageSize = 16

    public private(set) var count: UInt64 = 0
    /// In nanoseconds. Stays at the largest number there is instead of overflowing.
    public private(set) var sum: UInt64 = 0
    /// In nanoseconds; 0 without any.
    public var minimum: UInt64 { self.count > 0 ? self.least : 0 }
    public private(set) var maximum: UInt64 = 0

    private var least = UInt64.max
    /// Where each page of the scheme lies in `counts`, as a number from 1; 0: it does not exist.
    private var pages: [UInt8] = []
    private var counts: [UInt64] = []

    public init() {}

    /// Counts a duration; a negative one as 0.
    public mutating func record(nanoseconds: Int64) { _ = self.recordGrowing(nanoseconds: nanoseconds) }

    /// - Returns: bytes that the buckets take more than before.
    mutating func recordGrowing(nanoseconds: Int64) -> Int {
        let duration = UInt64(max(0, nanoseconds))
        self.note(count: 1, sum: duration, least: duration, maximum: duration)
        let bucket = UInt(bitPattern: Self.bucket(of: duration))
        let page = Int(bucket / UInt(Self.pageSize))
        if page < self.pages.count, self.pages[page] > 0 {
            self.counts[(Int(self.pages[page]) - 1) * Self.pageSize + Int(bucket % UInt(Self.pageSize))] += 1
            return 0
        }
        let before = self.bytes
        self.add(1, to: Int(bucket))
        return self.bytes - before
    }

    /// Adds what another has recorded.
    public mutating func merge(_ other: LatencyHistogram) {
        self.note(count: other.count, sum: other.sum, least: other.least, maximum: other.maximum)
        other.forEachBucket { self.add($1, to: $0) }
    }

    /// Nanoseconds; nil without any.
    public var average: Double? { self.count > 0 ? Double(self.sum) / Double(self.count) : nil }

    /// The duration in nanoseconds that a share (0…1) of all recorded ones does not exceed, by nearest rank; nil
    /// without any. O(buckets)
    public func quantile(_ share: Double) -> UInt64? {
        guard self.count > 0 else { return nil }
        let rank = max(1, UInt64((share * Double(self.count)).rounded(.up)))
        guard rank < self.count else { return self.maximum }
        var seen: UInt64 = 0
        for (page, number) in self.pages.enumerated() where number > 0 {
            for bucket in page * Self.pageSize..<(page + 1) * Self.pageSize {
                seen += self.counts[(Int(number) - 1) * Self.pageSize + bucket % Self.pageSize]
                if seen >= rank { return min(max(Self.middle(of: bucket), self.minimum), self.maximum) }
            }
        }
        preconditionFailure("\(seen) durations in the buckets, \(self.count) counted")
    }

    /// The durations in order, each in nanoseconds as its bucket stands for it, with how often it was recorded.
    public func forEachDuration(_ body: (_ nanoseconds: UInt64, _ count: UInt64) -> Void) {
        self.forEachBucket { body(Self.middle(of: $0), $1) }
    }

    /// Forgets all and keeps its memory. O(pages that were hit)
    mutating func clear() {
        self.count = 0
        self.sum = 0
        self.least = .max
        self.maximum = 0
        self.counts.removeAll(keepingCapacity: true)
        self.pages.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    }

    /// Bytes that the buckets take.
    var bytes: Int { self.pages.capacity + self.counts.capacity * MemoryLayout<UInt64>.stride }
}

// MARK: - Buckets

extension LatencyHistogram {
    /// The buckets that are not empty, in order, with what is in them.
    func forEachBucket(_ body: (Int, UInt64) -> Void) {
        for (page, number) in self.pages.enumerated() where number > 0 {
            let start = (Int(number) - 1) * Self.pageSize
            for step in 0..<Self.pageSize where self.counts[start + step] > 0 {
                body(page * Self.pageSize + step, self.counts[start + step])
            }
        }
    }

    /// Takes numbers that were recorded elsewhere; their buckets are added one by one.
    mutating func note(count: UInt64, sum: UInt64, least: UInt64, maximum: UInt64) {
        self.count += count
        let (total, isOver) = self.sum.addingReportingOverflow(sum)
        self.sum = isOver ? .max : total
        self.least = min(self.least, least)
        self.maximum = max(self.maximum, maximum)
    }

    mutating func add(_ amount: UInt64, to bucket: Int) {
        let page = bucket / Self.pageSize
        if self.pages.isEmpty {
            self.pages = Array(repeating: 0, count: Self.bucketCount / Self.pageSize)
        }
        if self.pages[page] == 0 {
            self.counts.append(contentsOf: repeatElement(0, count: Self.pageSize))
            self.pages[page] = UInt8(self.counts.count / Self.pageSize)
        }
        self.counts[(Int(self.pages[page]) - 1) * Self.pageSize + bucket % Self.pageSize] += amount
    }

    static func bucket(of nanoseconds: UInt64) -> Int {
        let units = min(nanoseconds >> Self.unitBits, Self.largestUnits)
        guard units >= Self.linear else { return Int(units) }
        let power = 63 - UInt64(units.leadingZeroBitCount)
        let shift = power - Self.linearBits
        return Int((shift << Self.linearBits) + (units >> shift))
    }

    /// In nanoseconds. What is below one unit counts as nothing: the clock of a tick that has not moved.
    private static func middle(of bucket: Int) -> UInt64 {
        let bucket = UInt64(bucket)
        if bucket == 0 { return 0 }
        guard bucket >= Self.linear else { return (bucket << Self.unitBits) + (1 << (Self.unitBits - 1)) }
        let shift = bucket / Self.linear - 1
        let start = (Self.linear + bucket % Self.linear) << shift
        return (start << Self.unitBits) + (1 << (shift + Self.unitBits - 1))
    }
}
