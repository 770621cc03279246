/// The figures of the present second: what is recorded goes here, and nowhere else.
///
/// A series is found by a table of places and methods, so that recording is O(1) and allocates nothing once a
/// series and its buckets were hit. What is closed is encoded; the memory is kept for the next second.
struct OpenFigures: Sendable {
    /// It is closed early before it takes more.
    static let byteLimit = 1 << 20
    /// Methods with figures of their own, and the one that stands for all others.
    static let methods = 201

    private struct Row: Sendable {
        var series: CallSeries
        var figures = CallFigures()
    }

    /// By place and method the row, as a number from 1; 0: there is none.
    private var numbers: [UInt16] = []
    private var rows: [Row] = []
    /// The rows that something was recorded in.
    private var used: [UInt16] = []
    private var rowBytes = 0

    var isEmpty: Bool { self.used.isEmpty }
    var isFull: Bool { self.bytes >= Self.byteLimit }

    /// Bytes that it takes.
    var bytes: Int {
        self.rowBytes + self.rows.capacity * MemoryLayout<Row>.stride
            + (self.numbers.capacity + self.used.capacity) * MemoryLayout<UInt16>.stride
    }

    /// - Parameters:
    ///   - place: where the source's rows are found; the caller keeps it the same until `release`.
    ///   - source: the source's number.
    mutating func record(
        place: Int, source: UInt32, method: UInt8, nanoseconds: Int64, isError: Bool
    ) {
        let index = place * Self.methods + Int(method)
        if index >= self.numbers.count || self.numbers[index] == 0 {
            self.addRow(CallSeries(source: source, method: method), at: index)
        }
        let row = Int(self.numbers[index]) - 1
        if self.rows[row].figures.count == 0 { self.used.append(UInt16(row)) }
        let before = self.rows[row].figures.bytes
        self.rows[row].figures.record(nanoseconds: nanoseconds, isError: isError)
        self.rowBytes += self.rows[row].figures.bytes - before
    }

    private mutating func addRow(_ series: CallSeries, at index: Int) {
        if index >= self.numbers.count {
            let places = index / Self.methods + 1
            self.numbers.append(
                contentsOf: repeatElement(0, count: places * Self.methods - self.numbers.count))
        }
        self.rows.append(Row(series: series))
        self.numbers[index] = UInt16(self.rows.count)
    }

    /// What was recorded; O(n log n) of the series.
    func encoded() -> EncodedFigures {
        var result = EncodedFigures()
        for row in self.used.sorted(by: { self.rows[Int($0)].series < self.rows[Int($1)].series }) {
            result.append(self.rows[Int(row)].series, self.rows[Int(row)].figures)
        }
        result.trim()
        return result
    }

    /// Begins anew with the memory it has, unless that is too much.
    mutating func clear() {
        if self.isFull { return self.release() }
        for row in self.used { self.rows[Int(row)].figures.clear() }
        self.used.removeAll(keepingCapacity: true)
    }

    /// Begins anew without any memory: places may stand for others now.
    mutating func release() { self = OpenFigures() }
}
