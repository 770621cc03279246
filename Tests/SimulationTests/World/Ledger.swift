import Protocol

@testable import Supervisor

/// The books of a world, kept from outside: what clients asked and got, what workers were sent and said. What the
/// core says of itself is judged against them.
struct Ledger {
    /// What an answer to a call may be.
    enum Expectation: Equatable {
        /// A worker of this pool answers it.
        case worker(pool: Int)
        /// The supervisor answers it itself, at once.
        case immediate
        /// The supervisor answers it itself, with whatever comes of it.
        case control
        /// It is refused with this code, at once.
        case refused(Int64)
    }

    struct Call {
        var nonce: Int64
        var client: Int
        var method: String
        var params: JSONValue
        var sentAt: Instant
        /// When the call's own time is over, and when its caller must have an answer: a batch has the time of its
        /// last call.
        var deadline: Instant
        var due: Instant
        var isInBatch = false
        var expectation: Expectation
        /// Messages to workers.
        var attempts = 0
        var lastWorker: WorkerToken?
        /// When it was sent to it.
        var dispatchedAt = Instant(nanoseconds: 0)
        var isAnswered = false
        /// The client cancelled it.
        var isCancelled = false
        /// What its worker did to it last, and in which step.
        var fate: (Fate, step: Int)?
        /// When it was put into the queue last.
        var queuedAt: Instant
        /// Workers that died with it, and whether it was alone on one of them.
        var deaths = 0
        var wasAlone = false
        /// It was made before, and cost two workers their lives.
        var isPoison = false
        var isNotification = false
        var hasOwnTimeout = false
        var stream = StreamBooks()

        var isIdempotent: Bool { ["rag.execute", "embedding.create", "health.check"].contains(self.method) }
    }

    /// What workers said of a call before they answered it.
    struct StreamBooks {
        /// Good chunks that were to be passed on.
        var chunks = 0
        /// The last of them was said to be the last.
        var isFinished = false
        /// When the last of them came.
        var lastAt: Instant?
        /// Of those that the client was sent, what came since it last took anything, and the bytes count.
        var waiting = (chunks: 0, bytes: 0)
    }

    enum Fate: Equatable {
        case result, error, unreadable
        /// Its worker died, or its pipes ended.
        case lost
    }

    /// A call that a worker has.
    struct OpenCall {
        var nonce: Int64
        var sentAt: Instant
        var deadline: Instant
        var method: String
        /// When the worker was told that nobody waits for it any more.
        var cancelledAt: Instant?
        /// When its worker is no longer waited for, once it is cancelled.
        var overrunsAt: Instant?
    }

    /// A process, from the order to start it until it is gone.
    struct Process {
        var pool: Int
        var slot: Int
        var role: SpawnRequest.Role
        var startedAt: Instant
        /// What it has declared, as far as the supervisor has heard.
        var concurrency = 1
        var honoursCancel = false
        var open: [UInt64: OpenCall] = [:]
        /// Open health checks: when they were asked, and whether they may take as long as the start.
        var checks: [UInt64: (askedAt: Instant, isFirst: Bool)] = [:]
        var questions: Set<Int64> = []
        var readyAt: Instant?
        var hasAnsweredCall = false
        /// A pipe of it ended.
        var cutOffAt: Instant?
        // The ladder.
        var inputClosedAt: Instant?
        var terminatedAt: Instant?
        var killedAt: Instant?
        var noise = (windowStart: Instant(nanoseconds: -.seconds(1000)), lines: 0, bytes: 0)
        var isFlooding = false
        /// Since when it holds more memory than it may.
        var overMemorySince: Instant?
        /// It was started in exchange for another one; and with nothing that serves there meanwhile.
        var isNewcomer = false
        var isAlone = false
        var isOfRollout = false
        /// It can only fail.
        var isDoomed = false
        var isDoomedNewcomer: Bool { self.isOfRollout && self.isDoomed }

        var isLeaving: Bool {
            self.inputClosedAt != nil || self.terminatedAt != nil || self.killedAt != nil
        }

        /// Since when it goes on with a call that nobody waits for, beyond all grace.
        var overrunAt: Instant? { self.open.values.compactMap(\.overrunsAt).min() }

        /// It goes on so: it gets no more calls, and leaves when its others are done.
        func hangs(at now: Instant) -> Bool { self.overrunAt.map { $0 < now } ?? false }
    }

    let configuration: Configuration
    let weather: Weather
    let began: Instant
    var now: Instant
    var step = 0
    var calls: [Int64: Call] = [:]
    var processes: [WorkerToken: Process] = [:]
    var lateReplies = 0
    var noiseLines = 0
    /// Calls that cost two workers their lives, and were alone on one of them.
    private(set) var poison: [Int64] = []
    var stoppedAt: Instant?
    var stoppedAgainAt: Instant?
    /// Answers to calls, and those that were in batches of clients that left.
    var answers = 0
    /// A client did not read for a while: the supervisor may have let it go, with what it had not been sent.
    var hasStalled = false
    /// Answers that came from workers, as results.
    var results = 0
    /// The call that a worker's last reply settled.
    private(set) var settled: Int64?

    init(_ configuration: Configuration, _ weather: Weather, now: Instant) {
        self.configuration = configuration
        self.weather = weather
        self.began = now
        self.now = now
    }

    /// How much later than due a tick may come.
    var lag: Nanoseconds { self.weather.lag }

    /// How long a worker whose pipe has ended may take to be gone before its calls are settled.
    static let exitMargin = Nanoseconds.milliseconds(100)

    func timeout(of method: String) -> Nanoseconds {
        if method.hasPrefix("supervisor.") { return self.configuration.timeouts.controlWait }
        let timeouts = self.configuration.timeouts
        let standard = method == "rag.stream" ? timeouts.streamTotal : timeouts.standard
        return min(timeouts.perMethod[method] ?? standard, timeouts.max)
    }
}

// MARK: - What workers do

extension Ledger {
    /// A worker got a call.
    mutating func sent(_ number: UInt64, _ nonce: Int64, to worker: WorkerToken) {
        guard var call = self.calls[nonce] else { return }
        call.attempts += 1
        call.lastWorker = worker
        call.dispatchedAt = self.now
        self.calls[nonce] = call
        self.processes[worker]?.open[number] = OpenCall(
            nonce: nonce, sentAt: self.now, deadline: call.deadline, method: call.method)
    }

    /// A worker was told that nobody waits for a call any more: from when on it overruns.
    mutating func cancelled(_ number: UInt64, at worker: WorkerToken) {
        guard let process = self.processes[worker], var open = process.open[number] else { return }
        open.cancelledAt = self.now
        open.overrunsAt =
            process.honoursCancel
            ? self.now.advanced(by: self.configuration.timeouts.cancelGrace)
            : max(self.now, open.sentAt.advanced(by: self.allowed(open)))
        self.processes[worker]?.open[number] = open
    }

    /// How long the worker may take for a call that is cancelled: a stream as long as any stream.
    private func allowed(_ open: OpenCall) -> Nanoseconds {
        let isStream = (self.calls[open.nonce]?.stream.chunks ?? 0) > 0
        return isStream ? self.streamTimeout(of: open.method) : self.timeout(of: open.method)
    }

    private func streamTimeout(of method: String) -> Nanoseconds {
        let timeouts = self.configuration.timeouts
        return min(timeouts.perMethod[method] ?? timeouts.streamTotal, timeouts.max)
    }

    /// A worker sent a chunk: passed on, or late because its call is over, has had its last chunk, or never was this
    /// worker's.
    mutating func streamed(_ number: UInt64, isFinal: Bool, by worker: WorkerToken) {
        guard let open = self.processes[worker]?.open[number], open.cancelledAt == nil,
            var call = self.calls[open.nonce], !call.stream.isFinished
        else { return self.lateReplies += 1 }
        if call.stream.chunks == 0, !call.hasOwnTimeout {
            call.deadline = call.sentAt.advanced(by: self.streamTimeout(of: call.method))
            call.due = call.isInBatch ? max(call.due, call.deadline) : call.deadline
            self.processes[worker]?.open[number]?.deadline = call.deadline
            if call.isInBatch { self.extendBatch(of: call) }
        }
        call.stream.chunks += 1
        call.stream.isFinished = isFinal
        call.stream.lastAt = self.now
        self.calls[open.nonce] = call
    }

    /// The others of a batch are answered with its last call.
    private mutating func extendBatch(of call: Call) {
        for other in self.calls.values
        where other.isInBatch && other.client == call.client && other.sentAt == call.sentAt {
            self.calls[other.nonce]?.due = max(other.due, call.due)
        }
    }

    /// A worker said something about a call. A reply is late when its call was cancelled before, answered before,
    /// lost, or never was this worker's.
    mutating func replied(_ number: UInt64, _ reply: WorkerOutput.Reply, by worker: WorkerToken) {
        self.settled = nil
        guard let open = self.processes[worker]?.open.removeValue(forKey: number) else {
            return self.lateReplies += 1
        }
        guard open.cancelledAt == nil else { return self.lateReplies += 1 }
        self.settled = open.nonce
        switch reply {
        case .result: self.settle(open.nonce, .result)
        case .error: self.settle(open.nonce, .error)
        case .unreadable: self.settle(open.nonce, .unreadable)
        }
        if reply != .unreadable { self.processes[worker]?.hasAnsweredCall = true }
    }

    private mutating func settle(_ nonce: Int64, _ fate: Fate) {
        self.calls[nonce]?.fate = (fate, self.step)
        self.calls[nonce]?.queuedAt = self.now
    }

    /// A worker answered a health check; an answer that comes too late is dropped, and counted.
    mutating func healthAnswered(
        _ number: UInt64, _ declares: WorkerTemper.Declaration?, isWell: Bool, by worker: WorkerToken
    ) {
        guard let check = self.processes[worker]?.checks.removeValue(forKey: number) else {
            return self.lateReplies += 1
        }
        let timeout = self.configuration.health.timeout
        guard check.isFirst || self.now < check.askedAt.advanced(by: timeout) else {
            return self.lateReplies += 1
        }
        guard isWell, let process = self.processes[worker] else { return }
        if process.readyAt == nil, !process.isLeaving {
            self.processes[worker]?.readyAt = self.now
            // What declares nothing has the pool's number, or one.
            self.processes[worker]?.concurrency = self.configuration.pools[process.pool].maxConcurrency ?? 1
        }
        if let declares { self.declared(declares, by: worker) }
    }

    mutating func declared(_ declares: WorkerTemper.Declaration, by worker: WorkerToken) {
        guard let pool = self.processes[worker]?.pool else { return }
        let cap = self.configuration.pools[pool].maxConcurrency ?? .max
        self.processes[worker]?.concurrency = min(declares.concurrency, cap)
        self.processes[worker]?.honoursCancel = declares.honoursCancel
    }

    /// The calls of a worker are lost: it died, or was cut off too long ago.
    mutating func lost(_ worker: WorkerToken, isDeath: Bool) -> [OpenCall] {
        guard let process = self.processes[worker] else { return [] }
        let open = process.open.values.filter { $0.cancelledAt == nil }
        for call in open {
            self.settle(call.nonce, .lost)
            guard isDeath, !process.isLeaving, !process.isFlooding else { continue }
            self.calls[call.nonce]?.deaths += 1
            if process.open.count == 1 { self.calls[call.nonce]?.wasAlone = true }
        }
        self.processes[worker]?.open = [:]
        return open
    }

    /// The supervisor gave a call up for good.
    mutating func failed(_ nonce: Int64) {
        guard let call = self.calls[nonce], call.deaths == 2, call.wasAlone, call.method != "health.check"
        else { return }
        self.poison.append(nonce)
    }

    /// Stray output, in windows of ten seconds.
    mutating func noise(_ bytes: Int, from worker: WorkerToken) {
        guard var process = self.processes[worker], process.role == .serving else { return }
        self.noiseLines += 1
        if self.now.duration(since: process.noise.windowStart) >= .seconds(10) {
            process.noise = (self.now, 0, 0)
        }
        process.noise.lines += 1
        process.noise.bytes += bytes
        let health = self.configuration.health
        if process.noise.lines > health.noiseLines || process.noise.bytes > health.noiseBytes {
            process.isFlooding = true
        }
        self.processes[worker] = process
    }
}
