/// What `metrics.get` answers from: the calls of all time, of each of the last seconds, and of every range up to
/// seven days, for all callers together and for each worker, by method.
///
/// It has no clock and no timer: time is told with each call, and slots are closed when the next one comes. What
/// it takes is bounded whatever is recorded: `OpenFigures.byteLimit` for the second that is open, and
/// `FiguresTimeline.byteLimit` for all others, 7 MiB together; nothing before the first call.
public struct CallHistory: Sendable {
    /// Methods that can have figures of their own: numbers from 1; 0 stands for all the rest.
    public static let methods = OpenFigures.methods - 1
    /// Workers that are known at once.
    public static let workers = 64
    private static let second: Int64 = 1_000_000_000

    /// A worker that has a place.
    struct Worker: Sendable {
        /// Never used again.
        var source: UInt32
        var name: String
        var lastCallAt: Int64
        /// nil while it lives.
        var goneAt: Int64?
    }

    private(set) var open = OpenFigures()
    private(set) var openStart: Int64 = 0
    private(set) var openEnd: Int64 = .min
    private(set) var closed: FiguresTimeline
    private let byteLimit: Int
    /// By place less 1.
    private(set) var known: [Worker] = []
    private var lastSource: UInt32 = 0
    /// When the figures begin.
    private(set) var since: Int64
    private(set) var wasReset = false

    /// - Parameter now: nanoseconds on the monotonic clock, as everywhere here.
    public init(now: Int64) { self.init(now: now, byteLimit: FiguresTimeline.byteLimit) }

    /// - Parameter byteLimit: of the slots that are closed.
    init(now: Int64, byteLimit: Int) {
        self.since = now
        self.byteLimit = byteLimit
        self.closed = FiguresTimeline(byteLimit: byteLimit)
    }

    /// Bytes that the figures take.
    public var bytes: Int { self.open.bytes + self.closed.bytes }

    // MARK: Recording

    /// A call was answered. O(1), but for the first of a second.
    public mutating func record(method: Int, nanoseconds: Int64, isError: Bool, now: Int64) {
        self.record(0, 0, method, nanoseconds, isError, now)
    }

    /// The same of one worker's calls.
    ///
    /// - Parameter place: what `admit` gave for it.
    public mutating func record(worker place: Int, method: Int, nanoseconds: Int64, isError: Bool, now: Int64)
    {
        self.known[place - 1].lastCallAt = now
        self.record(place, self.known[place - 1].source, method, nanoseconds, isError, now)
    }

    private mutating func record(
        _ place: Int, _ source: UInt32, _ method: Int, _ nanoseconds: Int64, _ isError: Bool, _ now: Int64
    ) {
        if now >= self.openEnd || self.open.isFull { self.close(now) }
        self.open.record(
            place: place, source: source, method: UInt8(method), nanoseconds: nanoseconds, isError: isError)
    }

    /// Ends the open slot, if there is anything in it, and begins the one of the present second.
    private mutating func close(_ now: Int64) {
        if !self.open.isEmpty {
            let sources = Set(self.known.map(\.source))
            self.closed.append(
                self.open.encoded(), start: self.openStart, end: self.openEnd, now: now,
                isKept: sources.contains)
            self.open.clear()
        }
        self.openStart = now / Self.second * Self.second
        self.openEnd = self.openStart + Self.second
    }

    // MARK: Workers

    /// Finds a place for a worker's figures: that of the one that is gone longest, when all are taken.
    ///
    /// - Returns: nil while there are 64 others that live.
    public mutating func admit(_ name: String, now: Int64) -> Int? {
        let worker = Worker(source: self.lastSource + 1, name: name, lastCallAt: now)
        if self.known.count < Self.workers {
            self.known.append(worker)
            self.lastSource += 1
            return self.known.count
        }
        let gone = self.known.indices.filter { self.known[$0].goneAt != nil }
        guard
            let oldest = gone.min(by: { self.known[$0].goneAt ?? .max < self.known[$1].goneAt ?? .max })
        else { return nil }
        self.close(now)
        self.open.release()
        self.known[oldest] = worker
        self.lastSource += 1
        return oldest + 1
    }

    /// A worker will have no more calls; its figures stay until its place is needed.
    public mutating func retire(worker place: Int, now: Int64) { self.known[place - 1].goneAt = now }

    /// Forgets all that was recorded; workers keep their places.
    public mutating func reset(now: Int64) {
        self.open.release()
        self.openEnd = .min
        self.closed = FiguresTimeline(byteLimit: self.byteLimit)
        self.since = now
        self.wasReset = true
    }
}
