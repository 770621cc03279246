import Protocol

@testable import Supervisor

/// The real core in a world of its own: a virtual clock, virtual workers and clients, all decided by one seed.
struct VirtualWorld: ~Copyable {
    /// What can happen, and when.
    private enum Event {
        case clientActs(Int)
        case workerSpawned(WorkerToken)
        case spawnFails(WorkerToken)
        case workerWrites(WorkerToken, VirtualWorker.Output)
        case workerExits(WorkerToken, ExitStatus)
        case workerClosesOutput(WorkerToken, dies: Bool)
        case clientCatchesUp(Int)
        case stop
    }

    let seed: UInt64
    private var random: SeededGenerator
    private var core: SupervisorCore
    private var effects = SimulatedEffects()
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var events: [(time: Instant, order: Int, event: Event)] = []
    private var order = 0
    private var clients: [VirtualClient] = []
    private var workers: [WorkerToken: VirtualWorker] = [:]
    private let faults: Double
    private var actionsLeft: Int
    private var isFinished = false
    /// Late, second and foreign replies that workers were made to give.
    private var lateReplies = 0
    /// What workers saw of each call, by its nonce.
    private var attempts: [Int64: Attempts] = [:]
    /// How often workers were told each notification.
    private var told: [Int64: Int] = [:]
    private var stoppedAt: Instant?
    /// A fault of the checker's own test: the n-th message to a client is lost, or sent twice.
    var sabotage: Sabotage?
    private var messagesSent = 0
    private(set) var calls = 0
    private(set) var results = 0

    enum Sabotage {
        case loseAnswer(Int), repeatAnswer(Int), swapNonces
        /// Workers get every line twice, are told a later deadline, have a slot fewer than they said, or hear no
        /// signal.
        case repeatCalls, stretchDeadlines, hideASlot, loseSignals
    }

    private struct Attempts {
        var method: String
        var due: Instant
        var count = 0
        var last: (worker: WorkerToken, number: UInt64)?
    }

    /// What happened, when it is traced.
    var trace: [String] { self.effects.trace ?? [] }

    init(seed: UInt64, traced: Bool = false) {
        self.seed = seed
        self.random = SeededGenerator(seed: seed)
        let configuration = Self.configuration(&self.random)
        self.faults = [0, 0.05, 0.3].randomElement(using: &self.random) ?? 0
        self.actionsLeft = 80
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 1, uid: 1000, socketPath: "/virtual"), now: self.now,
            wallClock: 1_700_000_000_000, seed: seed)
        if traced { self.effects.trace = [] }
    }

    private static func configuration(_ random: inout SeededGenerator) -> Configuration {
        var configuration = Configuration()
        let workers = Int.random(in: 1...4, using: &random)
        configuration.pools[0].minWorkers = workers
        configuration.pools[0].maxWorkers = workers
        configuration.pools[0].methods = ["rag.*", "job.run", "embedding.create"]
        configuration.pools[0].startTimeout = .seconds(2)
        if Bool.random(using: &random) {
            configuration.pools[0].methods = ["rag.*", "job.run"]
            configuration.pools.append(
                Configuration.Pool(name: "second", minWorkers: 2, maxWorkers: 2, methods: ["embedding.*"]))
            configuration.pools[1].startTimeout = .seconds(2)
        }
        if Int.random(in: 0..<4, using: &random) == 0 { configuration.pools[0].prepare = ["prepare"] }
        configuration.loadBalancer.strategy =
            Configuration.Strategy.allCases.randomElement(using: &random) ?? .roundRobin
        configuration.loadBalancer.queueSize = Int.random(in: 1...32, using: &random)
        configuration.loadBalancer.queueTimeout =
            [0, .milliseconds(200), .seconds(5)].randomElement(using: &random) ?? 0
        configuration.timeouts.standard = .seconds(3)
        configuration.timeouts.cancelGrace = .milliseconds(300)
        configuration.timeouts.termGrace = .milliseconds(500)
        configuration.timeouts.shutdownGrace = .seconds(2)
        configuration.health.interval = .seconds(1)
        configuration.health.timeout = .milliseconds(500)
        configuration.restart.maxDeaths = Int.random(in: 2...6, using: &random)
        configuration.limits.inFlightPerConnection = 16
        return configuration
    }

    private mutating func schedule(_ event: Event, after delay: Nanoseconds) {
        self.order += 1
        self.events.append((self.now.advanced(by: delay), self.order, event))
        // Few events are open at once: the next one is found by looking at all.
    }

    private mutating func popNext(before limit: Instant?) -> Event? {
        guard
            let index = self.events.indices.min(by: {
                (self.events[$0].time, self.events[$0].order) < (self.events[$1].time, self.events[$1].order)
            })
        else { return nil }
        if let limit, self.events[index].time > limit { return nil }
        let entry = self.events.remove(at: index)
        self.now = max(self.now, entry.time)
        return entry.event
    }
}

// MARK: - Running

extension VirtualWorld {
    /// Lives through the whole story: clients call while workers fail, then the supervisor is stopped.
    ///
    /// - Returns: the first promise that was broken; nil when all held.
    mutating func run() -> String? {
        self.core.start(&self.effects)
        self.settle()
        for index in 0..<4 {
            guard let token = self.core.connectionOpened(Peer(pid: Int32(index), uid: 1000)) else {
                return "a connection was refused"
            }
            self.clients.append(VirtualClient(token))
            self.schedule(.clientActs(index), after: VirtualWorker.delay(1...50, &self.random))
        }
        self.schedule(.stop, after: VirtualWorker.delay(1...10_000, &self.random))
        if let violation = self.settleAndCheck() { return violation }
        for _ in 0..<20_000 {
            if let violation = self.step() { return violation }
            if self.isFinished { return self.verdict() }
        }
        return "the world did not come to an end: \(self.events.count) events open"
    }

    private mutating func step() -> String? {
        let event = self.popNext(before: self.core.nextDeadline)
        if event == nil {
            guard let deadline = self.core.nextDeadline else { return "P1: nothing will ever happen again" }
            self.now = max(self.now, deadline)
        }
        self.core.advance(
            to: self.now, wallClock: 1_700_000_000_000 + self.now.nanoseconds / 1_000_000, &self.effects)
        // What falls due at this moment happens first, also on the workers' side.
        if let violation = self.settle() { return violation }
        if let event { self.deliver(event) }
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        return self.settleAndCheck()
    }

    private mutating func deliver(_ event: Event) {
        switch event {
        case .clientActs(let index):
            self.act(index)
        case .workerSpawned(let worker):
            self.core.workerSpawned(worker, pid: Int32(worker.index) + 100, &self.effects)
        case .spawnFails(let worker):
            self.core.spawnFailed(worker, reason: "virtual: no such file", &self.effects)
        case .workerWrites(let worker, let output):
            guard self.workers[worker]?.hasClosedOutput == false else { return }
            if let number = output.isReplyTo { self.noteReply(number, worker, isForeign: output.isForeign) }
            if let concurrency = output.concurrency { self.workers[worker]?.knownConcurrency = concurrency }
            output.line.withUnsafeBytes { bytes in
                if output.isOversize {
                    self.core.workerWroteOversize(prefix: bytes, worker, &self.effects)
                } else {
                    self.core.workerWrote(bytes, worker, &self.effects)
                }
            }
        case .workerClosesOutput(let worker, let dies):
            guard self.workers[worker]?.hasClosedOutput == false else { return }
            self.workers[worker]?.hasClosedOutput = true
            self.core.outputClosed(worker)
            if dies { self.schedule(.workerExits(worker, .exited(code: 1)), after: .milliseconds(1)) }
        case .clientCatchesUp(let index):
            self.effects.backlogs[self.clients[index].token] = nil
        case .workerExits(let worker, let status):
            guard self.workers.removeValue(forKey: worker) != nil else { return }
            self.core.workerExited(worker, status, &self.effects)
        case .stop:
            self.stoppedAt = self.now
            self.core.stop(reason: "virtual", &self.effects)
        }
    }

    /// A reply is late when its call was cancelled before, answered before, or never was.
    private mutating func noteReply(_ number: UInt64, _ worker: WorkerToken, isForeign: Bool) {
        guard var virtual = self.workers[worker] else { return }
        if isForeign || virtual.cancelled.contains(number) || !virtual.answered.insert(number).inserted {
            self.lateReplies += 1
        }
        virtual.open.remove(number)
        self.workers[worker] = virtual
    }

    private func verdict() -> String? {
        for (index, client) in self.clients.enumerated() where !client.isGone {
            if !client.open.isEmpty { return "P1: client \(index) waits for \(client.open.keys.sorted())" }
        }
        let counted = self.core.pools.flatMap(\.slots).reduce(0) { $0 + Int($1.lateReplies) }
        if counted != self.lateReplies {
            return "P2: \(counted) late replies counted, \(self.lateReplies) injected"
        }
        let timeouts = self.core.configuration.timeouts
        let allowed = timeouts.shutdownGrace + 2 * timeouts.termGrace + .milliseconds(20)
        if let stoppedAt, self.now.duration(since: stoppedAt) > allowed {
            return "P12: stopped only after \(self.now.duration(since: stoppedAt).inMilliseconds) ms"
        }
        return self.workers.isEmpty ? nil : "P10: \(self.workers.count) workers outlive the supervisor"
    }
}

// MARK: - The clients' side

extension VirtualWorld {
    private mutating func act(_ index: Int) {
        guard !self.clients[index].isGone else { return }
        self.actionsLeft -= 1
        guard self.actionsLeft > 0 else { return }
        self.schedule(.clientActs(index), after: VirtualWorker.delay(1...200, &self.random))
        let token = self.clients[index].token
        guard !self.clients[index].hasHalfClosed, !self.effects.paused.contains(token) else { return }
        if self.faults > 0, Int.random(in: 0..<30, using: &self.random) == 0 {
            self.effects.backlogs[token] = 2 << 20
            self.schedule(.clientCatchesUp(index), after: VirtualWorker.delay(1...500, &self.random))
        }
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0..<70: self.send(self.makeCall(index).bytes, index)
        case 70..<80:
            let count = Int.random(in: 1...5, using: &self.random)
            let calls = JSONValue.array((0..<count).map { _ in self.makeCall(index) })
            self.clients[index].noteBatch(ofLast: count)
            self.send(calls.bytes, index)
        case 80..<86: self.tell(index)
        case 86..<94: self.cancelSomething(index)
        case 94..<97: self.send(Array("{\"half\": ".utf8), index)
        case 97:
            self.clients[index].hasHalfClosed = true
            self.core.inputEnded(self.clients[index].token, &self.effects)
        default:
            guard self.faults > 0 else { return }
            self.clients[index].isGone = true
            self.core.disconnected(self.clients[index].token, &self.effects)
        }
    }

    private mutating func makeCall(_ index: Int) -> JSONValue {
        self.calls += 1
        let call = self.clients[index].makeCall(
            now: self.now, timeouts: self.core.configuration.timeouts, &self.random)
        if let nonce = call["params"]?["nonce"]?.integerValue, let id = call["id"]?.integerValue {
            self.attempts[nonce] = Attempts(
                method: call["method"]?.stringValue ?? "", due: self.clients[index].open[id]?.due ?? self.now)
        }
        return call
    }

    /// A notification, which a worker must not get twice.
    private mutating func tell(_ index: Int) {
        let nonce = Int64.random(in: 0...1 << 40, using: &self.random)
        self.told[nonce] = 0
        let message: JSONValue = [
            "jsonrpc": "2.0", "method": "job.run", "params": ["nonce": .integer(nonce)],
        ]
        self.send(message.bytes, index)
    }

    private mutating func send(_ bytes: [UInt8], _ index: Int) {
        let token = self.clients[index].token
        bytes.withUnsafeBytes { self.core.received($0, from: token, &self.effects) }
    }

    private mutating func cancelSomething(_ index: Int) {
        guard let id = self.clients[index].open.keys.sorted().randomElement(using: &self.random) else {
            return
        }
        let cancel: JSONValue = [
            "jsonrpc": "2.0", "method": "$/cancelRequest", "params": ["id": .integer(id)],
        ]
        self.send(cancel.bytes, index)
    }
}

// MARK: - Effects

extension VirtualWorld {
    private mutating func settleAndCheck() -> String? {
        if let violation = self.settle() { return violation }
        self.core._checkInvariants()
        return self.boundsBroken()
    }

    private func boundsBroken() -> String? {
        for (index, client) in self.clients.enumerated() where !client.isGone {
            let open = self.core.requests.open(of: client.token)
            if open > self.core.limits.inFlightPerConnection { return "P6: \(open) calls of client \(index)" }
            let isCaughtUp = self.effects.backlogs[client.token] == nil
            if isCaughtUp, !client.hasHalfClosed, self.effects.paused.contains(client.token) {
                return "P7: client \(index) is not read from, though nothing waits"
            }
        }
        for pool in self.core.pools.indices {
            let queued = self.core.requests.queued(in: pool)
            let bound = self.core.configuration.loadBalancer.queueSize + self.core.requests.retriesOpen
            if queued > bound { return "P6: \(queued) calls wait in pool \(pool)" }
        }
        return nil
    }

    @discardableResult
    private mutating func settle() -> String? {
        for effect in self.effects.take() {
            switch effect {
            case .toClient(let token, let bytes):
                if let violation = self.deliver(bytes, to: token) { return violation }
            case .toWorker(let token, let bytes):
                if let violation = self.workerReceives(bytes, token) { return violation }
                if case .repeatCalls? = self.sabotage, let violation = self.workerReceives(bytes, token) {
                    return violation
                }
            case .spawn(let request): self.spawn(request)
            case .closeInput(let token):
                if self.workers[token]?.ignoresEnd == false { self.exitSoon(token, .exited(code: 0)) }
            case .signal(let token, let signal):
                if case .loseSignals? = self.sabotage { continue }
                guard signal == .kill || self.workers[token]?.ignoresTerm == false else { continue }
                self.exitSoon(token, .signaled(signal == .kill ? 9 : 15))
            case .close: break
            case .finish: self.isFinished = true
            }
        }
        return nil
    }

    private mutating func deliver(_ bytes: [UInt8], to token: ConnectionToken) -> String? {
        guard let index = self.clients.firstIndex(where: { $0.token == token }) else { return nil }
        self.messagesSent += 1
        var bytes = bytes
        switch self.sabotage {
        case .loseAnswer(let number) where number == self.messagesSent: return nil
        case .repeatAnswer(let number) where number == self.messagesSent:
            if let violation = self.clients[index].receive(bytes, now: self.now) { return violation }
        case .swapNonces:
            let text = String(decoding: bytes, as: UTF8.self)
            bytes = Array(text.split(separator: "\"nonce\":").joined(separator: "\"nonce\":1").utf8)
        default: break
        }
        if bytes.count > 30, String(decoding: bytes, as: UTF8.self).contains("\"result\"") {
            self.results += 1
        }
        return self.clients[index].receive(bytes, now: self.now)
    }

    /// - Returns: what a worker should not have been sent.
    private mutating func workerReceives(_ bytes: [UInt8], _ token: WorkerToken) -> String? {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard self.workers[token] != nil else { return nil }
            guard let message = try? JSONValue(parsing: Array(line)) else {
                return "P8: a worker got what is no JSON: \(String(decoding: line, as: UTF8.self))"
            }
            if let violation = self.judge(message, token) { return violation }
            guard var worker = self.workers[token] else { return nil }
            if message["method"] == "$/cancelRequest", let id = message["params"]?["id"]?.integerValue {
                worker.cancelled.insert(UInt64(id))
            }
            let reaction = worker.receive(message, faults: self.faults, &self.random)
            self.workers[token] = worker
            for output in reaction.outputs {
                self.schedule(.workerWrites(token, output), after: output.after)
            }
            switch reaction.fate {
            case .none: break
            case .crash(let after): self.schedule(.workerExits(token, .signaled(11)), after: after)
            case .closeOutput(let after, let dies):
                self.schedule(.workerClosesOutput(token, dies: dies), after: after)
            }
        }
        return nil
    }

    private static let idempotent: Set<String> = ["rag.execute", "embedding.create"]

    /// Judges a call as the worker sees it: it has a slot, the call was not sent too often, and there is time.
    private mutating func judge(_ message: JSONValue, _ token: WorkerToken) -> String? {
        guard message["metadata"] != nil, let nonce = message["params"]?["nonce"]?.integerValue else {
            return nil
        }
        guard let number = message["id"]?.integerValue.map({ UInt64($0) }) else {
            self.told[nonce, default: 0] += 1
            return self.told[nonce] == 1 ? nil : "P1: a notification was told twice"
        }
        guard var call = self.attempts[nonce] else { return "P2: a call that nobody made" }
        call.count += 1
        if call.count > (Self.idempotent.contains(call.method) ? 2 : 1) {
            return "P3: \(call.method) was sent \(call.count) times"
        }
        if let last = call.last, let worker = self.workers[last.worker], !worker.hasClosedOutput,
            worker.open.contains(last.number)
        {
            return "P3: \(call.method) is tried by two workers at the same time"
        }
        call.last = (token, number)
        self.attempts[nonce] = call
        var told = message["metadata"]?["deadline_ms"]?.integerValue ?? 0
        if case .stretchDeadlines? = self.sabotage { told += 1 }
        let left = call.due.duration(since: self.now).millisecondsRoundedUp
        if told < 1 || told > left { return "P1: told \(told) ms of \(left) ms left" }
        self.workers[token]?.open.insert(number)
        let open = self.workers[token]?.open.count ?? 0
        var known = self.workers[token]?.knownConcurrency ?? 0
        if case .hideASlot? = self.sabotage { known -= 1 }
        return open <= known ? nil : "P5: \(open) calls at a worker that takes \(known)"
    }

    private mutating func spawn(_ request: SpawnRequest) {
        guard Double.random(in: 0..<1, using: &self.random) >= self.faults / 3 else {
            return self.schedule(.spawnFails(request.worker), after: 0)
        }
        self.workers[request.worker] = VirtualWorker(request.worker, faults: self.faults, &self.random)
        self.schedule(.workerSpawned(request.worker), after: 0)
        if request.role == .preparing {
            let isGood = Double.random(in: 0..<1, using: &self.random) >= self.faults
            self.schedule(
                .workerExits(request.worker, .exited(code: isGood ? 0 : 1)),
                after: VirtualWorker.delay(1...500, &self.random))
        }
    }

    private mutating func exitSoon(_ token: WorkerToken, _ status: ExitStatus) {
        guard self.workers[token] != nil else { return }
        self.schedule(.workerExits(token, status), after: VirtualWorker.delay(0...5, &self.random))
    }
}
