import Protocol
import Testing

@testable import Supervisor

/// A core with a scripted world around it: workers and clients do what a test says, and nothing else happens.
final class Scenario {
    var core: SupervisorCore
    var effects = RecordedEffects()
    private var spawned = 0

    /// One pool of two workers that serves everything, unless `configure` says otherwise.
    init(_ configure: (inout Configuration) -> Void = { _ in }) {
        var configuration = Configuration()
        configuration.restart.jitter = 0
        configure(&configuration)
        self.core = SupervisorCore(
            configuration,
            identity: .init(
                pid: 77, uid: 1000, socketPath: "/run/s.sock", workerLimit: 64,
                connectionLimit: configuration.limits.connections),
            now: Instant(nanoseconds: .seconds(1000)), wallClock: 1_700_000_000_000, seed: 1)
        self.core.start(&self.effects)
        self.endTick()
    }

    /// A scenario whose workers are all ready.
    static func ready(
        workers: Int = 2, capabilities: JSONValue = [:], _ configure: (inout Configuration) -> Void = { _ in }
    ) -> Scenario {
        let scenario = Scenario {
            $0.pools[0].minWorkers = workers
            $0.pools[0].maxWorkers = workers
            configure(&$0)
        }
        scenario.makeReady(capabilities)
        return scenario
    }

    // MARK: Time

    func tick(_ event: (inout SupervisorCore, inout RecordedEffects) -> Void) {
        // A copy, so that an event may be described by what was recorded before.
        var effects = self.effects
        event(&self.core, &effects)
        self.effects = effects
        self.endTick()
    }

    private func endTick() {
        self.core.endTick(&self.effects)
        self.core.outputWasFlushed(&self.effects)
        self.core._checkInvariants()
    }

    /// Time passes; everything happens when it is due.
    func pass(_ duration: Nanoseconds) {
        let end = self.core.now.advanced(by: duration)
        while let next = self.core.nextDeadline, next <= end { self.advance(to: next) }
        self.advance(to: end)
    }

    private func advance(to time: Instant) {
        self.core.advance(to: time, wallClock: 1_700_000_000_000, &self.effects)
        self.endTick()
    }

    // MARK: Workers

    /// The processes started since the last time this was asked.
    func takeSpawns() -> [SpawnRequest] {
        defer { self.spawned = self.effects.spawns.count }
        return Array(self.effects.spawns[self.spawned...])
    }

    /// All processes that were started, the first one first.
    var workers: [WorkerToken] { self.effects.spawns.map(\.worker) }

    /// Brings all started processes up, and answers their first health check.
    func makeReady(_ capabilities: JSONValue = [:]) {
        for spawn in self.takeSpawns() { self.makeReady(spawn.worker, capabilities) }
    }

    func makeReady(_ worker: WorkerToken, _ capabilities: JSONValue = [:]) {
        self.tick { $0.workerSpawned(worker, pid: 100 + Int32(worker.index), &$1) }
        self.answerHealth(worker, ["status": "healthy", "capabilities": capabilities])
    }

    func answerHealth(_ worker: WorkerToken, _ result: JSONValue) {
        guard let check = self.messages(to: worker).last(where: { $0["method"] == "health.check" }),
            let id = check["id"]?.integerValue
        else {
            Issue.record("no health check was sent")
            return
        }
        self.write(worker, ["jsonrpc": "2.0", "id": .integer(id), "result": result])
    }

    /// Everything the worker was sent.
    func messages(to worker: WorkerToken) -> [JSONValue] {
        (self.effects.toWorkers[worker] ?? []).split(separator: 0x0A).map {
            (try? JSONValue(parsing: Array($0))) ?? "no JSON"
        }
    }

    /// The numbers of all clients' calls the worker was sent.
    func calls(on worker: WorkerToken) -> [Int64] {
        self.messages(to: worker).filter { $0["metadata"] != nil }.compactMap { $0["id"]?.integerValue }
    }

    func write(_ worker: WorkerToken, _ message: JSONValue) { self.write(worker, message.text) }

    func write(_ worker: WorkerToken, _ line: String) {
        Array(line.utf8).withUnsafeBytes { bytes in self.tick { $0.workerWrote(bytes, worker, &$1) } }
    }

    func reply(_ worker: WorkerToken, _ call: Int64?, _ result: JSONValue = "done") {
        self.write(worker, ["jsonrpc": "2.0", "id": call.map { .integer($0) } ?? .null, "result": result])
    }

    func exit(_ worker: WorkerToken, _ status: Supervisor.ExitStatus = .signaled(9)) {
        self.tick { $0.workerExited(worker, status, &$1) }
    }

    var slots: [WorkerSlot] { self.core.pools[0].slots }

    // MARK: Clients

    func connect(uid: UInt32 = 1000) throws -> ConnectionToken {
        let token = self.core.connectionOpened(Peer(pid: 1, uid: uid))
        return try #require(token)
    }

    func send(_ client: ConnectionToken, _ text: String) {
        Array(text.utf8).withUnsafeBytes { bytes in self.tick { $0.received(bytes, from: client, &$1) } }
    }

    func call(
        _ client: ConnectionToken, _ id: Int, _ method: String = "job.run", params: JSONValue? = nil,
        metadata: JSONValue? = nil
    ) {
        var members: [JSONValue.Member] = [
            .init("jsonrpc", "2.0"), .init("id", .integer(id)), .init("method", .string(method)),
        ]
        if let params { members.append(.init("params", params)) }
        if let metadata { members.append(.init("metadata", metadata)) }
        self.send(client, JSONValue.object(members).text)
    }

    /// What the client was sent since the last time this was asked.
    func take(_ client: ConnectionToken) -> [JSONValue] {
        defer { self.effects.toClients[client] = [] }
        return (self.effects.toClients[client] ?? []).map { (try? JSONValue(parsing: $0)) ?? "no JSON" }
    }

    /// The one answer the client was sent.
    func answer(_ client: ConnectionToken) throws -> JSONValue {
        let answers = self.take(client)
        try #require(answers.count == 1, "\(answers.map(\.text))")
        return answers[0]
    }

    func error(_ client: ConnectionToken) throws -> Failure {
        let answer = try self.answer(client)
        let error = try #require(answer["error"], "\(answer.text)")
        return Failure(code: error["code"]?.integerValue, reason: error["data"]?["reason"]?.stringValue)
    }

    struct Failure: Equatable {
        var code: Int64?
        var reason: String?
        init(code: Int64?, reason: String?) { (self.code, self.reason) = (code, reason) }
        init(_ code: Int64, _ reason: String) { (self.code, self.reason) = (code, reason) }
    }

    func status(forOperator: Bool = true) -> JSONValue {
        self.core.status(forOperator: forOperator, &self.effects)
    }
}
