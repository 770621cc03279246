/// The figures of the present second: what is recorded goes here, and nowhere else.
///
/// A series is found by a table of places and methods, so that recording is O(1). Its row is taken from those that the
/// last seconds have left: there are as many as series had calls in one second, their memory is still at hand, and
/// nothing is allocated once they and their buckets were hit.
struct OpenFigures: Sendable {
    /// It is closed early before it takes more.
    static let byteLimit = 1 << 20
    /// Methods with figures of their own, and the one that stands for all others.
    static let methods = 201

    private struct Row: Sendable {
        var series: CallSeries
        /// Where its number is in `numbers`.
        var index: Int
        var figures = CallFigures()
    }

    /// By place and method the row, as a number from 1; 0: there is none.
    private var numbers: [UInt16] = []
    /// The first `used` of them are those of the present second.
    private var rows: [Row] = []
    private var used = 0
    private var rowBytes = 0
    /// Whether it takes so much that it is to be closed.
    private(set) var isFull = false

    var isEmpty: Bool { self.used == 0 }

    /// Bytes that it takes.
    var bytes: Int {
        self.rowBytes + self.rows.capacity * MemoryLayout<Row>.stride
            + self.numbers.capacity * MemoryLayout<UInt16>.stride
    }

    /// - Parameters:
    ///   - place: where the source's rows are found; the caller keeps it the same until `release`.
    ///   - source: the source's number.
    mutating func record(
        place: Int, source: UInt32, method: UInt8, nanoseconds: Int64, isError: Bool
    ) {
        let index = place * Self.methods + Int(method)
        guard index < self.numbers.count, self.numbers[index] > 0 else {
            self.takeRow(CallSeries(source: source, method: method), at: index)
            return self.record(self.used - 1, nanoseconds, isError)
        }
        self.record(Int(self.numbers[index]) - 1, nanoseconds, isError)
    }

    private mutating func record(_ row: Int, _ nanoseconds: Int64, _ isError: Bool) {
        let growth = self.rows[row].figures.recordGrowing(nanoseconds: nanoseconds, isError: isError)
        guard growth > 0 else { return }
        self.rowBytes += growth
        self.isFull = self.bytes >= Self.byteLimit
    }

    private mutating func takeRow(_ series: CallSeries, at index: Int) {
        if index >= self.numbers.count {
            let places = index / Self.methods + 1
            self.numbers.append(
                contentsOf: repeatElement(0, count: places * Self.methods - self.numbers.count))
        }
        if self.used == self.rows.count {
            self.rows.append(Row(series: series, index: index))
            self.isFull = self.bytes >= Self.byteLimit
        } else {
            self.rows[self.used].series = series
            self.rows[self.used].index = index
        }
        self.used += 1
        self.numbers[index] = UInt16(self.used)
    }

    /// What was recorded; O(n log n) of the series.
    func encoded() -> EncodedFigures {
        var result = EncodedFigures()
        for row in (0..<self.used).sorted(by: { self.rows[$0].series < self.rows[$1].series }) {
            result.append(self.rows[row].series, self.rows[row].figures)
        }
        result.trim()
        return result
    }

    /// Begins anew with the memory it has, unless that is too much.
    mutating func clear() {
        if self.isFull { return self.release() }
        for row in 0..<self.used {
            self.numbers[self.rows[row].index] = 0
            self.rows[row].figures.clear()
        }
        self.used = 0
    }

    /// Begins anew without any memory: places may stand for others now.
    mutating func release() { self = OpenFigures() }
}
