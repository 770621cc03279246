import Protocol

@testable import Supervisor

/// A small world for the cache of responses: the real core, one pool of three workers, clients that ask the same few
/// things again and again, and everything that may come between: deaths, cancels, disconnects, clears, changes of the
/// epoch, jumps of the clock. All is decided by one seed, and checked after every step against what the world itself
/// wrote down: which call each answer came from, and what has happened since.
struct CacheWorld: ~Copyable {
    struct Settings {
        var steps = 400
        var removedGuard: Guard?
    }

    /// What a client asked.
    struct Ask {
        var id: Int
        var client: Int
        var key: Int
        var use: String
        /// The user whose responses are for nobody else; nil: for all.
        var privateTo: UInt32?
        var arrivedAt: Int
        /// What had happened before, so that nothing older may be its answer.
        var barrier: Int
        var epoch: String
        var deadline: Instant
        var isCancelled = false
        /// There is a call at a worker that it must join.
        var mustJoin: Bool

        func isSameQuestion(as other: Ask) -> Bool {
            self.key == other.key && self.privateTo == other.privateTo
        }
    }

    /// A call as a worker has it.
    struct Work {
        var number: Int64
        /// The one who began it; nil: a refresh in the background.
        var leader: Int?
        var stamp: Int
        /// Its worker's, as long as that has not changed; then empty.
        var epoch: String
        /// Until when the worker was told it may take, or a little less.
        var told: Instant
        var isCancelled = false
    }

    struct Worker {
        var token: WorkerToken
        var epoch: String
        var isReady = false
        var calls: [Work] = []
    }

    /// Where an answer comes from.
    struct Origin {
        var key: Int
        var leader: Int?
        var receivedAt: Int
        var epoch: String
        var repliedAt: Instant
    }

    let settings: Settings
    var core: SupervisorCore
    var effects = Inbox()
    var random: SeededGenerator
    var clients: [ConnectionToken] = []
    var asks: [Int: Ask] = [:]
    var open: Set<Int> = []
    var workers: [Worker] = []
    var origins: [Int: Origin] = [:]
    /// How often a worker got the call that an ask began, and how many workers died with it.
    var sendings: [Int: Int] = [:]
    var deaths: [Int: Int] = [:]
    /// How often a worker gave up because the time that it was told was over.
    var timesGivenUp: [Int: Int] = [:]
    /// What workers are to answer at once: questions of their health, and calls that were taken back.
    var due: [(worker: WorkerToken, number: Int64, isHealth: Bool)] = []
    /// Numbers everything that happens.
    var moment = 0
    /// The last moment after which nothing older may be given.
    var barrier = 0
    var refreshed: [Int: Int] = [:]
    /// In the order in which they became the pool's.
    var epochs = ["e0"]
    /// How often each word of `metadata.cache` was heard, and errors.
    var words: [String: Int] = [:]
    var failures = 0
    var violation: String?
    /// What was said, when somebody wants to read it.
    var trace: [String]?

    init(_ settings: Settings, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var configuration = Configuration()
        configuration.pools[0].minWorkers = 3
        configuration.pools[0].maxWorkers = 3
        configuration.restart.maxDeaths = 1000
        configuration.restart.backoffMax = .milliseconds(200)
        configuration.cache.cacheableMethods = ["m"]
        configuration.cache.responseCacheSize = [2, 100].randomElement(using: &random) ?? 2
        configuration.cache.responseCacheTTL = .seconds(20)
        if Bool.random(using: &random) { configuration.cache.staleWhileRevalidate = .seconds(10) }
        if Bool.random(using: &random) { configuration.cache.staleIfError = .seconds(30) }
        self.settings = settings
        self.random = random
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 1, uid: 1, socketPath: "/run/s.sock"),
            now: Instant(nanoseconds: .seconds(1000)), wallClock: 0, seed: seed)
        self.core.removedGuard = settings.removedGuard
    }

    var cache: Configuration.Cache { self.core.configuration.cache }
    var present: String { self.epochs[self.epochs.count - 1] }

    mutating func note(_ what: @autoclosure () -> String) {
        self.trace?.append("\(self.core.now.nanoseconds / 1_000_000) \(what())")
    }

    mutating func fail(_ what: String) { self.violation = self.violation ?? what }

    // MARK: Running

    /// Lives through the whole run.
    ///
    /// - Returns: the first promise that was broken; nil when all held.
    mutating func run() -> String? {
        self.begin()
        for _ in 0..<self.settings.steps {
            self.step()
            if let violation = self.violation { return violation }
        }
        // In the end nothing waits for ever.
        self.pass(.seconds(1200))
        if !self.open.isEmpty { self.fail("P1: \(self.open.sorted()) were never answered") }
        return self.violation
    }

    mutating func begin() {
        self.core.start(&self.effects)
        for index in 0..<4 {
            if let client = self.core.connectionOpened(Peer(pid: 1, uid: index == 3 ? 2 : 1)) {
                self.clients.append(client)
            }
        }
        self.settle()
        for index in self.workers.indices { self.bringUp(index, "e0") }
    }

    mutating func step() {
        self.deliver()
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0: self.pass(.seconds(Int64.random(in: 1...900, using: &self.random)))
        case 1...4: self.pass(.seconds(Int64.random(in: 1...30, using: &self.random)))
        default: self.pass(Nanoseconds.random(in: 0...(.milliseconds(120)), using: &self.random))
        }
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0..<45: self.ask()
        case 45..<78: self.reply()
        case 78..<83: self.cancel()
        case 83..<85: self.reconnect()
        case 85..<87: self.clear()
        case 87..<92: self.declare()
        case 92..<95: self.kill()
        default: self.bringUpAny()
        }
        self.endTick()
        self.check()
    }

    /// Time passes, all at once: whatever was due meanwhile is late.
    mutating func pass(_ duration: Nanoseconds) {
        let wallClock = Int64.random(in: 0...1 << 40, using: &self.random)
        self.core.advance(to: self.core.now.advanced(by: duration), wallClock: wallClock, &self.effects)
        self.endTick()
    }

    mutating func endTick() {
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        self.core._checkInvariants()
        self.settle()
    }

    mutating func check() {
        let figures = self.core.responses.figures
        if let bytes = figures["bytes"]?.integerValue, bytes > self.cache.responseCacheBytes {
            self.fail("P14: \(bytes) bytes are kept")
        }
        for id in self.open {
            if let ask = self.asks[id], ask.deadline <= self.core.now {
                self.fail("P1: \(id) is not answered at its deadline")
            }
        }
        for worker in self.workers {
            for work in worker.calls where !work.isCancelled {
                guard let leader = work.leader.flatMap({ self.asks[$0] }) else { continue }
                let isAwaited = self.open.contains { id in
                    guard let ask = self.asks[id] else { return false }
                    return leader.use == "bypass"
                        ? id == leader.id : ask.use != "bypass" && ask.isSameQuestion(as: leader)
                }
                if !isAwaited { self.fail("P14: a worker goes on with \(leader.id), which nobody awaits") }
            }
        }
    }
}

// MARK: - Many at once

extension CacheWorld {
    /// Equal calls from many sides while one of them is at a worker, which dies at random moments.
    ///
    /// - Returns: the first promise that was broken; nil when all held.
    mutating func storm(calls: Int, deaths: Int) -> String? {
        self.begin()
        let fatal = Set((0..<deaths).map { _ in Int.random(in: 1..<calls, using: &self.random) })
        for number in 0..<calls {
            let client = Int.random(in: 0..<self.clients.count, using: &self.random)
            self.ask(client, key: 0, "use", isPrivate: false, "normal", within: 60_000)
            self.endTick()
            if fatal.contains(number), let index = self.workers.firstIndex(where: { !$0.calls.isEmpty }) {
                self.kill(index)
                self.endTick()
            }
            if Int.random(in: 0..<10, using: &self.random) == 0 { self.pass(.milliseconds(1)) }
        }
        for index in self.workers.indices {
            for work in self.workers[index].calls {
                self.write(
                    self.workers[index].token,
                    #"{"jsonrpc":"2.0","id":\#(work.number),"result":\#(work.stamp)}"#)
            }
        }
        self.endTick()
        if !self.open.isEmpty { self.fail("P1: \(self.open.count) were not answered") }
        return self.violation
    }

    /// Calls that reached a worker.
    var sent: Int { self.origins.count }
}
