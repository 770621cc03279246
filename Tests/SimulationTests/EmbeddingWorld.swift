import Protocol

@testable import Supervisor

/// A small world for the cache of embeddings: three workers that change their models, answer nonsense, die and put
/// vectors of their own; clients that ask for the same few texts in ever other lists; clears, and leaps of the clock.
///
/// Every vector says of itself which text it is of, by which model, and which answer it came with, so that the world
/// can tell whether it stands where it may.
struct EmbeddingWorld: ~Copyable {
    struct Ask {
        var client: Int
        var texts: [Int]
        var model: Int?
        /// The user for whom alone it asked.
        var privateTo: Int?
        /// Nothing that began before is its answer.
        var barrier: Int
        var wantsNew: Bool
        var arrivedAt: Int
        var deadline: Instant
    }

    /// One answer of a worker, or one put.
    struct Origin {
        var moment: Int
        var privateTo: Int?
        var repliedAt: Instant
    }

    struct Work {
        var number: Int64
        var texts: [Int]
        var model: Int?
        var leader: Int
        var moment: Int
    }

    struct Worker {
        var token: WorkerToken
        var isReady = false
        var model = 0
        var calls: [Work] = []
    }

    private static let timeToLive = Nanoseconds.seconds(30)

    var core: SupervisorCore
    private var effects = Inbox()
    private var random: SeededGenerator
    private var clients: [ConnectionToken] = []
    private var workers: [Worker] = []
    private var asks: [Int: Ask] = [:]
    private var open: Set<Int> = []
    private var origins: [Origin] = []
    private var moment = 0
    private var barrier = 0
    private var asked = 0
    /// Workers answer by the model they are asked for, where one is named.
    private let isObedient: Bool
    private(set) var words: [String: Int] = [:]
    private var violation: String?

    init(seed: UInt64, without removed: Guard? = nil) {
        var random = SeededGenerator(seed: seed)
        var configuration = Configuration()
        configuration.pools[0].minWorkers = 3
        configuration.pools[0].maxWorkers = 3
        configuration.restart.maxDeaths = 1000
        configuration.restart.backoffMax = .milliseconds(200)
        configuration.health.interval = .seconds(36_000)
        configuration.cache.embeddingCacheSize = [3, 1000].randomElement(using: &random) ?? 3
        configuration.cache.embeddingCacheTTL = Self.timeToLive
        self.isObedient = Bool.random(using: &random)
        self.random = random
        self.core = SupervisorCore(
            configuration, identity: .init(pid: 1, uid: 1, socketPath: "/run/s.sock"),
            now: Instant(nanoseconds: .seconds(1000)), wallClock: 0, seed: seed)
        self.core.removedGuard = removed
    }

    private mutating func fail(_ what: String) { self.violation = self.violation ?? what }
    private mutating func roll(_ range: Range<Int>) -> Int { Int.random(in: range, using: &self.random) }

    /// - Returns: the first promise that was broken; nil when all held.
    mutating func run(steps: Int = 300) -> String? {
        self.core.start(&self.effects)
        for uid in [1, 1, 2] {
            if let client = self.core.connectionOpened(Peer(pid: 1, uid: UInt32(uid))) {
                self.clients.append(client)
            }
        }
        self.settle()
        for _ in 0..<3 { self.bringUpAny() }
        for _ in 0..<steps where self.violation == nil {
            self.step()
            self.endTick()
            for id in self.open.sorted() {
                if let ask = self.asks[id], ask.deadline <= self.core.now {
                    self.fail("P1: \(id) is not answered at its deadline")
                }
            }
        }
        self.pass(.seconds(1200))
        if !self.open.isEmpty { self.fail("P1: \(self.open.sorted()) were never answered") }
        if self.core.requests.heldBytes > 0, self.core.requests.count == 0 {
            self.fail("bytes of nobody are held")
        }
        return self.violation
    }

    private mutating func step() {
        self.pass(.milliseconds(Int64(self.roll(0..<100))))
        switch self.roll(0..<100) {
        case 0..<42: self.ask()
        case 42..<80: self.reply()
        case 80..<83:
            self.receive(0, #"{"jsonrpc":"2.0","method":"cache.clear","params":{"cache_type":"embedding"}}"#);
            self.noteClear()
        case 83..<87: self.put()
        case 87..<90: self.kill()
        case 90..<93: self.changeModel()
        case 93..<95: self.cancel()
        case 95: self.pass(.seconds(Int64(self.roll(1..<40))))
        default: self.bringUpAny()
        }
    }

    private mutating func noteClear() {
        self.moment += 1
        self.barrier = self.moment
    }

    private mutating func pass(_ duration: Nanoseconds) {
        self.core.advance(to: self.core.now.advanced(by: duration), wallClock: 0, &self.effects)
        self.endTick()
    }

    private mutating func endTick() {
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        self.core._checkInvariants()
        self.settle()
    }

    // MARK: Clients

    private mutating func ask() {
        self.moment += 1
        let client = self.roll(0..<3)
        let use = self.roll(0..<10) == 0 ? ["bypass", "refresh"][self.roll(0..<2)] : "use"
        let isPrivate = self.roll(0..<6) == 0
        let timeout = self.roll(20..<3000)
        let ask = Ask(
            client: client, texts: (0..<self.roll(1..<6)).map { _ in self.roll(0..<6) },
            model: self.roll(0..<4) == 0 ? self.roll(0..<2) : nil,
            privateTo: isPrivate ? (client == 2 ? 2 : 1) : nil, barrier: self.barrier, wantsNew: use != "use",
            arrivedAt: self.moment, deadline: self.core.now.advanced(by: .milliseconds(Int64(timeout))))
        let id = self.asked
        self.asked += 1
        self.asks[id] = ask
        self.open.insert(id)
        let input = ask.texts.map { "\"t\($0)\"" }.joined(separator: ",")
        let model = ask.model.map { ",\"model\":\"m\($0)\"" } ?? ""
        self.receive(
            client,
            #"{"jsonrpc":"2.0","id":\#(id),"method":"embedding.create","params":{"input":[\#(input)]\#(model)},"#
                + #""metadata":{"request_id":"\#(id)","cache":"\#(use)","timeout_ms":\#(timeout),"#
                + #""cache_scope":"\#(isPrivate ? "private" : "shared")"}}"#)
    }

    private mutating func receive(_ client: Int, _ line: String) {
        let token = self.clients[client]
        Array(line.utf8).withUnsafeBytes { self.core.received($0, from: token, &self.effects) }
    }

    private mutating func cancel() {
        guard let id = self.open.sorted().randomElement(using: &self.random), let ask = self.asks[id] else {
            return
        }
        self.receive(ask.client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(id)}}"#)
    }

    /// A client reads a line.
    private mutating func take(_ line: [UInt8]) {
        guard let message = try? JSONValue(parsing: line),
            let id = message["id"]?.integerValue.map({ Int($0) }),
            let ask = self.asks[id]
        else { return }
        guard self.open.remove(id) != nil else { return self.fail("P1: a second answer to \(id)") }
        self.words[message["metadata"]?["cache"]?.stringValue ?? "", default: 0] += 1
        guard let result = message["result"] else {
            let code = message["error"]?["code"]?.integerValue ?? 0
            self.words["\(code)", default: 0] += 1
            return
        }
        guard let model = result["model"]?.stringValue?.dropFirst(),
            let vectors = result["embeddings"]?.arrayValue,
            vectors.count == ask.texts.count
        else { return self.fail("P2: \(id) asked for \(ask.texts.count) vectors: \(result.text)") }
        if self.isObedient, let asked = ask.model, "\(asked)" != model {
            self.fail("P2: \(id) got model \(model)")
        }
        for (text, vector) in zip(ask.texts, vectors) {
            let numbers = vector.arrayValue?.compactMap { $0.doubleValue.map { Int($0) } } ?? []
            guard numbers.count == 3, numbers[0] == text else {
                self.fail("P2: \(id) got \(vector.text) for text \(text)")
                continue
            }
            if "\(numbers[1])" != model { self.fail("P14: \(id) got vectors of two models") }
            self.judge(ask, id, self.origins[numbers[2]])
        }
    }

    private mutating func judge(_ ask: Ask, _ id: Int, _ origin: Origin) {
        if origin.moment <= ask.barrier { self.fail("P14: \(id) got a vector from before the last clear") }
        if origin.privateTo != ask.privateTo { self.fail("P14: \(id) got another user's vector") }
        if ask.wantsNew, origin.moment < ask.arrivedAt { self.fail("P14: \(id) wanted new vectors") }
        if self.core.now.duration(since: origin.repliedAt) >= Self.timeToLive + .seconds(3) {
            // Three seconds: what was found may have waited for the rest as long as its caller did.
            self.fail("P14: \(id) got an expired vector")
        }
    }

    // MARK: Workers

    private mutating func settle() {
        while !self.effects.isEmpty {
            let effects = self.effects
            self.effects = Inbox()
            for spawn in effects.spawns { self.workers.append(Worker(token: spawn.worker)) }
            for (worker, line) in effects.toWorkers { self.hear(worker, line) }
            for line in effects.toClients { self.take(line) }
        }
    }

    private mutating func hear(_ token: WorkerToken, _ line: [UInt8]) {
        guard let message = try? JSONValue(parsing: line),
            let index = self.workers.firstIndex(where: { $0.token == token })
        else { return }
        if message["method"] == "$/cancelRequest" {
            let number = message["params"]?["id"]?.integerValue
            self.workers[index].calls.removeAll { $0.number == number }
            return
        }
        guard message["method"] == "embedding.create", let number = message["id"]?.integerValue else {
            return
        }
        self.moment += 1
        let texts = (message["params"]?["input"]?.arrayValue ?? []).compactMap {
            $0.stringValue.flatMap { Int($0.dropFirst()) }
        }
        if Set(texts).count != texts.count { self.fail("a text is asked for twice: \(texts)") }
        self.workers[index].calls.append(
            Work(
                number: number, texts: texts,
                model: message["params"]?["model"]?.stringValue.flatMap { Int($0.dropFirst()) },
                leader: message["metadata"]?["request_id"]?.stringValue.flatMap { Int($0) } ?? 0,
                moment: self.moment))
    }

    private mutating func write(_ worker: WorkerToken, _ line: String) {
        Array(line.utf8).withUnsafeBytes { self.core.workerWrote($0, worker, &self.effects) }
    }

    private mutating func reply() {
        let busy = self.workers.indices.filter { !self.workers[$0].calls.isEmpty }
        guard let index = busy.randomElement(using: &self.random) else { return }
        let worker = self.workers[index]
        let work = self.workers[index].calls.remove(at: self.roll(0..<worker.calls.count))
        let model = (self.isObedient ? work.model : nil) ?? worker.model
        self.origins.append(
            Origin(
                moment: work.moment, privateTo: self.asks[work.leader]?.privateTo, repliedAt: self.core.now))
        var vectors = work.texts.map { "[\($0),\(model),\(self.origins.count - 1)]" }
        switch self.roll(0..<20) {
        case 0: vectors.removeLast()
        case 1: vectors[0] = "[]"
        case 2:
            return self.write(
                worker.token, #"{"jsonrpc":"2.0","id":\#(work.number),"error":{"code":4002,"message":"no"}}"#)
        default: break
        }
        self.write(
            worker.token,
            #"{"jsonrpc":"2.0","id":\#(work.number),"result":{"model":"m\#(model)","embeddings":"#
                + "[\(vectors.joined(separator: ","))]}}")
    }

    private mutating func put() {
        guard let worker = self.workers.filter(\.isReady).randomElement(using: &self.random) else { return }
        self.moment += 1
        self.origins.append(Origin(moment: self.moment, privateTo: nil, repliedAt: self.core.now))
        let (text, model) = (self.roll(0..<6), self.roll(0..<2))
        self.write(
            worker.token,
            #"{"jsonrpc":"2.0","method":"embedding_cache.put","params":{"model":"m\#(model)","#
                + #""texts":["t\#(text)"],"embeddings":[[\#(text),\#(model),\#(self.origins.count - 1)]]}}"#)
    }

    /// The worker's command stays; what answers behind it is another model now.
    private mutating func changeModel() {
        let index = self.roll(0..<self.workers.count)
        self.workers[index].model = 1 - self.workers[index].model
        if self.workers[index].isReady, self.roll(0..<2) == 0 {
            self.write(
                self.workers[index].token,
                #"{"jsonrpc":"2.0","method":"worker.capabilities","params":{"embedding_model":"m\#(self.workers[index].model)"}}"#
            )
        }
    }

    private mutating func kill() {
        let ready = self.workers.indices.filter { self.workers[$0].isReady }
        guard let index = ready.randomElement(using: &self.random) else { return }
        let worker = self.workers.remove(at: index)
        self.core.workerExited(worker.token, .signaled(9), &self.effects)
    }

    private mutating func bringUpAny() {
        guard let index = self.workers.indices.first(where: { !self.workers[$0].isReady }) else { return }
        let token = self.workers[index].token
        self.core.workerSpawned(token, pid: Int32(token.index) + 100, &self.effects)
        self.workers[index].isReady = true
        let check = self.effects.toWorkers.last { $0.worker == token }
        let number = check.flatMap { try? JSONValue(parsing: $0.line)["id"]?.integerValue } ?? 0
        self.write(
            token,
            #"{"jsonrpc":"2.0","id":\#(number),"result":{"status":"healthy","capabilities":{"max_concurrency":3,"cancel":true}}}"#
        )
        self.endTick()
    }
}
