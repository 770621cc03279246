/// The figures of the last seven days in slots of time, the older the longer, and those of all time before.
///
/// A slot is a second at first. As it grows older than a range of `MetricsTimeRange` it is merged with its
/// neighbours into one of a sixtieth of the next range, so that each range is answered by the slots in it, right
/// but for the oldest of them: at most a sixtieth of the range too much.
///
///     age        0 – 1 m   – 5 m   – 15 m   – 1 h    – 6 h   – 24 h   – 7 d     above
///     a slot is    1 s       5 s     15 s    1 min   6 min   24 min   2.8 h     one, the past
///     slots         60        48       40       45      50       45      51         1
///
/// When all that takes more than `byteLimit`, slots of every age get twice as long, as often as is needed, and
/// in the fifth step those of workers stop telling methods apart; what is asked for then covers more time than it
/// should, and says so. That ends with one slot besides the past, which is below the limit whatever was recorded:
/// 201 methods and 64 workers of at most 9.6 KB each are 2.6 MB, twice. When the load has changed and half of the
/// memory is free, new slots get shorter again.
struct FiguresTimeline: Sendable {
    /// What is kept at most after each closing; merging takes the size of the merged slot besides, for its moment.
    static let byteLimit = 6 << 20
    private let byteLimit: Int
    /// How often lengths may double; with the last time all slots become one.
    private static let mostCoarse = 20
    /// From here on workers' methods are not told apart.
    private static let collapsing = 5
    private static let slotsInRange: Int64 = 60

    private struct Slot: Sendable {
        var start: Int64
        var end: Int64
        var figures: EncodedFigures
        var isCollapsed = false
    }

    /// Slots may be shorter than they need to be: they are looked over when so many have been added.
    private static let slack = 16

    /// The oldest first. They do not overlap, but for those of one second that was closed several times.
    private var slots: [Slot] = []
    private var past = Slot(start: 0, end: 0, figures: EncodedFigures())
    /// How many slots there were after the last look.
    private var settledCount = 0
    /// How often the slots' lengths are doubled.
    private(set) var coarseness = 0

    /// - Parameter byteLimit: a smaller one fills sooner.
    init(byteLimit: Int = Self.byteLimit) { self.byteLimit = byteLimit }

    private var isCollapsing: Bool { self.coarseness >= Self.collapsing }

    /// Bytes that it takes.
    var bytes: Int {
        self.slots.reduce(self.past.figures.size + self.slots.capacity * MemoryLayout<Slot>.stride) {
            $0 + $1.figures.size
        }
    }

    var slotCount: Int { self.slots.count }

    /// Takes the figures of a second that is over, or is closed early; starts never go back. O(slots) every so often.
    ///
    /// - Parameters:
    ///   - now: nanoseconds on the monotonic clock, as are the others.
    ///   - isKept: the sources that are still of interest; others are forgotten as slots are merged.
    mutating func append(
        _ figures: EncodedFigures, start: Int64, end: Int64, now: Int64, isKept: (UInt32) -> Bool
    ) {
        self.slots.append(Slot(start: start, end: end, figures: figures))
        guard self.slots.count > self.settledCount + Self.slack || self.bytes > self.byteLimit else { return }
        self.compact(now, isKept)
        if self.bytes > self.byteLimit {
            while self.bytes > self.byteLimit, self.slots.count > 1, self.coarseness < Self.mostCoarse {
                self.coarseness += 1
                self.compact(now, isKept, withUnfinished: true)
            }
        } else if self.coarseness > 0, self.bytes < self.byteLimit / 2 {
            self.coarseness -= 1
        }
        self.settledCount = self.slots.count
    }

    /// What was recorded in the slots of which a part lies after `start`.
    ///
    /// - Parameter start: nil: all there is, the past too.
    /// - Returns: the figures, and the beginning of the oldest of those slots.
    func figures(since start: Int64?) -> (figures: [EncodedFigures], start: Int64?) {
        guard let start else { return ([self.past.figures] + self.slots.map(\.figures), nil) }
        let covered = self.slots.drop { $0.end <= start }
        return (covered.map(\.figures), covered.first?.start)
    }
}

// MARK: - Merging

extension FiguresTimeline {
    /// Merges what has become older than it is worth keeping apart. O(slots) when there is nothing.
    ///
    /// - Parameter withUnfinished: slots go together also where more may come to belong to them.
    private mutating func compact(
        _ now: Int64, _ isKept: (UInt32) -> Bool, withUnfinished: Bool = false
    ) {
        let expired = self.slots.prefix { $0.end <= now - MetricsTimeRange.week.nanoseconds }
        if !expired.isEmpty {
            self.past = self.merge([self.past] + expired, isKept)
            self.slots.removeFirst(expired.count)
        } else if self.isCollapsing, !self.past.isCollapsed {
            self.past = self.merge([self.past], isKept)
        }
        var first = 0
        while first < self.slots.count {
            let end = first + self.length(ofGroupAt: first, now, withUnfinished)
            if end - first > 1 || self.isCollapsing && !self.slots[first].isCollapsed {
                let merged = self.merge(self.slots[first..<end], isKept)
                self.slots.replaceSubrange(first..<end, with: CollectionOfOne(merged))
            }
            first += 1
        }
    }

    /// How many slots from that one on go together: those in the longest piece of time that is old enough.
    private func length(ofGroupAt first: Int, _ now: Int64, _ withUnfinished: Bool) -> Int {
        if self.coarseness == Self.mostCoarse { return self.slots.count - first }
        var youngest = withUnfinished ? Int64.max : now
        var best = 1
        for range in MetricsTimeRange.allCases {
            let length = range.nanoseconds / Self.slotsInRange << Int64(self.coarseness)
            let end = (self.slots[first].start / length + 1) * length
            guard end <= youngest else { break }
            best = max(best, self.slots[first...].prefix { $0.end <= end }.count)
            youngest = now - range.nanoseconds
        }
        return best
    }

    private func merge(_ slots: ArraySlice<Slot>, _ isKept: (UInt32) -> Bool) -> Slot {
        var result = EncodedFigures()
        var merge = FiguresMerge(slots.map(\.figures), collapsing: self.isCollapsing)
        while let series = merge.next() {
            if series.source == 0 || isKept(series.source) { result.append(series, merge.figures) }
        }
        result.trim()
        return Slot(
            start: slots.first?.start ?? 0, end: slots.last?.end ?? 0, figures: result,
            isCollapsed: self.isCollapsing)
    }
}
