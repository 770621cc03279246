/// Calls that were answered: how many, how many of them with an error, and how long they took.
public struct CallFigures: Sendable {
    public private(set) var errors: UInt64 = 0
    public internal(set) var latency = LatencyHistogram()

    public init() {}

    public var count: UInt64 { self.latency.count }

    public mutating func record(nanoseconds: Int64, isError: Bool) {
        _ = self.recordGrowing(nanoseconds: nanoseconds, isError: isError)
    }

    /// - Returns: bytes that it takes more than before.
    mutating func recordGrowing(nanoseconds: Int64, isError: Bool) -> Int {
        if isError { self.errors += 1 }
        return self.latency.recordGrowing(nanoseconds: nanoseconds)
    }

    public mutating func merge(_ other: CallFigures) {
        self.errors += other.errors
        self.latency.merge(other.latency)
    }

    mutating func clear() {
        self.errors = 0
        self.latency.clear()
    }

    var bytes: Int { self.latency.bytes }
}

/// Whose calls, and of which method.
struct CallSeries: Comparable, Hashable, Sendable {
    /// 0 stands for all callers together; others are workers, each of which has a number of its own for ever.
    var source: UInt32
    /// 0 stands for methods without figures of their own.
    var method: UInt8

    static func < (left: CallSeries, right: CallSeries) -> Bool {
        (left.source, left.method) < (right.source, right.method)
    }

    /// The same without telling the methods of a worker apart.
    var collapsed: CallSeries { self.source == 0 ? self : CallSeries(source: self.source, method: 0) }
}

// MARK: - As bytes

/// The figures of some series as they are kept: series by series in order, each as variable-length numbers.
///
///     source method count errors sum least largest, then for each bucket what is in it, from bucket 0 on;
///     0 and n: n buckets are empty; 0 and 0: the end
struct EncodedFigures: Sendable {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ series: CallSeries, _ figures: CallFigures) {
        let latency = figures.latency
        self.append(UInt64(series.source))
        self.append(UInt64(series.method))
        self.append(latency.count)
        self.append(figures.errors)
        self.append(latency.sum)
        self.append(latency.minimum)
        self.append(latency.maximum)
        var next = 0
        latency.forEachBucket { bucket, count in
            if bucket > next {
                self.append(0)
                self.append(UInt64(bucket - next))
            }
            self.append(count)
            next = bucket + 1
        }
        self.append(0)
        self.append(0)
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    private mutating func append(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(rest))
    }

    /// Gives back what was reserved and not used.
    mutating func trim() {
        guard self.bytes.capacity > self.bytes.count + self.bytes.count / 8 + 64 else { return }
        self.bytes = self.bytes.withUnsafeBufferPointer { Array($0) }
    }

    /// Bytes that it takes, the array's own header too.
    var size: Int { self.bytes.capacity + 32 }
}

/// Reads encoded figures, series by series.
struct FiguresReader {
    private let bytes: [UInt8]
    private var position = 0
    /// The series that comes next; nil at the end.
    private(set) var series: CallSeries?

    init(_ figures: EncodedFigures) {
        self.bytes = figures.bytes
        self.readSeries()
    }

    private mutating func readSeries() {
        guard self.position < self.bytes.count else { return self.series = nil }
        let source = UInt32(self.next())
        self.series = CallSeries(source: source, method: UInt8(self.next()))
    }

    /// Adds the figures of the present series, and goes on to the next.
    mutating func take(into figures: inout CallFigures) {
        figures.mergeEncoded { self.next() }
        self.readSeries()
    }

    private mutating func next() -> UInt64 {
        var number: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = self.bytes[self.position]
            self.position += 1
            number |= UInt64(byte & 0x7F) << shift
            guard byte >= 0x80 else { return number }
            shift += 7
        }
    }
}

extension CallFigures {
    /// Adds figures whose numbers, as `EncodedFigures` has them, come one by one.
    fileprivate mutating func mergeEncoded(_ next: () -> UInt64) {
        let count = next()
        self.errors += next()
        let sum = next()
        let least = next()
        self.latency.note(count: count, sum: sum, least: least, maximum: next())
        var bucket = 0
        while true {
            let count = next()
            if count > 0 {
                self.latency.add(count, to: bucket)
                bucket += 1
            } else {
                let empty = next()
                if empty == 0 { return }
                bucket += Int(empty)
            }
        }
    }
}

/// Reads several encoded figures at once: each series comes once, with what all of them have of it.
struct FiguresMerge {
    private var readers: [FiguresReader]
    private let collapsing: Bool
    /// Of the series that came last.
    private(set) var figures = CallFigures()

    /// - Parameter collapsing: the methods of workers are not told apart.
    init(_ sources: [EncodedFigures], collapsing: Bool = false) {
        self.readers = sources.map(FiguresReader.init)
        self.collapsing = collapsing
    }

    private func series(of reader: Int) -> CallSeries? {
        self.collapsing ? self.readers[reader].series?.collapsed : self.readers[reader].series
    }

    /// The next series in order, nil at the end. O(readers + bytes of the series)
    mutating func next() -> CallSeries? {
        var least: CallSeries?
        for reader in self.readers.indices {
            guard let series = self.series(of: reader) else { continue }
            least = least.map { min($0, series) } ?? series
        }
        guard let least else { return nil }
        self.figures.clear()
        for reader in self.readers.indices {
            while self.series(of: reader) == least { self.readers[reader].take(into: &self.figures) }
        }
        return least
    }
}
