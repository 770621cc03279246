import Protocol

/// Everything the supervisor decides, and all it knows to decide by.
///
/// Events are mutating methods: bytes from clients and workers, exits, the passing of time. What is to be done
/// goes out through the effects that each of them is given. There is no clock, no descriptor and no chance in
/// here (time is told, randomness comes from one seed), so that the same events always lead to the same
/// effects, and thousands of worlds a second can be simulated.
///
/// A tick of the event loop is: `advance` to the present, one event after another, `endTick`, and when the output
/// is written, `outputWasFlushed`.
struct SupervisorCore: ~Copyable {
    /// What the core must know of the process it runs in.
    struct Identity: Sendable {
        var pid: Int32
        var uid: UInt32
        var socketPath: String
        /// Workers in all that the limits of the system have room for.
        var workerLimit = Int.max
        /// Connections that were allowed at the start: the rest of the descriptors is the workers'.
        var connectionLimit = Int.max
        /// The machine: its name, its processors, and its memory.
        var host = ""
        var cores = 1
        var memoryBytes: Int64 = 0
    }

    enum Phase: Equatable {
        case running
        /// No new calls; those there may finish until the grace is over.
        case draining(reason: String)
        /// All answered; the workers are leaving.
        case stopping
        case finished
    }

    var configuration: Configuration
    /// What the configuration is made of, but for what a restart is needed for.
    var source: ConfigurationSource
    let identity: Identity
    let startedAt: Instant
    var now: Instant
    /// Milliseconds since 1970 at `now`.
    var wallClock: Int64
    var random: SeededGenerator
    var phase = Phase.running

    var methods: MethodTable
    var requests: RequestTable
    var connections = SlotMap<Connection>()
    var pausedConnections: [ConnectionToken] = []
    var batches = SlotMap<Batch>()
    var pools: [Pool]
    var workers = SlotMap<WorkerProcess>()
    var timers = DeadlineQueue()
    var poison = PoisonList()
    var responses: ResponseCache
    var embeddings: EmbeddingCache
    /// Questions for embeddings that share their call with nobody, so far.
    var embeddingsAlone: UInt64 = 0
    /// What the worker answered whose reply is being looked at.
    var embeddingReply: EmbeddingReply?
    /// The slices of the file of embeddings.
    var embeddingFile = EmbeddingFileProgress()
    var broadcasts = SlotMap<Broadcast>()
    var pipelines: [Pipeline] = []
    /// Every call that was answered, for `metrics.get`.
    var history: CallHistory
    /// The first one is under way, the others wait for it.
    var rollouts: [Rollout] = []
    /// Why the last rollout was aborted, until one succeeds.
    var lastAbort: String?
    /// Looks at workers' memory that are still to be taken, and the worker the last one was at.
    var samplesLeft = 0
    var sampleTurn = 0
    /// Whether a call's technique decides where it goes, so that params are looked into only where it matters.
    var techniquesMatter = false
    var slowCalls: SlowCalls
    /// Connections that are told of events.
    var subscribers: [EventSubscriber] = []
    /// Something happened to a worker: its pool may be more or less healthy than it was.
    var healthMayHaveChanged = false
    /// When somebody last asked what the workers depend on; nil: never.
    var dependenciesAskedAt: Instant?
    /// Who may be given calls has changed since the rosters were made.
    var rostersAreStale = true
    /// A worker was passed over because it does not read what it was sent.
    var isHeldBack = false

    #if DEBUG || MUTATIONS
        /// The guard that a test took away.
        var removedGuard: Guard?
    #endif

    // Buffers that are used again, so that a call allocates nothing.
    var head: [UInt8] = []
    /// What the call that is being taken in has in common with those it may share (`ResponseCache`).
    var flightKey = CallKey()
    var candidates: [Balancer.Candidate] = []
    var latencies: [Double] = []
    var canonical = CanonicalJSON()

    /// - Parameters:
    ///   - source: what the configuration was made of; nil: of itself.
    ///   - seed: decides everything that is left to chance.
    init(
        _ configuration: Configuration, source: ConfigurationSource? = nil, identity: Identity, now: Instant,
        wallClock: Int64, seed: UInt64
    ) {
        self.configuration = configuration
        self.source = source ?? ConfigurationSource(of: configuration)
        self.identity = identity
        self.startedAt = now
        self.now = now
        self.wallClock = wallClock
        self.random = SeededGenerator(seed: seed)
        self.methods = MethodTable(configuration)
        self.requests = RequestTable(pools: configuration.pools.count)
        self.responses = ResponseCache(configuration.cache)
        self.embeddings = EmbeddingCache(configuration.cache)
        self.history = CallHistory(now: now.nanoseconds)
        self.slowCalls = SlowCalls(limit: configuration.logging.slowRequest)
        self.pools = configuration.pools.map(Pool.init)
        for pool in self.pools.indices { self.pools[pool].generation = self.responses.makeGeneration() }
        self.noteTechniques()
    }

    mutating func noteTechniques() {
        self.techniquesMatter =
            !self.configuration.loadBalancer.techniqueRouting.isEmpty
            || self.pools.contains { $0.techniques != nil } || !self.pipelines.isEmpty
    }

    var limits: Configuration.Limits { self.configuration.limits }

    /// The first event: brings every pool up.
    mutating func start(_ effects: inout some SupervisorEffects) {
        for pool in self.pools.indices { self.startPool(pool, &effects) }
    }

    /// Uniform in 0..<1.
    mutating func chance() -> Double { Double.random(in: 0..<1, using: &self.random) }
}

// MARK: - Time

extension SupervisorCore {
    /// What the control timers are for. One deadline each per worker, slot, pool or connection.
    enum Timer: Int, CaseIterable {
        /// The grace of a worker's present state.
        case life
        /// The next health check of a worker, or the next question of one that is starting.
        case health
        /// How long a worker whose pipe has ended may take to be gone.
        case cutOff
        /// The end of a worker's time out of balancing.
        case ejection
        case slotRestart
        /// When a worker has reached the age at which it is recycled.
        case age
        case prepareRetry
        /// When a pool may try again to exchange a worker.
        case exchangeRetry
        case scaleUp
        case scaleDown
        case sample
        /// The next slice of what the caches have forgotten: 0 of the responses, 1 of the embeddings.
        case sweep
        /// The next slice of the file of embeddings, or the time to begin with it.
        case embeddingFile
        case outputStall
        case shutdown
    }

    /// More slots than a pool may have.
    private static let slotStride = 2048

    func key(_ timer: Timer, _ index: Int) -> Int { index * Timer.allCases.count + timer.rawValue }

    func slotIndex(_ pool: Int, _ slot: Int) -> Int { pool * Self.slotStride + slot }

    mutating func setTimer(_ timer: Timer, _ index: Int, after delay: Nanoseconds) {
        self.timers.set(self.key(timer, index), to: self.now.advanced(by: delay))
    }

    mutating func removeTimer(_ timer: Timer, _ index: Int) { self.timers.remove(self.key(timer, index)) }

    /// When the core next has something to do by itself; nil: only when something happens.
    var nextDeadline: Instant? {
        switch (self.requests.deadlines.next, self.timers.next) {
        case (let left?, let right?): min(left, right)
        case (let only?, nil), (nil, let only?): only
        case (nil, nil): nil
        }
    }

    /// Time has passed. Whatever was due by then happens, in the order in which it was due within each kind.
    ///
    /// - Parameter wallClock: milliseconds since 1970.
    mutating func advance(to now: Instant, wallClock: Int64, _ effects: inout some SupervisorEffects) {
        self.now = max(self.now, now)  // the monotonic clock cannot run backwards; a simulated one might
        self.wallClock = wallClock
        while let request = self.requests.popDue(now: self.now) { self.requestIsDue(request, &effects) }
        while let key = self.timers.popDue(now: self.now) {
            guard let timer = Timer(rawValue: key % Timer.allCases.count) else {
                preconditionFailure("timer key \(key)")
            }
            self.fire(timer, key / Timer.allCases.count, &effects)
        }
    }

    private mutating func fire(_ timer: Timer, _ index: Int, _ effects: inout some SupervisorEffects) {
        switch timer {
        case .life:
            if let worker = self.workers.token(at: index) { self.lifeTimerFired(worker, &effects) }
        case .health:
            if let worker = self.workers.token(at: index) { self.healthTimerFired(worker, &effects) }
        case .cutOff:
            if let worker = self.workers.token(at: index) { self.cutOffTimerFired(worker, &effects) }
        case .ejection:
            if let worker = self.workers.token(at: index) { self.ejectionTimerFired(worker, &effects) }
        case .slotRestart:
            self.slotRestartFired(index / Self.slotStride, index % Self.slotStride, &effects)
        case .age:
            if let worker = self.workers.token(at: index) { self.isDue(worker, for: .maxAge, &effects) }
        case .prepareRetry:
            self.startPool(index, &effects)
        case .exchangeRetry:
            self.recycleNext(index, &effects)
        case .scaleUp:
            self.scaleUpFired(index, &effects)
        case .scaleDown:
            self.scaleDownFired(index, &effects)
        case .sample:
            self.sampleTimerFired(&effects)
        case .sweep:
            self.sweepTimerFired(index)
        case .embeddingFile:
            self.embeddingFileTimerFired(&effects)
        case .outputStall:
            if let connection = self.connections.token(at: index) { self.outputStalled(connection, &effects) }
        case .shutdown:
            self.shutdownGraceIsOver(&effects)
        }
    }

    /// The last event of a tick: ends the shutdown when nothing is left to wait for.
    mutating func endTick(_ effects: inout some SupervisorEffects) {
        if self.phase == .running { self.watchSizes() } else { self.continueShutdown(&effects) }
        if self.phase == .running { self.reportPoolHealth(&effects) }
        self.tellEvents(&effects)
    }

    /// Every process a pool speaks of is there, and belongs there.
    private func checkPools() {
        for (index, pool) in self.pools.enumerated() {
            for (number, slot) in pool.slots.enumerated() {
                guard let worker = slot.process else { continue }
                precondition(
                    self.workers.contains(worker), "slot \(number) is filled by a process that is gone")
                precondition(self.workers[worker].pool == index && self.workers[worker].slot == number)
            }
            switch pool.exchange?.stage {
            case .starting(let newcomer, let old)?:
                precondition(self.workers.contains(newcomer), "the newcomer of an exchange is gone")
                precondition(
                    old.map { self.workers.contains($0) } ?? true, "the old one of an exchange is gone")
            case .leaving(let old)?:
                precondition(self.workers.contains(old), "an exchange waits for a process that is gone")
            case nil: break
            }
            precondition(self.phase != .running || pool.size >= pool.minWorkers, "pool \(index) is too small")
            precondition(pool.size <= pool.maxWorkers, "pool \(index) is too large")
        }
    }

    private func isTimed(_ request: RequestToken) -> Bool {
        self.requests.deadlines.time(of: Int(request.index)) != nil
    }

    func _checkInvariants() {
        self.requests._checkInvariants()
        self.timers._checkInvariants()
        self.checkPools()
        self.checkRosters()
        self.checkStreams()
        for worker in self.workers.tokens {
            if case .probing(_, let call) = self.workers[worker].ejection.state {
                precondition(self.requests.contains(call), "probation by a call that is over")
                precondition(self.requests[call].state == .inFlight(worker), "probation by another's call")
            }
        }
        for token in self.requests.all {
            switch self.requests[token].state {
            case .inFlight(let worker), .abandoned(let worker):
                precondition(self.workers.contains(worker), "a call on a worker that is gone")
            case .queued:
                precondition(self.isTimed(token) || self.requests[token].flight != nil, "queued for ever")
            case .waiting:
                precondition(self.isTimed(token), "waits for ever")
            case .none: break
            }
            if let connection = self.requests[token].connection {
                precondition(self.connections.contains(connection), "a call of a connection that is gone")
            }
        }
    }
}
