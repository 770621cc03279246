/// Whether a worker that is ready is trusted with calls (promises, "Ejection"): too many faults in a row take it
/// out of balancing for a time; then one call decides.
///
///                 5th fault, if the pool can spare it               time over, a call is sent
///      serving ───────────────────────────────────────► ejected ──────────────────────────────► probing
///       ▲   ▲                                            │ ▲  ▲                                  │ │ │
///       │   └──── too few others are left (recall) ──────┘ │  └─ it failed: ejected for longer ──┘ │ │
///       │                                                  └─── given up on: no verdict ───────────┘ │
///       └──────────────────────── the call succeeded: readmitted ───────────────────────────────────┘
///
/// The time is 5 s, 10 s, 15 s … for one ejection after another without a success in between, at most 300 s
/// (the scheme of Envoy's outlier detection).
struct Ejection: Equatable, Sendable {
    /// Worker faults in a row that it takes.
    static let faultLimit = 5
    private static let shortestTerm = Nanoseconds.seconds(5)
    private static let longestTerm = Nanoseconds.seconds(300)

    /// What counts against a worker that serves.
    struct Record: Equatable, Sendable {
        /// Calls in a row that failed by its fault.
        var failedCalls = 0
        /// Health checks in a row that failed since the last call that succeeded. A check that succeeds proves
        /// less than a call: it ends only the row of checks.
        var failedChecks = 0
        /// Ejections since the last call that succeeded.
        var ejections = 0

        var isFull: Bool { self.failedCalls + self.failedChecks >= Ejection.faultLimit }
    }

    /// A time out of balancing.
    struct Term: Equatable, Sendable {
        var since: Instant
        /// From then on one call is let through.
        var until: Instant
        /// Ejections in a row, this one counted.
        var number: Int

        init(number: Int, since: Instant) {
            self.number = number
            self.since = since
            self.until = since.advanced(
                by: min(Nanoseconds(number) * Ejection.shortestTerm, Ejection.longestTerm))
        }

        var length: Nanoseconds { self.until.duration(since: self.since) }
    }

    enum State: Equatable, Sendable {
        /// In balancing. → ejected
        case serving(Record)
        /// Out of balancing; on probation when its time is over. → probing, serving (recalled)
        case ejected(Term)
        /// That call decides, and until then there is no other. → serving, ejected
        case probing(Term, RequestToken)
    }

    /// Which calls a worker may be given.
    enum Admission: Equatable, Sendable { case all, one, none }

    /// What a fault or a success led to.
    enum Action: Equatable, Sendable {
        case none
        /// Its faults are enough: `eject` it if the pool can spare it.
        case eject
        /// It failed its probation, and is ejected again.
        case ejectedAgain(Term)
        case readmitted
    }

    private(set) var state = State.serving(Record())

    func admission(at now: Instant) -> Admission {
        switch self.state {
        case .serving: .all
        case .ejected(let term): now >= term.until ? .one : .none
        case .probing: .none
        }
    }

    /// The time out of balancing it is in, on probation too; nil while it serves.
    var term: Term? {
        switch self.state {
        case .serving: nil
        case .ejected(let term), .probing(let term, _): term
        }
    }

    /// A call of its was answered, and not by a fault of its own.
    mutating func callSucceeded(_ call: RequestToken) -> Action {
        switch self.state {
        case .serving:
            self.state = .serving(Record())
            return .none
        case .probing(_, call):
            self.state = .serving(Record())
            return .readmitted
        case .ejected, .probing:
            return .none  // a call from before
        }
    }

    /// A call of its failed by its own fault.
    mutating func callFailed(_ call: RequestToken, at now: Instant) -> Action {
        switch self.state {
        case .serving(var record):
            record.failedCalls += 1
            self.state = .serving(record)
            return record.isFull ? .eject : .none
        case .probing(let term, call):
            let next = Term(number: term.number + 1, since: now)
            self.state = .ejected(next)
            return .ejectedAgain(next)
        case .ejected, .probing:
            return .none  // a call from before
        }
    }

    /// The supervisor's own check succeeded.
    mutating func checkSucceeded() {
        guard case .serving(var record) = self.state else { return }
        record.failedChecks = 0
        self.state = .serving(record)
    }

    /// The supervisor's own check failed. Out of balancing only a call decides.
    mutating func checkFailed() -> Action {
        guard case .serving(var record) = self.state else { return .none }
        record.failedChecks += 1
        self.state = .serving(record)
        return record.isFull ? .eject : .none
    }

    mutating func eject(at now: Instant) -> Term {
        guard case .serving(let record) = self.state else { preconditionFailure("ejected in \(self.state)") }
        let term = Term(number: record.ejections + 1, since: now)
        self.state = .ejected(term)
        return term
    }

    /// A call was sent to it.
    mutating func sent(_ call: RequestToken) {
        guard case .ejected(let term) = self.state else { return }
        self.state = .probing(term, call)
    }

    /// A call of its ended without a verdict: its caller gave up, or it was taken away. The next one decides.
    mutating func gaveUp(_ call: RequestToken) {
        guard case .probing(let term, call) = self.state else { return }
        self.state = .ejected(term)
    }

    /// Too few others are left: it serves again, unproven.
    mutating func recall() {
        guard let term = self.term else { preconditionFailure("recalled in \(self.state)") }
        self.state = .serving(Record(ejections: term.number))
    }
}
