import Protocol

/// One process of a pool, from the order to start it until it is gone.
struct WorkerProcess {
    var life = WorkerLife()
    let pool: Int
    /// The place in the pool it fills, or filled: a process that is on its way out may have a successor there.
    let slot: Int
    let role: SpawnRequest.Role
    /// `worker_<ms>_<9 base36>`, unique.
    let id: String
    /// nil until the spawn succeeded.
    var pid: Int32?
    let startedAt: Instant
    var readyAt: Instant?
    var capabilities = Capabilities()
    /// Calls it may have in flight at once.
    var maxConcurrency = 1
    /// Whether it has answered a call: from then on its death is a death in service.
    var hasAnsweredCall = false
    /// Calls it has answered.
    var answered: Int64 = 0
    /// After so many it is recycled: `recycle.max_requests` less its jitter. nil: never.
    var requestsAllowed: Int64?
    /// What it is to be recycled for as soon as its turn comes.
    var isDueFor: DepartureReason?
    /// The supervisor's own question to it, while it is open.
    var healthCheck: RequestToken?
    /// Health checks in a row that failed.
    var failedHealthChecks = 0
    /// Whether a call succeeded since the last health check fell due.
    var succeededSinceCheck = false
    /// Whether calls succeeded in the interval before the health check under way, or the last one.
    var isProvenByCalls = false
    /// What it last said of its own health, and of what it depends on; nil: nothing yet.
    var statement: HealthStatement?
    var latency = PeakLatency()
    /// When it joined workers that served already; nil when it came up with them.
    var joinedAt: Instant?
    var ejection = Ejection()
    /// One of its pipes has ended: it gets no more calls, whether it dies now or not.
    var cutOff: DepartureReason?
    /// Where its figures are; nil before its first call, and while there is no place.
    var figuresPlace: Int?
    /// It has sent a chunk that could not be passed on, and that was logged.
    var hasSentBadChunk = false
    /// The last rollout of its pool when it was started.
    var cohort = 0
    private(set) var epoch = EpochHistory.Epoch(nil)
    private var noiseWindow = NoiseWindow()

    init(pool: Int, slot: Int, role: SpawnRequest.Role, id: String, startedAt: Instant) {
        self.pool = pool
        self.slot = slot
        self.role = role
        self.id = id
        self.startedAt = startedAt
    }

    /// What an end with that status means after all that went before; nil when it is no death of a worker.
    func deathCause(_ status: ExitStatus?) -> DeathCause? {
        guard self.role == .serving else { return nil }
        return DeathCause(departure: self.life.departure, wasReady: self.readyAt != nil, status: status)
    }

    /// Whether it may be given calls.
    var takesCalls: Bool { self.life.isReady && self.cutOff == nil }

    mutating func adopt(_ capabilities: Capabilities, cap: Int?) {
        self.capabilities = capabilities
        self.epoch = EpochHistory.Epoch(capabilities.cacheEpoch)
        self.setConcurrency(cap: cap)
    }

    /// - Parameter cap: the pool's `max_concurrency`.
    mutating func setConcurrency(cap: Int?) {
        switch (self.capabilities.maxConcurrency, cap) {
        case (let declared?, let cap?): self.maxConcurrency = min(declared, cap)
        case (let declared?, nil): self.maxConcurrency = declared
        case (nil, let cap?): self.maxConcurrency = cap
        case (nil, nil): self.maxConcurrency = 1
        }
    }

    /// Notes stray output; true when it is a flood.
    mutating func noteNoise(bytes: Int, at now: Instant, _ settings: Configuration.Health) -> Bool {
        self.noiseWindow.note(bytes: bytes, at: now, settings)
    }
}

/// Stray lines and bytes in windows of ten seconds.
private struct NoiseWindow {
    private static let length = Nanoseconds.seconds(10)
    private var start = Instant(nanoseconds: .min / 2)
    private var lines = 0
    private var bytes: Int64 = 0

    mutating func note(bytes: Int, at now: Instant, _ settings: Configuration.Health) -> Bool {
        if now.duration(since: self.start) >= Self.length { self = NoiseWindow(start: now) }
        self.lines += 1
        self.bytes += Int64(bytes)
        return self.lines > settings.noiseLines || self.bytes > settings.noiseBytes
    }

    init(start: Instant = Instant(nanoseconds: .min / 2)) { self.start = start }
}

/// One place of a pool, wanted at all times; processes come and go in it.
struct WorkerSlot {
    enum State: Equatable {
        /// Nothing was started yet, or the supervisor is stopping.
        case empty
        /// Filled by a process (which has states of its own).
        case running(WorkerToken)
        /// The last process died; the next one starts then.
        case backoff(until: Instant)
        /// It failed to start too often; one try then.
        case quarantined(nextTry: Instant)
        /// The pool has become smaller: nothing runs here until it grows again.
        case unwanted
    }

    var state = State.empty
    var policy = RestartPolicy()
    /// Processes started here after the first.
    var restarts = 0
    var starts = 0
    var lastExit: LastExit?
    var deaths = DeathTally()
    // What all processes of this slot did since the supervisor started.
    var served: UInt64 = 0
    var errors: UInt64 = 0
    var noiseLines: UInt64 = 0
    var lateReplies: UInt64 = 0
    var latency = LatencyHistogram()

    /// One of its processes has answered a call.
    mutating func noteAnswer(after latency: Nanoseconds, isError: Bool) {
        self.served += 1
        if isError { self.errors += 1 }
        self.latency.record(nanoseconds: latency)
    }

    var isWanted: Bool { self.state != .unwanted }

    var process: WorkerToken? {
        if case .running(let token) = self.state { return token }
        return nil
    }

    var isQuarantined: Bool {
        if case .quarantined = self.state { return true }
        return false
    }

    /// Whether its last process died and no other has been started yet.
    var isDown: Bool {
        switch self.state {
        case .backoff, .quarantined: true
        case .empty, .running, .unwanted: false
        }
    }
}

/// How the last process of a slot ended, for status and errors.
struct LastExit: Equatable {
    var status: ExitStatus?
    /// A word of `DepartureReason`, or a sentence when the process could not even be started.
    var reason: String
    /// Milliseconds since 1970.
    var at: Int64
    var uptime: Nanoseconds
    var stderrTail: String
    /// It could not be started because the system has run out of something.
    var isShortage = false

    /// In words: "exited with code 3", "was killed by SIGKILL", or why it could not be started.
    var sentence: String {
        switch self.status {
        case let status?: status.sentence
        case nil where self.reason == DepartureReason.stdoutClosed.rawValue: "closed its stdout"
        case nil where self.reason == DepartureReason.stdinClosed.rawValue: "stopped reading its stdin"
        case nil: "could not be started: \(self.reason)"
        }
    }

    /// The same for others than operators, who do not see command lines.
    func sentence(forOperator: Bool) -> String {
        forOperator || self.status != nil ? self.sentence : "could not be started"
    }
}

enum SignalName {
    private static let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS",
        8: "SIGFPE", 9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM",
        15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
    ]

    static func text(_ number: Int32) -> String { self.names[number] ?? "signal \(number)" }
}

extension ExitStatus {
    /// What a process did that ended so.
    var sentence: String {
        switch self {
        case .exited(let code): "exited with code \(code)"
        case .signaled(let number): "was killed by \(SignalName.text(number))"
        }
    }
}
