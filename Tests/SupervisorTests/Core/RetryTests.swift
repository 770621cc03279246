import Protocol
import Testing

@testable import Supervisor

/// Which calls are sent again, when, how many and where (promises, "Retry").
@Suite struct RetryTests {
    typealias Failure = Scenario.Failure

    /// A pool of two, the first of which has so many calls of an idempotent method and the second so many of
    /// another; then the first one dies.
    private static func deaths(lost: Int, elsewhere: Int) throws -> (
        scenario: Scenario, client: ConnectionToken
    ) {
        let scenario = Scenario.ready(workers: 2, capabilities: ["max_concurrency": 64])
        let client = try scenario.connect()
        scenario.core.pools[0].turn = 0
        for id in 0..<max(lost, elsewhere) {
            if id < lost {
                scenario.core.pools[0].turn = 0
                scenario.call(client, id, "rag.execute")
            }
            if id < elsewhere {
                scenario.core.pools[0].turn = 1
                scenario.call(client, 1000 + id, "job.run")
            }
        }
        #expect(scenario.calls(on: scenario.workers[0]).count == lost)
        #expect(scenario.calls(on: scenario.workers[1]).count == elsewhere)
        scenario.exit(scenario.workers[0])
        return (scenario, client)
    }

    @Test(arguments: [(4, 0, 3), (10, 5, 3), (10, 10, 4), (30, 20, 10), (50, 0, 10), (3, 50, 3)])
    func retriesAFifthOfTheCallsInFlightOrThree(lost: Int, elsewhere: Int, retried: Int) throws {
        let (scenario, client) = try Self.deaths(lost: lost, elsewhere: elsewhere)
        #expect(scenario.core.requests.retriesOpen == retried)
        #expect(scenario.take(client).count { $0["error"]?["code"] == 2001 } == lost - retried)
    }

    @Test func doesNotCountTheCallsThatWaitTowardsTheBudget() throws {
        let scenario = Scenario.ready(workers: 2, capabilities: ["max_concurrency": 5])
        let client = try scenario.connect()
        for id in 0..<100 { scenario.call(client, id, "rag.execute") }
        scenario.exit(scenario.workers[0])
        #expect(scenario.core.requests.retriesOpen == 3, "10 are in flight, 90 wait")
    }

    @Test func makesRoomInTheBudgetWhenARetryIsAnswered() throws {
        let (scenario, client) = try Self.deaths(lost: 4, elsewhere: 0)
        let other = scenario.workers[1]
        for call in scenario.calls(on: other) { scenario.reply(other, call) }
        #expect(scenario.take(client).count { $0["result"] == "done" } == 3)
        #expect(scenario.core.requests.retriesOpen == 0)
    }

    @Test func neverRetriesAnErrorReplyNorATimeout() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        let call = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.write(
            scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":-32603,"message":"x"}}"#)
        #expect(try scenario.answer(client)["error"]?["code"] == -32603)
        scenario.core.pools[0].turn = 0
        scenario.call(client, 2, "rag.execute", metadata: ["timeout_ms": 100])
        scenario.pass(.milliseconds(100))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        scenario.exit(scenario.workers[0])
        #expect(scenario.calls(on: scenario.workers[1]).isEmpty)
        #expect(scenario.take(client).isEmpty)
    }

    @Test func retriesWhatCouldNotBeWrittenToAWorker() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        scenario.tick { core, _ in core.inputFailed(scenario.workers[0]) }
        scenario.pass(.milliseconds(100))
        #expect(scenario.take(client).isEmpty)
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        #expect(try scenario.answer(client)["result"] == "done")
    }

    @Test func doesNotRetryAfterTheDeadline() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", metadata: ["timeout_ms": 50])
        // The exit is seen in the tick in which the deadline passes, before it.
        scenario.core.now = scenario.core.now.advanced(by: .milliseconds(50))
        scenario.exit(scenario.workers[0])
        #expect(try scenario.error(client) == Failure(2001, "worker_crashed"))
        #expect(scenario.calls(on: scenario.workers[1]).isEmpty)
    }

    @Test func waitsForAnotherWorkerAlsoWhenTheOthersAreGone() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.core.pools[0].turn = 1
        scenario.call(client, 2, "job.run")
        scenario.write(scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(number),"result":"#)
        scenario.exit(scenario.workers[1])
        #expect(try scenario.error(client) == Failure(2001, "worker_crashed"), "the neighbour's call")
        #expect(scenario.calls(on: scenario.workers[0]).count == 1, "not again to the one that failed it")
        scenario.pass(.milliseconds(100))
        scenario.makeReady()
        #expect(scenario.calls(on: scenario.workers[2]).count == 1)
    }

    @Test func sendsACallNoThirdTimeAfterTwoDeathsWhateverIsConfigured() throws {
        let scenario = Scenario.ready(workers: 3) { $0.retry.maxAttempts = 5 }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", metadata: [:])
        scenario.exit(scenario.workers[0])
        scenario.exit(scenario.workers[1])
        let answer = try scenario.answer(client)
        #expect(answer["error"]?["code"] == 2001)
        #expect(answer["metadata"]?["attempts"] == 2)
        #expect(scenario.calls(on: scenario.workers[2]).isEmpty)
    }

    // MARK: Its guards

    @Test func retriesBeyondTheBudgetOnlyWithoutItsGuard() throws {
        let scenario = Scenario.ready(workers: 2, capabilities: ["max_concurrency": 10])
        scenario.core.removedGuard = .retryBudget
        let client = try scenario.connect()
        for id in 0..<20 { scenario.call(client, id, "rag.execute") }
        scenario.exit(scenario.workers[0])
        #expect(scenario.core.requests.retriesOpen == 10)
    }

    @Test func retriesAgainAndAgainOnlyWithoutItsGuard() throws {
        let scenario = Scenario.ready(workers: 3)
        scenario.core.removedGuard = .retryOnce
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        for worker in scenario.workers.prefix(2) { scenario.exit(worker) }
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.calls(on: scenario.workers[2]).count == 1)
    }

    @Test func retriesOnTheSameWorkerOnlyWithoutItsGuard() throws {
        let scenario = Scenario.ready()
        scenario.core.removedGuard = .retryElsewhere
        let client = try scenario.connect()
        scenario.core.pools[0].turn = 1
        scenario.call(client, 1, "job.run")
        scenario.core.pools[0].turn = 0
        scenario.call(client, 2, "rag.execute")
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.write(scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(number),"result":"#)
        #expect(scenario.calls(on: scenario.workers[0]).count == 2)
    }
}
