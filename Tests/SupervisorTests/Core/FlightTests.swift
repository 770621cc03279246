import Protocol
import Testing

@testable import Supervisor

/// Equal calls in flight share one call to a worker (the table in `Flight`).
@Suite struct FlightTests {
    typealias Failure = Scenario.Failure

    @Test func shareOneCallAndEachGetsItsOwnAnswer() throws {
        let scenario = Scenario.caching()
        let clients = try (0..<3).map { _ in try scenario.connect() }
        for (index, client) in clients.enumerated() { scenario.ask(client, 10 + index) }
        #expect(scenario.sent == 1)
        #expect(scenario.core.requests.inFlight == 1)
        scenario.pass(.milliseconds(20))
        scenario.send(
            clients[0],
            #"[{"jsonrpc":"2.0","id":"a","method":"rag.execute","params":{"query":"q"},"metadata":{}},"#
                + #"{"jsonrpc":"2.0","id":"b","method":"rag.execute","params":{"query":"q"}}]"#)
        scenario.pass(.milliseconds(10))
        try scenario.replyToOpenCall()
        let words = ["miss", "coalesced", "coalesced"]
        for (index, client) in clients.enumerated() {
            let answer = scenario.take(client)[0]
            #expect(answer["id"] == .integer(10 + index) && answer["result"] == "done")
            #expect(answer["metadata"]?["cache"] == .string(words[index]))
            #expect(answer["metadata"]?["attempts"] == 1)
            #expect(answer["metadata"]?["processing_time_ms"]?.doubleValue == 30)
        }
        #expect(scenario.core.requests.count == 0)
        #expect(scenario.figure("coalesced") == 4 && scenario.figure("misses") == 1)
    }

    @Test func answersABatchOfEqualCallsAtOnce() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        let call = #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":[]}"#
        scenario.send(client, "[\(call),\(call)]")
        try scenario.replyToOpenCall()
        #expect(try scenario.answer(client).arrayValue?.count == 2)
    }

    @Test func takesNoPlaceInTheQueue() throws {
        let scenario = Scenario.caching(workers: 1) { $0.loadBalancer.queueSize = 1 }
        let client = try scenario.connect()
        for id in 0..<8 { scenario.call(client, id) }
        for id in 0..<5 { scenario.ask(client, 10 + id) }
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.core.requests.queued(in: 0) == 1)
        scenario.ask(client, 20, "another")
        #expect(try scenario.error(client) == Failure(2002, "queue_full"))
    }

    @Test func countsForTheLimitOfItsConnection() throws {
        let scenario = Scenario.caching { $0.limits.inFlightPerConnection = 3 }
        let client = try scenario.connect()
        for id in 0..<4 { scenario.ask(client, id) }
        #expect(try scenario.error(client) == Failure(2003, "too_many_in_flight"))
        try scenario.replyToOpenCall()
        #expect(scenario.take(client).count == 3)
    }

    // MARK: Those who leave

    @Test(arguments: ["cancel", "timeout", "disconnect"]) func goesOnForTheOthers(how: String) throws {
        let scenario = Scenario.caching()
        let (first, second) = (try scenario.connect(), try scenario.connect())
        scenario.ask(first, 1, metadata: ["timeout_ms": 100])
        scenario.ask(second, 2)
        let (worker, call) = try scenario.openCall()
        switch how {
        case "cancel":
            scenario.send(first, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
            #expect(try scenario.error(first) == Failure(-32800, "cancelled"))
        case "timeout":
            scenario.pass(.milliseconds(100))
            #expect(try scenario.error(first) == Failure(1002, "deadline_exceeded"))
        default:
            scenario.tick { core, effects in core.disconnected(first, &effects) }
        }
        #expect(!scenario.messages(to: worker).contains { $0["method"] == "$/cancelRequest" })
        scenario.reply(worker, call)
        #expect(try scenario.answer(second)["result"] == "done")
        #expect(try scenario.fetch(second) == "hit")
    }

    @Test func isCancelledAtTheWorkerWithTheLastAndKeepsItsSlotUntilThen() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        let (worker, call) = try scenario.openCall()
        for id in 1...2 {
            #expect(!scenario.messages(to: worker).contains { $0["method"] == "$/cancelRequest" })
            scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(id)}}"#)
        }
        #expect(scenario.messages(to: worker).contains { $0["method"] == "$/cancelRequest" })
        #expect(scenario.core.requests.inFlight(on: worker) == 1)
        scenario.ask(client, 3)
        #expect(scenario.sent == 2, "what is given up on is not joined")
        scenario.reply(worker, call)
        #expect(scenario.core.requests.inFlight(on: worker) == 0)
        #expect(scenario.slots[0].lateReplies + scenario.slots[1].lateReplies == 1)
    }

    @Test func leavesTheQueueWithTheLast() throws {
        let scenario = Scenario.caching(workers: 1) { $0.loadBalancer.queueTimeout = .seconds(5) }
        let client = try scenario.connect()
        for id in 0..<8 { scenario.call(client, id) }
        scenario.ask(client, 10)
        scenario.pass(.seconds(2))
        scenario.ask(client, 11)
        scenario.pass(.seconds(3))
        #expect(try scenario.error(client) == Failure(1001, "queue_timeout"), "each waits for 5 s of its own")
        #expect(scenario.core.requests.queued(in: 0) == 1)
        scenario.pass(.seconds(2))
        #expect(try scenario.error(client) == Failure(1001, "queue_timeout"))
        #expect(scenario.core.requests.queued(in: 0) == 0 && scenario.core.requests.flights.count == 0)
    }

    @Test func countsAsOneFaultOfTheWorkerWhenAllTimeOut() throws {
        let scenario = Scenario.caching { $0.timeouts.standard = .seconds(3) }
        let client = try scenario.connect()
        for id in 0..<9 { scenario.ask(client, id) }
        scenario.pass(.seconds(3))
        #expect(scenario.take(client).count { $0["error"]?["code"] == 1002 } == 9)
        #expect(!scenario.effects.events.contains("worker.ejected"))
    }

    // MARK: Deadlines and priorities

    @Test func tellsTheWorkerTheDeadlineOfTheLongestWaiter() throws {
        let scenario = Scenario.caching(workers: 1)
        let client = try scenario.connect()
        for id in 0..<8 { scenario.call(client, id) }
        scenario.ask(client, 10, metadata: ["timeout_ms": 1000])
        scenario.ask(client, 11, metadata: ["timeout_ms": 3000])
        scenario.ask(client, 12, metadata: ["timeout_ms": 9000])
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":12}}"#)
        try scenario.replyToOpenCall()
        let message = try #require(scenario.messages(to: scenario.workers[0]).last)
        #expect(message["metadata"]?["deadline_ms"] == 3000)
        #expect(message["params"] == ["query": "q"])
    }

    @Test func isAskedAgainWhenTheWorkerGaveUpBeforeALaterWaitersDeadline() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1, metadata: ["timeout_ms": 100])
        scenario.ask(client, 2)
        scenario.pass(.milliseconds(100))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        try scenario.failOpenCall(code: -32603)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.sent == 2)
        try scenario.failOpenCall(code: -32603)
        #expect(try scenario.answer(client)["error"]?["code"] == -32603)
    }

    @Test func isAskedAgainAlsoWhenItsFirstWorkerHadDied() throws {
        let scenario = Scenario.caching(workers: 3)
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id, metadata: ["timeout_ms": 100]) }
        scenario.exit(try scenario.openCall().worker)
        scenario.ask(client, 3)
        scenario.pass(.milliseconds(100))
        #expect(scenario.take(client).count == 2)
        try scenario.failOpenCall()
        #expect(scenario.sent == 3)
        try scenario.replyToOpenCall()
        #expect(try scenario.answer(client)["id"] == 3)
    }

    @Test func isAsUrgentAsTheMostUrgentWhoWaits() throws {
        let scenario = Scenario.caching(workers: 1)
        let client = try scenario.connect()
        for id in 0..<8 { scenario.call(client, id) }
        scenario.ask(client, 10, metadata: ["priority": "low"])
        scenario.call(client, 11, params: ["normal": true])
        scenario.ask(client, 12, metadata: ["priority": "high"])
        try scenario.replyToOpenCall()
        #expect(scenario.messages(to: scenario.workers[0]).last?["params"] == ["query": "q"])
    }

    // MARK: Who does not join

    @Test func isNotJoinedByWhoWantsSomethingElse() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        let others: [[String: JSONValue]] = [
            ["cache": "bypass"], ["cache": "refresh"], ["cache_scope": "private"],
        ]
        for (index, metadata) in others.enumerated() {
            scenario.ask(client, 2, metadata: metadata)
            #expect(scenario.sent == 2 + index)
        }
    }

    @Test func isOpenNoMoreWhenARefreshIsUnderWay() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        let old = try scenario.openCall()
        scenario.ask(client, 2, metadata: ["cache": "refresh"])
        scenario.ask(client, 3)
        #expect(scenario.sent == 2, "the third joins the refresh")
        let new = try scenario.openCall(old == scenario.openCall(0) ? 1 : 0)
        scenario.reply(new.worker, new.call, "new")
        #expect(scenario.take(client).map { $0["id"] } == [2, 3])
        scenario.reply(old.worker, old.call, "old")
        #expect(try scenario.answer(client)["result"] == "old")
        scenario.ask(client, 4)
        #expect(try scenario.answer(client)["result"] == "new", "what began earlier does not replace it")
    }

    // MARK: Errors and deaths

    @Test func givesAnErrorToAllAndStoresNothing() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for id in 1...3 { scenario.ask(client, id) }
        try scenario.failOpenCall(code: -32602)
        #expect(scenario.take(client).map { $0["error"]?["code"] } == [-32602, -32602, -32602])
        #expect(scenario.figure("entries") == 0)
    }

    @Test(arguments: ["rag.execute", "job.cached"]) func isLedOnceMoreWhenItsWorkerDies(method: String) throws
    {
        let scenario = Scenario.caching(workers: 3) { $0.cache.cacheableMethods = ["job.cached"] }
        let client = try scenario.connect()
        for id in 1...3 { scenario.call(client, id, method, metadata: [:]) }
        scenario.exit(try scenario.openCall().worker)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.sent == 2)
        try scenario.replyToOpenCall()
        let answers = scenario.take(client)
        #expect(answers.map { $0["result"] } == ["done", "done", "done"])
        #expect(answers.allSatisfy { $0["metadata"]?["attempts"] == 2 })
    }

    @Test func failsForAllWhenASecondWorkerDies() throws {
        let scenario = Scenario.caching(workers: 3)
        let (operatorClient, other) = (try scenario.connect(), try scenario.connect(uid: 6))
        for client in [operatorClient, other] { scenario.ask(client, 1) }
        for _ in 0..<2 { scenario.exit(try scenario.openCall().worker) }
        let answers = [try scenario.answer(operatorClient), try scenario.answer(other)]
        #expect(answers.allSatisfy { $0["error"]?["code"] == 2001 })
        #expect(answers.map { $0["error"]?["data"]?["stderr_tail"] != nil } == [true, false])
        #expect(scenario.sent == 2 && scenario.core.requests.count == 0)
        for client in [operatorClient, other] {
            scenario.ask(client, 2)
            #expect(try scenario.error(client) == Failure(2003, "poison_request"), "for all of them")
        }
    }

    @Test func isNotRetriedForASingleCallerWhereTheMethodMayNotBe() throws {
        let scenario = Scenario.caching { $0.cache.cacheableMethods = ["job.cached"] }
        let client = try scenario.connect()
        scenario.call(client, 1, "job.cached")
        scenario.exit(try scenario.openCall().worker)
        #expect(try scenario.error(client) == Failure(2001, "worker_crashed"))
    }

    @Test func isLedAgainAlsoBeyondTheRetryBudget() throws {
        let scenario = Scenario.caching { $0.retry.budgetMin = 0 }
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        scenario.exit(try scenario.openCall().worker)
        #expect(scenario.take(client).isEmpty && scenario.sent == 2)
    }

    @Test func isToldThatNoWorkerIsLeft() throws {
        let scenario = Scenario.caching(workers: 1) { $0.restart.maxDeaths = 1 }
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(1))
        #expect(scenario.take(client).map { $0["error"]?["code"] } == [1001, 1001])
        #expect(scenario.core.requests.count == 0)
    }

    // MARK: Stopping

    @Test func isAnsweredDuringAStopWhichARefreshDoesNotHoldUp() throws {
        let scenario = Scenario.caching { $0.cache.staleWhileRevalidate = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, "old") == "miss")
        scenario.pass(.seconds(600))
        scenario.ask(client, 1, "old")
        _ = scenario.take(client)
        for id in 2...3 { scenario.ask(client, id, "q") }
        scenario.tick { core, effects in core.stop(reason: "test", &effects) }
        #expect(scenario.effects.closedInputs.isEmpty)
        let call = try #require(
            scenario.workers.lazy.flatMap { worker in
                scenario.messages(to: worker).filter { $0["params"] == ["query": "q"] }.map { (worker, $0) }
            }.first)
        scenario.reply(call.0, call.1["id"]?.integerValue)
        #expect(scenario.take(client).count == 2)
        #expect(scenario.effects.closedInputs.count == 2)
    }

    @Test func isToldThatTheSupervisorStops() throws {
        let scenario = Scenario.caching { $0.timeouts.shutdownGrace = .seconds(1) }
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        scenario.tick { core, effects in core.stop(reason: "test", &effects) }
        scenario.pass(.seconds(1))
        let reasons = scenario.take(client).map { $0["error"]?["data"]?["reason"] }
        #expect(reasons == ["shutting_down", "shutting_down"])
        #expect(scenario.core.requests.flights.count == 0)
    }

    // MARK: Their guards

    @Test func goesTwiceOnlyWithoutTheGuard() throws {
        let scenario = Scenario.caching()
        scenario.core.removedGuard = .singleFlight
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        #expect(scenario.sent == 2)
    }

    @Test func isLeftAtTheWorkerOnlyWithoutTheGuard() throws {
        let scenario = Scenario.caching()
        scenario.core.removedGuard = .flightBound
        let client = try scenario.connect()
        scenario.ask(client, 1, metadata: ["timeout_ms": 10])
        scenario.pass(.milliseconds(10))
        let worker = try scenario.openCall().worker
        #expect(!scenario.messages(to: worker).contains { $0["method"] == "$/cancelRequest" })
    }
}
