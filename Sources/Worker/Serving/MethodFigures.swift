/// Calls of each method in some span of time.
struct MethodFigures: Equatable {
    /// Calls of one method.
    struct Figures: Equatable {
        var errors = 0
        var latency = LatencyHistogram()
    }

    private(set) var byMethod: [String: Figures] = [:]

    mutating func record(_ method: String, milliseconds: Double, isError: Bool) {
        self.byMethod[method, default: Figures()].latency.record(milliseconds: milliseconds)
        self.byMethod[method, default: Figures()].errors += isError ? 1 : 0
    }

    mutating func merge(_ other: MethodFigures) {
        for (method, figures) in other.byMethod {
            self.byMethod[method, default: Figures()].latency.merge(figures.latency)
            self.byMethod[method, default: Figures()].errors += figures.errors
        }
    }

    var requests: Int { self.byMethod.values.reduce(0) { $0 + $1.latency.count } }
    var errors: Int { self.byMethod.values.reduce(0) { $0 + $1.errors } }
}

/// The figures of the last slots of time, each of the same length; slots without calls take no memory.
struct FigureRing: Equatable {
    private struct Slot: Equatable {
        /// The slot's number since the clock's zero.
        var number: Int64
        var figures: MethodFigures
    }

    private let slotNanoseconds: Int64
    private let slotCount: Int64
    /// The oldest first.
    private var slots: [Slot] = []

    init(slotSeconds: Int64, count: Int64) {
        self.slotNanoseconds = slotSeconds * 1_000_000_000
        self.slotCount = count
    }

    mutating func record(_ method: String, milliseconds: Double, isError: Bool, now: MonotonicClock) {
        let number = now.nanoseconds / self.slotNanoseconds
        if self.slots.last?.number != number {
            self.slots.removeAll { $0.number < number - self.slotCount }
            self.slots.append(Slot(number: number, figures: MethodFigures()))
        }
        self.slots[self.slots.count - 1].figures.record(method, milliseconds: milliseconds, isError: isError)
    }

    /// The figures of at least the last `seconds`, at most one slot more: the slots in which they lie.
    ///
    /// - Returns: the figures and the nanosecond at which the first of those slots begins.
    func figures(ofLast seconds: Int64, now: MonotonicClock) -> (
        figures: MethodFigures, start: MonotonicClock
    ) {
        let first = (now.nanoseconds - seconds * 1_000_000_000) / self.slotNanoseconds
        var figures = MethodFigures()
        for slot in self.slots where slot.number >= first { figures.merge(slot.figures) }
        return (figures, MonotonicClock(nanoseconds: first * self.slotNanoseconds))
    }
}
