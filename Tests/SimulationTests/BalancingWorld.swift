import Protocol

@testable import Supervisor

/// A small world for questions of balancing: the real core, one pool, clients whose calls come by chance whether
/// or not earlier ones are answered (open loop), and workers that do one call after another. Time is virtual.
///
/// A worker takes up to 32 calls but works on one at a time, as a program with one thread does: one that is slow
/// makes all wait that it was given.
struct BalancingWorld: ~Copyable {
    /// How a worker does, from a time on.
    enum Mood: Equatable {
        /// Answers after so many nanoseconds of work.
        case works(Nanoseconds)
        /// Answers -32603 after so many.
        case fails(Nanoseconds)
    }

    struct Settings {
        var strategy = Configuration.Strategy.roundRobin
        var workers = 4
        /// Calls a second.
        var rate = 200.0
        var duration: Nanoseconds = .seconds(20)
        /// The first worker's moods in order, each from that time on; the others always are as `usual`.
        var moods: [(from: Nanoseconds, mood: Mood)] = []
        var usual = Mood.works(.milliseconds(8))
        /// What a client wants the answer within.
        var deadline: Nanoseconds = .seconds(1)
        var removedGuard: Guard?
    }

    /// A call, as its client sees it.
    struct Call {
        var sentAt: Nanoseconds
        /// The worker that has or had it.
        var worker: Int?
        /// When it was answered with a result.
        var doneAt: Nanoseconds?
    }

    private static let start = Instant(nanoseconds: .seconds(1000))
    private static let concurrency = 32
    private static let connections = 8

    let settings: Settings
    private var core: SupervisorCore
    private var effects = Inbox()
    private var random: SeededGenerator
    private var clients: [ConnectionToken] = []
    private var workers: [WorkerToken: Int] = [:]
    /// Until when each worker is at work.
    private var busyUntil: [Nanoseconds] = []
    private var replies: [Reply] = []
    private(set) var calls: [Call] = []

    /// A line that a worker will have written by then.
    private struct Reply {
        var at: Nanoseconds
        var worker: WorkerToken
        var line: String
    }

    init(_ settings: Settings, seed: UInt64) {
        var configuration = Configuration()
        configuration.pools[0].minWorkers = settings.workers
        configuration.pools[0].maxWorkers = settings.workers
        configuration.loadBalancer.strategy = settings.strategy
        self.settings = settings
        self.random = SeededGenerator(seed: seed)
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 1, uid: 1, socketPath: "/run/s.sock"), now: Self.start,
            wallClock: 0, seed: seed)
        self.core.removedGuard = settings.removedGuard
        self.busyUntil = Array(repeating: 0, count: settings.workers)
    }

    private var now: Nanoseconds { self.core.now.duration(since: Self.start) }

    /// Lives through the whole run.
    mutating func run() {
        self.core.start(&self.effects)
        for (index, spawn) in self.effects.spawns.enumerated() {
            self.workers[spawn.worker] = index
            self.core.workerSpawned(spawn.worker, pid: Int32(index + 2), &self.effects)
        }
        for _ in 0..<Self.connections {
            if let client = self.core.connectionOpened(Peer(pid: 1, uid: 1)) { self.clients.append(client) }
        }
        self.endTick()
        var arrival = self.gap()
        while arrival < self.settings.duration {
            self.pass(to: arrival)
            self.send()
            arrival += self.gap()
        }
        self.pass(to: self.settings.duration + self.settings.deadline)
    }

    /// The time to the next call: exponential, so that arrivals are a Poisson process.
    private mutating func gap() -> Nanoseconds {
        let chance = Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self.random)
        return Nanoseconds(-Self.logarithm(chance) / self.settings.rate * 1e9)
    }

    /// ln x for 0 < x < 1 without libm: the exponent, and the series of artanh for the rest.
    private static func logarithm(_ x: Double) -> Double {
        let z = (x.significand - 1) / (x.significand + 1)
        var (power, sum) = (z, 0.0)
        for odd in stride(from: 1.0, through: 41, by: 2) {
            sum += power / odd
            power *= z * z
        }
        return 2 * sum + Double(x.exponent) * 0.693_147_180_559_945_3
    }

    private mutating func send() {
        let id = self.calls.count
        self.calls.append(Call(sentAt: self.now))
        let line =
            #"{"jsonrpc":"2.0","id":\#(id),"method":"m","metadata":{"request_id":"\#(id)","timeout_ms":"#
            + "\(self.settings.deadline / .milliseconds(1))}}"
        let client = self.clients[id % self.clients.count]
        Array(line.utf8).withUnsafeBytes { self.core.received($0, from: client, &self.effects) }
        self.endTick()
    }

    private mutating func pass(to end: Nanoseconds) {
        while true {
            let reply = self.replies.min { $0.at < $1.at }
            let deadline = self.core.nextDeadline?.duration(since: Self.start)
            let next = min(reply?.at ?? .max, deadline ?? .max)
            guard next <= end else { break }
            self.advance(to: next)
            if let index = self.replies.firstIndex(where: { $0.at <= next }) {
                let reply = self.replies.remove(at: index)
                Array(reply.line.utf8).withUnsafeBytes {
                    self.core.workerWrote($0, reply.worker, &self.effects)
                }
            }
            self.endTick()
        }
        self.advance(to: end)
        self.endTick()
    }

    private mutating func advance(to time: Nanoseconds) {
        self.core.advance(to: Self.start.advanced(by: time), wallClock: 0, &self.effects)
    }

    private mutating func endTick() {
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        let (toWorkers, toClients) = (self.effects.toWorkers, self.effects.toClients)
        self.effects.toWorkers.removeAll()
        self.effects.toClients.removeAll()
        for (worker, line) in toWorkers { self.work(worker, line) }
        for line in toClients { self.take(line) }
    }

    /// A worker reads a line.
    private mutating func work(_ worker: WorkerToken, _ line: [UInt8]) {
        guard let message = try? JSONValue(parsing: line), let id = message["id"]?.integerValue,
            let index = self.workers[worker]
        else { return }  // a cancel: it goes on all the same
        if message["method"] == "health.check" {
            let result =
                #"{"status":"healthy","capabilities":{"max_concurrency":\#(Self.concurrency)}}"#
            return self.reply(worker, at: self.now, #"{"jsonrpc":"2.0","id":\#(id),"result":\#(result)}"#)
        }
        if let call = message["metadata"]?["request_id"]?.stringValue.flatMap({ Int($0) }) {
            self.calls[call].worker = index
        }
        let begins = max(self.now, self.busyUntil[index])
        switch self.mood(of: index) {
        case .works(let time):
            // Between half and one and a half times as long.
            let duration = time / 2 + Nanoseconds.random(in: 0...time, using: &self.random)
            self.busyUntil[index] = begins + duration
            self.reply(worker, at: begins + duration, #"{"jsonrpc":"2.0","id":\#(id),"result":1}"#)
        case .fails(let time):
            self.busyUntil[index] = begins + time
            self.reply(
                worker, at: begins + time,
                #"{"jsonrpc":"2.0","id":\#(id),"error":{"code":-32603,"message":"broken"}}"#)
        }
    }

    private mutating func reply(_ worker: WorkerToken, at time: Nanoseconds, _ line: String) {
        self.replies.append(Reply(at: time, worker: worker, line: line))
    }

    private func mood(of worker: Int) -> Mood {
        guard worker == 0 else { return self.settings.usual }
        return self.settings.moods.last { $0.from <= self.now }?.mood ?? self.settings.usual
    }

    /// A client reads a line.
    private mutating func take(_ line: [UInt8]) {
        guard let message = try? JSONValue(parsing: line), message["result"] != nil,
            let id = message["id"]?.integerValue
        else { return }
        self.calls[Int(id)].doneAt = self.now
    }

    // MARK: Figures

    /// The part of all calls that were answered with a result in time.
    var goodput: Double {
        let good = self.calls.count { call in
            call.doneAt.map { $0 - call.sentAt <= self.settings.deadline } ?? false
        }
        return Double(good) / Double(max(1, self.calls.count))
    }

    /// The part of the calls sent in a time that the first worker was given.
    func share(from start: Nanoseconds, to end: Nanoseconds) -> Double {
        let calls = self.calls.filter { $0.sentAt >= start && $0.sentAt < end && $0.worker != nil }
        return Double(calls.count { $0.worker == 0 }) / Double(max(1, calls.count))
    }
}
