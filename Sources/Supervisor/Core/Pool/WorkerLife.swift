/// Why a worker's process is made to go, or went, as the word that status shows.
enum DepartureReason: String, Sendable {
    case shutdown
    /// An operator had it restarted, alone or with all, or by a reload.
    case restarted
    /// The pool needs fewer workers.
    case scaledDown = "scaled_down"
    // Recycled: it reached what the key of that name under `recycle` allows.
    case maxRequests = "max_requests"
    case maxAge = "max_age"
    case maxRSS = "max_rss"
    /// Its processes hold more than `max_memory`.
    case memory
    /// It was not ready within `start_timeout`.
    case startTimeout = "start_timeout"
    /// It did not answer a call and its cancellation in time.
    case overrun
    case unhealthy
    case stdoutNoise = "stdout_noise"
    case stdoutClosed = "stdout_closed"
    case stdinClosed = "stdin_closed"
    /// It died by itself, by a signal or with a code that is not 0.
    case crashed
    /// It ended by itself with code 0, which a worker must not do while its stdin is open.
    case exited

    /// Whether it leaves in peace: by the end of its stdin first, and with no blame.
    var isOrderly: Bool {
        switch self {
        case .shutdown, .restarted, .scaledDown, .maxRequests, .maxAge, .maxRSS: true
        case .memory, .startTimeout, .overrun, .unhealthy, .stdoutNoise, .stdoutClosed, .stdinClosed,
            .crashed,
            .exited:
            false
        }
    }
}

/// The life of one process, as a state machine: events in, actions out, no clock.
///
///                 answered a health check           retire            last call left, or its deadline
///      starting ──────────────────────────► ready ─────────► draining ────────────────┐
///         │ start timeout, retire         └─hold─► held ───retire─────────────────────▼
///         └────────────────────────────────────────────────────────────────────► terminating ──► exited
///                                                                     end of stdin → TERM → KILL
struct WorkerLife: Equatable, Sendable {
    enum State: Equatable, Sendable {
        /// Started, not ready. → ready, terminating, exited
        case starting
        /// Takes calls. → held, draining, terminating, exited
        case ready
        /// An operator wants to look at it: takes no calls, and is left alone until it is restarted.
        /// → draining, terminating, exited
        case held
        /// Takes no new calls and leaves when it has none. → terminating, exited
        case draining(DepartureReason)
        /// Told to go; what comes next if it does not. → exited
        case terminating(DepartureReason, next: Step)
        /// Gone, seen through its pidfd.
        case exited(DepartureReason?)
    }

    /// The rungs of the ladder that are left.
    enum Step: Equatable, Sendable { case terminate, kill, wait }

    enum Action: Equatable, Sendable {
        case none
        /// Take it into balancing.
        case becomeReady
        /// Take it out of balancing, and take back all that was to happen to it.
        case leaveAlone
        /// Take it out of balancing; it goes by itself once it has no calls.
        case drain
        /// End its stdin; go on with `timerFired` after `term_grace`.
        case closeInput
        /// SIGTERM to the group; go on with `timerFired` after `term_grace`.
        case terminate
        /// SIGKILL to the group.
        case kill
    }

    private(set) var state = State.starting

    var isReady: Bool { self.state == .ready }
    var isHeld: Bool { self.state == .held }

    /// Why it is on its way out; nil while it is not.
    var departure: DepartureReason? {
        switch self.state {
        case .starting, .ready, .held: nil
        case .draining(let reason), .terminating(let reason, _): reason
        case .exited(let reason): reason
        }
    }

    /// The first good answer to a health check.
    mutating func healthAnswered() -> Action {
        switch self.state {
        case .starting:
            self.state = .ready
            return .becomeReady
        case .ready, .held, .draining, .terminating:
            return .none  // a later check; or an answer that crossed our order to go
        case .exited:
            preconditionFailure("health answer in \(self.state)")
        }
    }

    /// It shall go once its calls are done.
    mutating func retire(_ reason: DepartureReason, isIdle: Bool) -> Action {
        switch self.state {
        case .starting:
            return self.leave(reason)
        case .ready, .held:
            guard !isIdle else { return self.leave(reason) }
            self.state = .draining(reason)
            return .drain
        case .draining, .terminating, .exited:
            return .none  // it is going already; the first reason counts
        }
    }

    /// It shall take no more calls and stay up; not when it is on its way out already.
    mutating func hold() -> Action {
        switch self.state {
        case .starting, .ready, .held:
            self.state = .held
            return .leaveAlone
        case .draining, .terminating, .exited:
            return .none
        }
    }

    /// Its last call is done, or the time for that is over.
    mutating func drained() -> Action {
        switch self.state {
        case .draining(let reason): self.leave(reason)
        case .starting, .ready, .held, .terminating, .exited: .none
        }
    }

    /// The gentle way: end of stdin first. A worker that hung or lies is signalled at once.
    private mutating func leave(_ reason: DepartureReason) -> Action {
        guard reason.isOrderly else {
            self.state = .terminating(reason, next: .kill)
            return .terminate
        }
        self.state = .terminating(reason, next: .terminate)
        return .closeInput
    }

    /// It shall go at once, by a signal: it has no calls, and does not read its stdin.
    mutating func terminate(_ reason: DepartureReason) -> Action {
        switch self.state {
        case .starting, .ready, .held, .draining:
            self.state = .terminating(reason, next: .kill)
            return .terminate
        case .terminating, .exited:
            return .none
        }
    }

    /// The grace of the last step is over.
    mutating func timerFired() -> Action {
        switch self.state {
        case .terminating(let reason, next: .terminate):
            self.state = .terminating(reason, next: .kill)
            return .terminate
        case .terminating(let reason, next: .kill):
            self.state = .terminating(reason, next: .wait)
            return .kill
        case .starting, .ready, .held, .draining, .terminating, .exited:
            return .none
        }
    }

    /// Now, without any grace.
    mutating func kill(_ reason: DepartureReason) -> Action {
        switch self.state {
        case .starting, .ready, .held, .draining:
            self.state = .terminating(reason, next: .wait)
            return .kill
        case .terminating(let first, let next):
            self.state = .terminating(first, next: .wait)
            return next == .wait ? .none : .kill
        case .exited:
            return .none
        }
    }

    /// The process is gone. Nothing can follow.
    mutating func exited() {
        if case .exited = self.state { preconditionFailure("exited twice") }
        self.state = .exited(self.departure)
    }
}
