import Protocol

/// One round of load: says which call to send when, and judges the answers. It reads no clock and sends nothing.
///
/// Calls have slots, `depth` for each connection. The id of a call names its slot and the slot's generation, so that
/// an answer finds its call without a search, and a second answer to the same call finds none.
///
/// At a fixed rate a call's latency counts from when it was due, not from when it could be sent. Where the server
/// stalls for a second, all calls that were due within that second show it, and not only the few that were in flight
/// (G. Tene's coordinated omission; wrk2 does the same). Calls that were due and never got their turn count with the
/// time that they have waited.
struct LoadRun {
    private struct Slot {
        var generation: UInt64 = 0
        /// When its call was sent or, at a fixed rate, due.
        var startedAt = Instant(nanoseconds: 0)
        var isOpen = false
    }

    /// A call to be sent now.
    struct Call: Equatable {
        var connection: Int
        var id: UInt64
    }

    /// How long answers are waited for when nothing is sent any more.
    static let drainPatience = Nanoseconds.seconds(5)
    /// How long a number of calls may take.
    static let callsPatience = Nanoseconds.seconds(60)
    /// More connections × depth than anybody has memory for.
    static let slotLimit: UInt64 = 10_000_000
    private static let generationLimit: UInt64 = 10_000_000

    private let depth: Int
    private let callLimit: Int
    /// What starts within it is counted.
    let window: Range<Instant>
    private var schedule: LoadSchedule?
    private var slots: [Slot]
    /// The slots without a call, used longest ago first: a ring.
    private var free: [Int]
    private var firstFree = 0
    private var freeCount: Int
    private var sent = 0
    private var lastAnswer: Instant
    private var figures = LoadFigures()

    init(_ plan: LoadPlan, at now: Instant) {
        precondition(UInt64(plan.slots) < Self.slotLimit, "\(plan.slots) slots")
        self.depth = plan.depth
        self.slots = Array(repeating: Slot(), count: plan.slots)
        // Neighbours in the ring are of different connections.
        self.free = (0..<plan.slots).map { $0 % plan.connections * plan.depth + $0 / plan.connections }
        self.freeCount = plan.slots
        self.lastAnswer = now
        switch plan.extent {
        case .time(let warmup, let measured):
            let start = now.advanced(by: warmup)
            self.window = start..<start.advanced(by: measured)
            self.callLimit = .max
        case .calls(let limit):
            self.window = now..<now.advanced(by: Self.callsPatience)
            self.callLimit = limit
        }
        if case .rate(let rate) = plan.pace { self.schedule = LoadSchedule(rate: rate, from: now) }
    }

    private var openCalls: Int { self.slots.count - self.freeCount }

    /// When nothing is waited for any more.
    private var end: Instant { self.window.upperBound.advanced(by: Self.drainPatience) }

    /// Whether there are calls left. What was due within the window at a fixed rate is sent behind it as well.
    private func isSending(_ now: Instant) -> Bool {
        if let schedule { return schedule.next < self.window.upperBound && now < self.end }
        return now < self.window.upperBound && self.sent < self.callLimit
    }

    /// Whether nothing is to be sent any more, and nothing to be waited for.
    func isOver(_ now: Instant) -> Bool {
        now >= self.end
            || (now >= self.window.upperBound || self.sent == self.callLimit)
                && self.openCalls == 0 && !self.isSending(now)
    }

    /// When to look again although no answer has come.
    func nextWake(_ now: Instant) -> Instant {
        let edge = [self.window.lowerBound, self.window.upperBound].first { now < $0 } ?? self.end
        guard let schedule, self.freeCount > 0, self.isSending(now) else { return edge }
        return min(edge, schedule.next)
    }

    /// The next call that is to be sent now; nil when none is due, or as many as allowed are in flight.
    mutating func next(now: Instant) -> Call? {
        guard self.freeCount > 0, self.isSending(now) else { return nil }
        if let schedule, schedule.next > now { return nil }
        let startedAt = self.schedule?.take() ?? now
        let slot = self.free[self.firstFree]
        self.firstFree = self.firstFree + 1 == self.free.count ? 0 : self.firstFree + 1
        self.freeCount -= 1
        self.sent += 1
        let generation = (self.slots[slot].generation + 1) % Self.generationLimit
        self.slots[slot] = Slot(generation: generation, startedAt: startedAt, isOpen: true)
        let id = (Self.generationLimit + generation) * Self.slotLimit + UInt64(slot)
        return Call(connection: slot / self.depth, id: id)
    }

    /// An answer has come.
    ///
    /// - Parameter error: the error object; nil: a result.
    mutating func answered(_ id: UInt64, error: UnsafeRawBufferPointer?, now: Instant) {
        let slot = Int(id % Self.slotLimit)
        guard slot < self.slots.count, self.slots[slot].isOpen,
            id / Self.slotLimit == Self.generationLimit + self.slots[slot].generation
        else {
            self.figures.strays += 1
            return
        }
        self.slots[slot].isOpen = false
        self.release(slot)
        self.lastAnswer = now
        let startedAt = self.slots[slot].startedAt
        if self.window.contains(now) {
            self.figures.answers += 1
            if error == nil { self.figures.arrivals += 1 }
        }
        guard self.window.contains(startedAt) else { return }
        if let error {
            self.figures.count(error: error)
        } else {
            self.figures.results += 1
            self.figures.latencies.record(nanoseconds: now.duration(since: startedAt))
        }
    }

    private mutating func release(_ slot: Int) {
        let place = self.firstFree + self.freeCount
        self.free[place < self.free.count ? place : place - self.free.count] = slot
        self.freeCount += 1
    }

    /// What it came to.
    consuming func finish(now: Instant) -> LoadFigures {
        var figures = self.figures
        for slot in self.slots where slot.isOpen && self.window.contains(slot.startedAt) {
            figures.unanswered += 1
            figures.latencies.record(nanoseconds: now.duration(since: slot.startedAt))
        }
        while let due = self.schedule?.next, due < min(now, self.window.upperBound) {
            _ = self.schedule?.take()
            guard self.window.contains(due) else { continue }
            figures.unsent += 1
            figures.latencies.record(nanoseconds: now.duration(since: due))
        }
        let end = self.callLimit == .max ? self.window.upperBound : self.lastAnswer
        figures.window = end.duration(since: self.window.lowerBound)
        return figures
    }
}
