import Protocol

@testable import Supervisor

/// A core to which random events happen, all that may happen to a real one. After each of them its invariants are
/// checked, and what has been promised to those outside.
final class RandomWorld {
    /// A call that has not been answered.
    struct OpenCall {
        var id: Int
        /// It must be answered by then.
        var limit: Instant
        /// Whether it is answered in chunks whatever happens, how many came, and whether the last of them did.
        var isStream = false
        var chunks = 0
        var hasEnded = false
    }

    struct Client {
        var token: ConnectionToken
        var open: [OpenCall] = []
        var hasEnded = false
    }

    /// Longer than a quarantined slot waits for its next try, and than any call may take.
    private static let secondsToRest = 70

    /// What was promised and not kept.
    private(set) var faults: [String] = []
    var core: SupervisorCore
    var effects = RecordedEffects()
    var random: SeededGenerator
    var clients: [Client] = []
    /// Processes that were started and are not gone.
    var processes: [WorkerToken] = []
    /// Those of them that the core has not been told about.
    var unannounced: [WorkerToken] = []
    var lastID = 0
    /// Answers that went out, and those of batches whose callers left before all were answered.
    private var answers = 0

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        var configuration = Configuration()
        configuration.pools = (0...random.below(2)).map { Configuration.Pool(name: "pool\($0)") }
        configuration = configuration.varied(by: &random)
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 77, uid: 1000, socketPath: "/run/s.sock", workerLimit: 12),
            now: Instant(nanoseconds: .seconds(1000)), wallClock: 1_700_000_000_000, seed: seed)
        self.random = random
        self.core.start(&self.effects)
        self.endTick()
    }

    /// One random event, and a tick around it.
    func happen() {
        switch self.random.below(100) {
        case ..<30: self.somethingHappensToAClient()
        case ..<75: self.somethingHappensToAWorker()
        case ..<85: self.anOperatorCalls()
        default: self.pass(self.someTime())
        }
    }

    /// From here on all workers are well: everything comes to rest.
    func calmDown() {
        self.effects.inputBacklogs = [:]
        self.effects.memory = [:]
        for _ in 0..<Self.secondsToRest where self.faults.isEmpty {
            self.letWorkersWork()
            self.pass(.seconds(1))
        }
        self.letWorkersWork()
        self.check(self.core.requests.count == 0, "\(self.core.requests.count) requests are left")
        self.check(self.core.requests.retriesOpen == 0, "\(self.core.requests.retriesOpen) retries are open")
        self.check(self.core.rollouts.isEmpty, "\(self.core.rollouts.count) rollouts are left")
        for (index, pool) in self.core.pools.enumerated() {
            self.check(pool.exchange == nil, "pool \(index) is left in an exchange")
            for (number, slot) in pool.slots.enumerated() where slot.isWanted {
                let life = slot.process.map { self.core.workers[$0].life }
                self.check(life?.isReady == true || life?.isHeld == true, "slot \(number): \(slot.state)")
                let due = slot.process.flatMap { self.core.workers[$0].isDueFor }
                self.check(due == nil, "slot \(number) is left due for \(due?.rawValue ?? "")")
            }
            self.check(self.processes.count { self.core.workers[$0].pool == index } == pool.size, "strays")
        }
    }

    func shutDown() {
        self.sendCall()
        self.tick { $0.stop(reason: "test", &$1) }
        for _ in 0..<60 where self.faults.isEmpty && !self.effects.isFinished {
            self.letWorkersWork()
            self.pass(.seconds(1))
        }
        self.check(self.effects.isFinished, "the shutdown does not end")
        self.check(self.clients.allSatisfy { $0.open.isEmpty }, "a call was not answered")
        let figures = self.core.history.report(
            nil, names: self.core.methods.measuredNames, now: self.core.now.nanoseconds)
        self.check(
            figures["total_requests"]?.integerValue == Int64(self.answers),
            "\(self.answers) answers, counted: \(figures.text)")
    }

    // MARK: Ticks and time

    func tick(_ event: (inout SupervisorCore, inout RecordedEffects) -> Void) {
        guard !self.effects.isFinished else { return }
        let ready = self.core.workers.tokens.filter { self.core.workers[$0].takesCalls }
        event(&self.core, &self.effects)
        self.endTick(ready: ready)
    }

    private func endTick(ready: [WorkerToken] = []) {
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        self.core._checkInvariants()
        for spawn in self.effects.spawns {
            self.processes.append(spawn.worker)
            self.unannounced.append(spawn.worker)
        }
        self.checkWhatWorkersGot(ready)
        self.checkPools()
        let sent = self.effects.toClients
        self.effects.spawns = []
        self.effects.toClients = [:]
        self.effects.toWorkers = [:]
        self.effects.records = []
        self.checkAnswers(sent)
    }

    private func pass(_ duration: Nanoseconds) {
        let end = self.core.now.advanced(by: duration)
        while let next = self.core.nextDeadline, next <= end, !self.effects.isFinished, self.faults.isEmpty {
            self.advance(to: next)
        }
        self.advance(to: end)
    }

    private func advance(to time: Instant) {
        self.tick { $0.advance(to: time, wallClock: 1_700_000_000_000, &$1) }
        let now = self.core.now
        let late = self.clients.flatMap(\.open).filter { $0.limit < now }
        self.check(late.isEmpty, "call \(late.first?.id ?? 0) was not answered in time")
    }

    private func someTime() -> Nanoseconds {
        let most: [Nanoseconds] = [.milliseconds(10), .milliseconds(300), .seconds(2), .seconds(20)]
        return Nanoseconds(self.random.below(Int(self.random.one(of: most)) + 1))
    }

    /// What a client will not get that is leaving.
    func noteUnsent(_ token: ConnectionToken) {
        for batch in self.core.batches.tokens where self.core.batches[batch].connection == token {
            self.answers += Self.count([0x5B] + self.core.batches[batch].answers + [0x5D])
        }
    }

    /// Answers in a message; chunks and events are none.
    private static func count(_ message: [UInt8]) -> Int {
        let value = try? JSONValue(parsing: message)
        return value?.arrayValue?.count ?? (value?["method"] == nil ? 1 : 0)
    }

    // MARK: What is checked

    func check(_ condition: Bool, _ fault: @autoclosure () -> String) {
        if !condition { self.faults.append(fault()) }
    }

    /// No call reaches a worker that is on its way out.
    private func checkWhatWorkersGot(_ ready: [WorkerToken]) {
        let call = Array(#""deadline_ms""#.utf8)
        for (worker, bytes) in self.effects.toWorkers where bytes.contains(call) {
            let isReady = self.core.workers.contains(worker) && self.core.workers[worker].takesCalls
            self.check(isReady || ready.contains(worker), "a call was sent to a worker that takes none")
        }
    }

    /// Each call gets one answer, and a connection is closed only when nothing is owed to it.
    private func checkAnswers(_ sent: [ConnectionToken: [[UInt8]]]) {
        for (token, messages) in sent {
            for message in messages { self.answers += Self.count(message) }
            guard let client = self.clients.firstIndex(where: { $0.token == token }) else { continue }
            let values = messages.map { (try? JSONValue(parsing: $0)) ?? "no JSON" }
            for answer in values.flatMap({ $0.arrayValue ?? [$0] }) {
                if let chunk = answer["params"] {
                    self.take(chunk, client)
                    continue
                }
                let id = answer["id"]?.integerValue.map { Int($0) }
                let call = self.clients[client].open.firstIndex { $0.id == id }
                self.check(call != nil, "nobody waits for \(answer.text)")
                if let call { self.checkEnd(of: self.clients[client].open.remove(at: call), answer) }
            }
        }
        let closing = self.effects.closing
        self.effects.closing = []
        for client in self.clients where closing.contains(client.token) {
            self.check(client.open.isEmpty, "a connection is closed that waits for answers")
            self.disconnect(client.token)
        }
    }

    private func take(_ chunk: JSONValue, _ client: Int) {
        let name = chunk["request_id"]?.stringValue
        guard let call = self.clients[client].open.firstIndex(where: { "\($0.id)" == name }) else {
            return self.check(false, "nobody waits for the chunk \(chunk.text)")
        }
        let open = self.clients[client].open[call]
        self.check(!open.hasEnded, "a chunk behind the final one: \(chunk.text)")
        self.check(chunk["sequence"] == .integer(open.chunks), "not chunk \(open.chunks): \(chunk.text)")
        self.clients[client].open[call].chunks += 1
        self.clients[client].open[call].hasEnded = chunk["is_final"] == true
    }

    private func checkEnd(of call: OpenCall, _ answer: JSONValue) {
        let isNoCall = [-32601, -32600].contains(answer["error"]?["code"]?.integerValue ?? 0)
        guard call.chunks > 0 || call.isStream && !isNoCall else { return }
        self.check(call.hasEnded, "call \(call.id) was answered without a final chunk: \(answer.text)")
    }

    /// No slot is forgotten, and a pool has at most one process too many.
    private func checkPools() {
        for (index, pool) in self.core.pools.enumerated() where self.core.phase == .running {
            for (number, slot) in pool.slots.enumerated() {
                switch slot.state {
                case .empty: self.check(pool.preparation != .done, "slot \(number) is forgotten")
                case .backoff, .quarantined:
                    let key = self.core.key(.slotRestart, self.core.slotIndex(index, number))
                    self.check(self.core.timers.isSet(key), "slot \(number) waits for nothing")
                case .running, .unwanted: break
                }
            }
            let staying = self.core.workers.tokens.count {
                let worker = self.core.workers[$0]
                return worker.pool == index && worker.role == .serving && worker.life.departure == nil
            }
            self.check(staying <= pool.size + 1, "pool \(index) has \(staying) processes")
        }
    }
}

extension SeededGenerator {
    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func one<Element>(of elements: [Element]) -> Element {
        elements[self.below(elements.count)]
    }
}

extension Configuration {
    /// The same pools with other settings.
    func varied(by random: inout SeededGenerator) -> Configuration {
        var result = self
        result.loadBalancer.strategy = random.one(of: Strategy.allCases)
        result.loadBalancer.queueSize = 1 + random.below(8)
        result.loadBalancer.queueTimeout = random.one(of: [0, .milliseconds(100), .seconds(5)])
        result.timeouts.standard = .seconds(Int64(1 + random.below(40)))
        result.timeouts.streamIdle = random.one(of: [.milliseconds(100), .seconds(30)])
        result.timeouts.streamTotal = .seconds(Int64(1 + random.below(40)))
        result.timeouts.cancelGrace = random.one(of: [0, .seconds(2)])
        result.timeouts.termGrace = random.one(of: [0, .seconds(5)])
        result.timeouts.shutdownGrace = random.one(of: [0, .seconds(5)])
        result.health.interval = .seconds(Int64(5 + random.below(10)))
        result.health.noiseLines = 1 + random.below(4)
        result.health.unhealthyThreshold = 1 + random.below(3)
        result.restart.maxDeaths = 1 + random.below(5)
        result.recycle.maxRequests = random.one(of: [nil, 1, 5])
        result.recycle.maxAge = random.one(of: [nil, .seconds(5)])
        result.recycle.maxRSS = random.one(of: [nil, 1 << 30])
        result.retry.methods = random.one(of: [[], ["job.run"], ["rag.execute", "health.check"]])
        result.retry.maxAttempts = 1 + random.below(3)
        result.retry.budgetMin = random.below(4)
        result.scaling.downAfter = .seconds(Int64(1 + random.below(5)))
        for index in result.pools.indices {
            result.pools[index].prepare = random.one(of: [[], [], ["prepare"], ["prepare", "anew"]])
            result.pools[index].minWorkers = 1 + random.below(3)
            result.pools[index].maxWorkers = result.pools[index].minWorkers + random.below(3)
            result.pools[index].maxConcurrency = random.one(of: [nil, 1, 3])
            result.pools[index].startTimeout = .seconds(Int64(1 + random.below(10)))
            result.pools[index].techniques = random.one(of: [nil, ["one"], ["one", "two"]])
            result.pools[index].methods = random.one(of: [["*"], ["job.*", "rag.*"]])
            result.pools[index].maxMemory = random.one(of: [nil, 2 << 30])
            result.pools[index].environment = random.one(of: [[:], ["A": "1"], ["A": "2"]])
        }
        return result
    }
}
