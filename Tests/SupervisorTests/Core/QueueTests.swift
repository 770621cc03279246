import Protocol
import Testing

@testable import Supervisor

/// In which order waiting calls get a worker, and which of them get none.
@Suite struct QueueTests {
    typealias Failure = Scenario.Failure

    /// One worker, kept busy by a call of a connection that asks nothing else.
    private static func busy(_ configure: (inout Configuration) -> Void = { _ in }) throws -> Scenario {
        let scenario = Scenario.ready(workers: 1, configure)
        scenario.call(try scenario.connect(), 0, "busy")
        return scenario
    }

    /// The worker finishes one call after another; returns the methods of those it got, in order.
    private static func drain(_ scenario: Scenario, step: Nanoseconds = .milliseconds(1)) -> [String] {
        let worker = scenario.workers[0]
        let before = scenario.messages(to: worker).count
        for _ in 0..<500 where scenario.core.requests.inFlight(on: worker) > 0 {
            scenario.pass(step)
            scenario.reply(worker, scenario.calls(on: worker).last)
        }
        return scenario.messages(to: worker)[before...].compactMap { $0["method"]?.stringValue }
            .filter { $0 != "health.check" || step == .milliseconds(1) }
    }

    private static func tell(_ scenario: Scenario, _ client: ConnectionToken, _ method: String) {
        scenario.send(client, #"{"jsonrpc":"2.0","method":"\#(method)"}"#)
    }

    @Test func sendsCallsByPriorityThenInOrder() throws {
        let scenario = try Self.busy()
        let client = try scenario.connect()
        scenario.call(client, 1, "low.1", metadata: ["priority": "low"])
        scenario.call(client, 2, "normal.1")
        scenario.call(client, 3, "high.1", metadata: ["priority": "high"])
        scenario.call(client, 4, "normal.2", metadata: ["priority": "normal"])
        scenario.call(client, 5, "high.2", metadata: ["priority": "high"])
        #expect(Self.drain(scenario) == ["high.1", "high.2", "normal.1", "normal.2", "low.1"])
    }

    @Test(arguments: ["health.check", "metrics.get"])
    func sendsWhatAsksAfterAWorkerAtHighPriority(method: String) throws {
        let scenario = try Self.busy()
        let client = try scenario.connect()
        scenario.call(client, 1, "normal")
        scenario.call(client, 2, method, metadata: ["priority": "low"])
        #expect(Self.drain(scenario) == [method, "normal"])
    }

    @Test func doesNotLetOneConnectionsCallsHoldUpAnothers() throws {
        let scenario = try Self.busy()
        let flood = try scenario.connect()
        let other = try scenario.connect()
        for id in 1...200 { scenario.call(flood, id, "flood") }
        scenario.call(other, 1, "single")
        #expect(Self.drain(scenario).prefix(3) == ["flood", "single", "flood"])
    }

    @Test func countsBatchesAndNotificationsAsTheirConnections() throws {
        let scenario = try Self.busy()
        let flood = try scenario.connect()
        let batch = try scenario.connect()
        let teller = try scenario.connect()
        for id in 1...4 { scenario.call(flood, id, "call") }
        scenario.send(
            batch,
            #"[{"jsonrpc":"2.0","id":1,"method":"batch.1"},{"jsonrpc":"2.0","id":2,"method":"batch.2"}]"#)
        Self.tell(scenario, teller, "told.1")
        Self.tell(scenario, teller, "told.2")
        #expect(
            Self.drain(scenario) == [
                "call", "batch.1", "told.1", "call", "batch.2", "told.2", "call", "call",
            ])
    }

    @Test func sendsALowCallAfterASecondAlthoughHighCallsKeepComing() throws {
        let scenario = try Self.busy()
        let (busy, patient) = (try scenario.connect(), try scenario.connect())
        let worker = scenario.workers[0]
        scenario.call(patient, 1, "low", metadata: ["priority": "low"])
        scenario.call(busy, 0, "high", metadata: ["priority": "high"])
        var wait = 0
        while scenario.messages(to: worker).last?["method"] != "low", wait < 5000 {
            wait += 100
            scenario.call(busy, wait, "high", metadata: ["priority": "high"])
            scenario.pass(.milliseconds(100))
            scenario.reply(worker, scenario.calls(on: worker).last)
        }
        #expect(wait == 1000)
    }

    @Test func refusesTheNewcomerWhateverItsPriorityWhenAllTogetherFillTheQueue() throws {
        let scenario = try Self.busy { $0.loadBalancer.queueSize = 3 }
        let client = try scenario.connect()
        for (id, priority) in ["low", "normal", "high"].enumerated() {
            scenario.call(client, id, metadata: ["priority": .string(priority)])
        }
        scenario.call(client, 9, metadata: ["priority": "high"])
        let answer = try scenario.answer(client)
        #expect(answer["id"] == 9)
        #expect(answer["error"]?["code"] == 2002)
        #expect(answer["error"]?["data"]?["queue_depth"] == 3)
    }

    @Test func givesAFreeSlotToACallThoughNoneMayWait() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 0 }
        let client = try scenario.connect()
        scenario.call(client, 1)
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
        scenario.call(client, 2)
        #expect(try scenario.error(client) == Failure(2002, "queue_full"))
    }

    @Test func doesNotLetANewCallPassThoseThatWaitAlready() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 9])
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        scenario.effects.inputBacklogs[worker] = 2 << 20
        scenario.call(client, 1, "first")
        scenario.effects.inputBacklogs[worker] = 0
        scenario.call(client, 2, "second")
        #expect(scenario.messages(to: worker).suffix(2).map { $0["method"] } == ["first", "second"])
    }

    @Test func makesRoomWithEveryCallThatExpiresOrIsCancelled() throws {
        let scenario = try Self.busy { $0.loadBalancer.queueSize = 2 }
        let (client, other) = (try scenario.connect(), try scenario.connect())
        scenario.call(client, 1, metadata: ["timeout_ms": 50, "priority": "low"])
        scenario.call(client, 2, metadata: ["priority": "high"])
        scenario.pass(.milliseconds(50))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        #expect(try scenario.error(client) == Failure(-32800, "cancelled"))
        for id in 1...2 { scenario.call(other, id, "other.\(id)") }
        #expect(scenario.take(other).isEmpty)
        #expect(Self.drain(scenario) == ["other.1", "other.2"])
    }

    @Test func forgetsTheCallsOfAConnectionThatIsGone() throws {
        let scenario = try Self.busy()
        let (client, other) = (try scenario.connect(), try scenario.connect())
        for id in 1...3 { scenario.call(client, id, "gone") }
        scenario.call(other, 1, "other")
        scenario.tick { $0.disconnected(client, &$1) }
        let next = try scenario.connect()
        scenario.call(next, 1, "next")
        #expect(Self.drain(scenario) == ["other", "next"])
    }

    // MARK: Retries

    /// Two workers with a call each; the first worker's reply to a call that may be retried cannot be read.
    private static func retrying() throws -> (scenario: Scenario, client: ConnectionToken) {
        let scenario = Scenario.ready { $0.retry.budgetMin = 9 }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: ["n": 1])
        scenario.call(client, 2, "busy")
        scenario.call(client, 3, "normal")
        scenario.call(client, 4, "high", metadata: ["priority": "high"])
        return (scenario, client)
    }

    private static func garble(_ scenario: Scenario, _ worker: WorkerToken) {
        let call = scenario.calls(on: worker).last ?? -1
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call)}"#)
    }

    @Test func doesNotHoldUpOthersForACallThatWaitsForAnotherWorker() throws {
        let (scenario, _) = try Self.retrying()
        let worker = scenario.workers[0]
        Self.garble(scenario, worker)
        #expect(scenario.messages(to: worker).last?["method"] == "high")
        scenario.reply(worker, scenario.calls(on: worker).last)
        #expect(scenario.messages(to: worker).last?["method"] == "normal")
        scenario.reply(worker, scenario.calls(on: worker).last)
        let fresh = try scenario.connect()
        scenario.call(fresh, 1, "fresh")
        #expect(scenario.messages(to: worker).last?["method"] == "fresh", "nor those that come later")
        #expect(scenario.core.requests.queued(in: 0) == 1)
    }

    @Test func sendsARetriedCallFirstInItsPriority() throws {
        let (scenario, client) = try Self.retrying()
        let other = scenario.workers[1]
        scenario.call(client, 5, "high", metadata: ["priority": "high"])
        Self.garble(scenario, scenario.workers[0])
        var methods: [String?] = []
        for _ in 0..<3 {
            scenario.reply(other, scenario.calls(on: other).last)
            methods.append(scenario.messages(to: other).last?["method"]?.stringValue)
        }
        #expect(methods == ["high", "rag.execute", "normal"])
    }

    /// Each of two workers lost a call that is to be tried on the other.
    @Test func givesEachOfTwoWorkersTheCallThatTheOtherLost() throws {
        let scenario = Scenario.ready { $0.retry.budgetMin = 9 }
        let client = try scenario.connect()
        let (first, second) = (scenario.workers[0], scenario.workers[1])
        scenario.call(client, 1, "rag.execute", params: ["n": 1])
        scenario.call(client, 2, "rag.execute", params: ["n": 2])
        scenario.call(client, 3, "waiting")
        Self.garble(scenario, first)
        #expect(scenario.messages(to: first).last?["method"] == "waiting")
        Self.garble(scenario, second)
        #expect(scenario.messages(to: second).last?["params"]?["n"] == 1)
        scenario.reply(first, scenario.calls(on: first).last)
        #expect(scenario.messages(to: first).last?["params"]?["n"] == 2)
    }
}
