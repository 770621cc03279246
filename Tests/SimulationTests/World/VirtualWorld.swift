import Protocol

@testable import Supervisor

/// The real core in a world of its own: a virtual clock, virtual workers and clients, all decided by one seed.
///
/// The world makes things happen and keeps the books; the judges look at both after every event.
struct VirtualWorld: ~Copyable {
    /// What can happen, and when.
    enum Event {
        case clientActs(Int)
        case clientReads(ConnectionToken)
        case clientIsClosed(ConnectionToken)
        case outputWaits(ConnectionToken)
        case workerSpawned(WorkerToken)
        case spawnFails(WorkerToken, String)
        case workerWrites(WorkerToken, WorkerOutput)
        case workerExits(WorkerToken, Supervisor.ExitStatus)
        case workerClosesOutput(WorkerToken, dies: Bool)
        case workerClosesInput(WorkerToken)
        case workerReads(WorkerToken)
        case inputFails(WorkerToken)
        case clockIsSet
        case stop
        case peace
        case audit
    }

    let seed: UInt64
    var random: SeededGenerator
    var weather: Weather
    var core: SupervisorCore
    var effects = SimulatedEffects()
    var ledger: Ledger
    var judges: Judges
    var events = EventQueue<Event>()
    var now: Instant
    /// Added to the monotonic clock, in milliseconds.
    private var wallClockOffset: Int64 = 1_700_000_000_000
    var clients: [VirtualClient] = []
    var clientIndices: [ConnectionToken: Int] = [:]
    var workers: [WorkerToken: VirtualWorker] = [:]
    var actionsLeft: Int
    var violation: Violation?
    private var isFinished = false

    /// - Parameters:
    ///   - removed: the guard that is taken away.
    ///   - traced: whether all that happens is written down.
    init(seed: UInt64, without removed: Guard? = nil, traced: Bool = false) {
        self.seed = seed
        self.random = SeededGenerator(seed: seed)
        self.now = Instant(nanoseconds: .seconds(1))
        let weather = Weather(&self.random)
        self.weather = weather
        let configuration = Configuration.virtual(for: weather, &self.random)
        self.actionsLeft = weather.actions
        self.effects.configuration = configuration
        self.ledger = Ledger(configuration, weather, now: self.now)
        self.judges = Judges(configuration)
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 1, uid: 1000, socketPath: "/virtual"), now: self.now,
            wallClock: self.wallClockOffset, seed: seed)
        #if DEBUG || MUTATIONS
            self.core.removedGuard = removed
        #endif
        if traced { self.effects.trace = ["\(weather)", "\(configuration)"] }
    }

    /// What happened, when it is traced.
    var trace: [String] { self.effects.trace ?? [] }

    mutating func schedule(_ event: Event, after delay: Nanoseconds) {
        self.events.add(event, at: self.now.advanced(by: delay))
    }

    /// Whether something happens that has this chance.
    mutating func happens(_ chance: Double) -> Bool {
        chance > 0 && Double.random(in: 0..<1, using: &self.random) < chance
    }

    /// Tells the judges what happened.
    mutating func note(_ observation: Observation) {
        if self.effects.trace != nil {
            self.effects.trace?.append(
                "\(self.now.duration(since: self.ledger.began).inMilliseconds) \(observation)")
        }
        self.judge(.observed(observation))
    }

    private mutating func judge(_ moment: Judges.Moment) {
        guard self.violation == nil else { return }
        if let broken = self.judges.judge(moment, self.ledger, self.core, self.effects) {
            self.violate(broken)
        }
    }

    /// The first broken promise counts; what follows may be its consequence.
    mutating func violate(_ broken: Violation) {
        guard self.violation == nil else { return }
        self.violation = broken
        self.violation?.moment = self.now.duration(since: self.ledger.began)
    }
}

// MARK: - Running

extension VirtualWorld {
    /// Lives through the whole story: clients call while workers fail; then, unless it is stopped in the middle,
    /// peace, an audit, and the end.
    ///
    /// - Returns: the first promise that was broken; nil when all held.
    mutating func run() -> Violation? {
        self.core.start(&self.effects)
        self.settle()
        for _ in 0..<self.weather.clients { self.connect() }
        if self.weather.clockJumps { self.schedule(.clockIsSet, after: .milliseconds(100)) }
        if let stop = self.weather.stopsAfter { self.schedule(.stop, after: stop) }
        self.judgeStep()
        for _ in 0..<60_000 where self.violation == nil {
            self.takeStep()
            guard self.isFinished, self.violation == nil else { continue }
            self.note(.finished)
            self.judge(.finished)
            return self.violation
        }
        if self.violation == nil {
            self.violate(Violation(.gracefulStop, "the world did not come to an end"))
        }
        return self.violation
    }

    /// One tick. The loop may wake up too late for what was due; then more than one event is there.
    private mutating func takeStep() {
        let due = self.core.nextDeadline
        guard let next = [due, self.events.nextTime].compactMap({ $0 }).min() else {
            return self.violate(Violation(.gracefulStop, "nothing will ever happen again"))
        }
        self.ledger.step += 1
        var wait: Nanoseconds = 0
        if self.weather.lag > 0 { wait = Int64.random(in: 0...self.weather.lag, using: &self.random) }
        self.now = max(self.now, next.advanced(by: wait))
        self.ledger.now = self.now
        self.core.advance(
            to: self.now, wallClock: self.wallClockOffset + self.now.nanoseconds / 1_000_000, &self.effects)
        self.settle()
        let isLate = self.weather.lag > 0
        repeat {
            // Without delay one event is a tick, so that as many ticks as possible are judged.
            guard let event = self.events.pop(dueBy: self.now) else { break }
            self.deliver(event)
            self.settle()
        } while isLate
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        self.settle()
        self.core._checkInvariants()
        self.judgeStep()
    }

    private mutating func judgeStep() {
        self.judge(.tickIsOver)
        for (index, client) in self.clients.enumerated() {
            guard let (code, _) = client.awaitedRefusal, !client.isGone else { continue }
            self.violate(
                Violation(.garbageKillsNothing, "client \(index) got no \(code) for its garbage"))
        }
    }

    private mutating func deliver(_ event: Event) {
        switch event {
        case .clientActs(let index): self.act(index)
        case .clientReads(let token): self.readAgain(token)
        case .clientIsClosed(let token): self.close(token)
        case .outputWaits(let token):
            if self.core.connections.contains(token), self.effects.stalledClients[token] != nil {
                self.core.outputWaits(for: token)
                self.note(.stalled(token))
            }
        case .workerSpawned, .spawnFails, .workerWrites, .workerExits, .workerClosesOutput,
            .workerClosesInput,
            .workerReads, .inputFails:
            self.deliverFromWorker(event)
        case .clockIsSet:
            self.wallClockOffset += Int64.random(in: -3...3, using: &self.random) * 86_400_000
            self.schedule(.clockIsSet, after: VirtualWorker.delay(1...5000, &self.random))
        case .stop: self.stop()
        case .peace: self.makePeace()
        case .audit: self.audit()
        }
    }

    private mutating func stop() {
        if self.ledger.stoppedAt == nil {
            self.ledger.stoppedAt = self.now
            if self.weather.stopsTwice {
                self.schedule(.stop, after: VirtualWorker.delay(1...3000, &self.random))
            }
        } else {
            self.ledger.stoppedAgainAt = self.ledger.stoppedAgainAt ?? self.now
        }
        self.note(.stopped)
        self.core.stop(reason: "virtual", &self.effects)
    }

    mutating func finish() { self.isFinished = true }

    /// The clients are done: nothing new fails, and everything gets the time to heal.
    private mutating func makePeace() {
        self.weather.clearUp()
        if self.weather.controls > 0 {
            self.effects.configuration.pools[0].command = ["worker"]
            self.core.reload(reason: "SIGHUP", &self.effects)
        }
        for token in self.effects.stalledClients.keys.sorted(by: { $0.word < $1.word })
        where !self.happens(0.5) { self.schedule(.clientReads(token), after: 0) }
        for token in self.effects.deafWorkers.keys.sorted(by: { $0.word < $1.word }) {
            self.schedule(.workerReads(token), after: 0)
        }
        self.schedule(.audit, after: self.weather.peace)
    }

    /// All is over: nothing is in flight, every slot is free, and a new client is served at once as well as the
    /// pool can.
    private mutating func audit() {
        self.judge(.allIsQuiet)
        self.weather.cancels = 0
        self.weather.ownTimeouts = 0
        self.probe()
        self.schedule(.stop, after: .milliseconds(500))
    }
}
