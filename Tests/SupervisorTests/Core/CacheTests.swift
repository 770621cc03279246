import Protocol
import Testing

@testable import Supervisor

/// Responses that are given to others who ask the same (promises, "Caches").
@Suite struct CacheTests {
    typealias Failure = Scenario.Failure

    // MARK: What is the same

    @Test(arguments: [
        #"{"technique":"bm25","options":{"top_k":10}}"#,
        #"{ "options": {"top_k": 1e1}, "technique": "bm25" }"#,
        #"{"technique":"\u0062m25","options":{"top_k":10.0}}"#,
    ]) func areGivenHoweverTheQuestionIsSpelled(params: String) throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"bm25","options":{"top_k":10}}}"#
        )
        try scenario.replyToOpenCall(["answer": 42])
        #expect(try scenario.answer(client) == ["jsonrpc": "2.0", "id": 1, "result": ["answer": 42]])
        scenario.send(
            client,
            #"{"metadata":{},"id":"x","params":\#(params),"method":"rag.\u0065xecute","jsonrpc":"2.0"}"#)
        let answer = try scenario.answer(client)
        #expect(answer["id"] == "x" && answer["result"] == ["answer": 42])
        #expect(answer["metadata"]?["cache"] == "hit")
        #expect(answer["metadata"]?["worker_id"] == .null && answer["metadata"]?["attempts"] == 0)
        #expect(scenario.sent == 1)
        #expect(scenario.core.requests.count == 0)
    }

    @Test(arguments: [
        (#""rag.execute""#, #","params":{"query":"other"}"#), (#""rag.execute""#, #","params":{}"#),
        (#""rag.execute""#, #","params":[]"#), (#""rag.execute""#, ""),
        (#""rag.execute2""#, #","params":{"query":"q"}"#),
    ]) func areNotGivenToOtherQuestions(method: String, params: String) throws {
        let scenario = Scenario.caching { $0.cache.cacheableMethods = ["rag.execute2"] }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":\#(method)\#(params),"metadata":{}}"#)
        #expect(scenario.sent == 2)
        try scenario.replyToOpenCall()
        #expect(try scenario.word(client) == "miss")
    }

    @Test func areTheUsersOwnWhenTheyArePrivate() throws {
        let scenario = Scenario.caching()
        let (mine, other) = (try scenario.connect(uid: 5), try scenario.connect(uid: 6))
        let own: [String: JSONValue] = ["cache_scope": "private"]
        #expect(try scenario.fetch(mine, result: "mine", metadata: own) == "miss")
        #expect(try scenario.fetch(mine, metadata: own) == "hit")
        #expect(try scenario.fetch(other, metadata: own) == "miss")
        #expect(try scenario.fetch(other) == "miss", "shared is another matter")
        #expect(try scenario.fetch(mine) == "hit")
    }

    // MARK: What is not cached

    @Test(arguments: [
        #""job.run","params":{}"#, #""rag.execute","params":{"a":1,"a":2}"#,
        #""rag.execute","params":{"a":"\ud800"}"#, #""rag.stream","params":{}"#, #""health.check""#,
        #""metrics.get""#,
    ]) func bypassWhatCannotBeCached(call: String) throws {
        let scenario = Scenario.caching {
            $0.cache.cacheableMethods = ["rag.stream", "health.check", "metrics.get"]
        }
        let client = try scenario.connect()
        for sent in 1...2 {
            scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":\#(call),"metadata":{}}"#)
            #expect(scenario.sent == sent)
            try scenario.replyToOpenCall()
            let answer = try #require(scenario.stream(client).answers.first)
            #expect(answer["metadata"]?["cache"] == "bypass")
        }
    }

    @Test func bypassParamsOfMoreThan64KiB() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        let large = String(repeating: "x", count: 66_000)
        for _ in 0..<2 { #expect(try scenario.fetch(client, large) == "bypass") }
    }

    @Test(arguments: [0, 1]) func bypassWhereTheCacheIsOff(dimension: Int) throws {
        let scenario = Scenario.caching {
            if dimension == 0 { $0.cache.responseCacheSize = 0 } else { $0.cache.responseCacheBytes = 0 }
        }
        let client = try scenario.connect()
        for _ in 0..<2 { #expect(try scenario.fetch(client) == "bypass") }
    }

    @Test func passNotificationsOn() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.send(client, #"{"jsonrpc":"2.0","method":"rag.execute","params":{"query":"q"}}"#)
        let heard = scenario.workers.flatMap { scenario.messages(to: $0) }
        #expect(heard.count { $0["method"] == "rag.execute" } == 2)
    }

    @Test(arguments: [-32603, -32602]) func areNeverErrors(code: Int) throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for _ in 0..<2 {
            scenario.ask(client, 1)
            try scenario.failOpenCall(code: code)
            #expect(try scenario.answer(client)["error"]?["code"] == .integer(code))
        }
        #expect(scenario.sent == 2)
    }

    @Test func areNotLookedAtOrStoredWhereTheCallerSaysBypass() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, metadata: ["cache": "bypass"]) == "bypass")
        #expect(try scenario.fetch(client, result: "stored") == "miss")
        #expect(try scenario.fetch(client, metadata: ["cache": "bypass"]) == "bypass")
        #expect(scenario.sent == 3)
    }

    @Test func areReplacedByARefresh() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, result: "old") == "miss")
        #expect(try scenario.fetch(client, result: "new", metadata: ["cache": "refresh"]) == "miss")
        scenario.ask(client, 1)
        #expect(try scenario.answer(client)["result"] == "new")
    }

    @Test func areNotWhatWasAnsweredInChunks() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        let (worker, call) = try scenario.openCall()
        scenario.chunk(worker, call)
        scenario.ask(client, 2)
        #expect(scenario.sent == 2, "nor is it joined")
        scenario.reply(worker, call)
        _ = scenario.take(client)
        #expect(scenario.figure("entries") == 0)
    }

    // MARK: How long

    @Test func expireOnTheMonotonicClock() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(599))
        scenario.core.wallClock += 86_400_000
        #expect(try scenario.fetch(client) == "hit")
        scenario.pass(.seconds(1))
        #expect(try scenario.fetch(client) == "miss")
        #expect(scenario.figure("expirations") == 1)
    }

    @Test func areGivenStaleWhileOneRefreshIsUnderWay() throws {
        let scenario = Scenario.caching { $0.cache.staleWhileRevalidate = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, result: "old") == "miss")
        scenario.pass(.seconds(630))
        for _ in 0..<3 {
            scenario.ask(client, 1)
            let answer = try scenario.answer(client)
            #expect(answer["result"] == "old")
            #expect(answer["metadata"]?["cache"] == "stale" && answer["metadata"]?["age_ms"] == 630_000)
        }
        #expect(scenario.sent == 2, "one refresh")
        try scenario.replyToOpenCall("new")
        #expect(scenario.take(client).isEmpty)
        scenario.ask(client, 1)
        let answer = try scenario.answer(client)
        #expect(answer["result"] == "new" && answer["metadata"]?["cache"] == "hit")
    }

    @Test func areNotGivenStaleBeyondTheWindow() throws {
        let scenario = Scenario.caching { $0.cache.staleWhileRevalidate = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(660))
        #expect(try scenario.fetch(client) == "miss")
    }

    @Test func takeARefreshBackAtItsDeadline() throws {
        let scenario = Scenario.caching { $0.cache.staleWhileRevalidate = .seconds(1000) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(600))
        #expect(try scenario.isAnsweredStale(client))
        let worker = try scenario.openCall().worker
        scenario.pass(.seconds(60))
        #expect(scenario.messages(to: worker).contains { $0["method"] == "$/cancelRequest" })
        #expect(scenario.core.requests.flights.count == 0)
    }

    @Test func skipARefreshWhenTheQueueIsFull() throws {
        let scenario = Scenario.caching(workers: 1) {
            $0.cache.staleWhileRevalidate = .seconds(60)
            $0.loadBalancer.queueSize = 1
        }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(600))
        for id in 0..<9 { scenario.call(client, id) }
        #expect(try scenario.isAnsweredStale(client))
        #expect(scenario.core.requests.flights.count == 0)
    }

    /// What a fill may end with, and whether an old response takes its place.
    @Test(arguments: [(-32603, true), (5001, true), (-32602, false), (3001, false)])
    func standForAWorkersFaultWhereThatIsAllowed(code: Int, isReplaced: Bool) throws {
        let scenario = Scenario.caching { $0.cache.staleIfError = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, result: "old") == "miss")
        scenario.pass(.seconds(630))
        scenario.ask(client, 1)
        #expect(scenario.take(client).isEmpty, "only if there is an error")
        try scenario.failOpenCall(code: code)
        let answer = try scenario.answer(client)
        #expect((answer["result"] == "old") == isReplaced)
        #expect(answer["metadata"]?["cache"] == (isReplaced ? "stale" : "miss"))
    }

    @Test func standForErrorsOfOurOwn() throws {
        let scenario = Scenario.caching(workers: 1) {
            $0.cache.staleIfError = .seconds(60)
            $0.loadBalancer.queueSize = 1
        }
        let client = try scenario.connect()
        for query in ["a", "b", "c"] { #expect(try scenario.fetch(client, query) == "miss") }
        scenario.pass(.seconds(630))
        scenario.ask(client, 1, "a", metadata: ["timeout_ms": 10])
        scenario.pass(.milliseconds(10))
        #expect(try scenario.word(client) == "stale", "it timed out")
        for id in 0..<7 { scenario.call(client, 10 + id) }
        scenario.ask(client, 2, "b")
        scenario.ask(client, 3, "c")
        #expect(try scenario.word(client) == "stale", "the queue is full")
        scenario.ask(client, 4, "c", metadata: ["cache": "refresh"])
        #expect(try scenario.error(client) == Failure(2002, "queue_full"), "it wanted a new one")
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        #expect(try scenario.error(client) == Failure(-32800, "cancelled"))
    }

    @Test func doNotStandForTheErrorOfASlowConsumer() throws {
        let scenario = Scenario.caching { $0.cache.staleIfError = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(600))
        scenario.ask(client, 1)
        scenario.effects.outputBacklogs[client] = 32 << 20
        try scenario.replyToOpenCall("new")
        #expect(try scenario.error(client) == Failure(2003, "slow_consumer"))
        scenario.ask(client, 2)
        #expect(try scenario.error(client) == Failure(2003, "slow_consumer"), "nor is a hit given")
    }

    // MARK: Limits and figures

    @Test func countWhatTheyDo() throws {
        let scenario = Scenario.caching { $0.cache.responseCacheSize = 2 }
        let client = try scenario.connect()
        let names = scenario.status()["cache"]?["response"]?.objectValue?.map(\.name)
        #expect(
            names == [
                "entries", "bytes", "max_entries", "max_bytes", "hits", "expirations", "evictions",
                "refusals",
                "stale_hits", "misses", "coalesced",
            ])
        for query in ["a", "a", "b", "c"] { _ = try scenario.fetch(client, query) }
        for (name, value) in [("entries", 2), ("hits", 1), ("misses", 3), ("evictions", 1)] {
            #expect(scenario.figure(name) == .integer(value), "\(name)")
        }
    }

    @Test func takeNewLimitsAtAReload() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for query in ["a", "b", "c"] { _ = try scenario.fetch(client, query) }
        var changed = scenario.core.configuration
        changed.cache.responseCacheSize = 1
        scenario.effects.configuration = .success(changed)
        scenario.call(client, 1, "supervisor.reload")
        #expect(scenario.figure("entries") == 1)
        #expect(scenario.figure("max_entries") == 1)
    }
}

extension Scenario {
    /// Asks, and says whether the answer was stale.
    fileprivate func isAnsweredStale(_ client: ConnectionToken) throws -> Bool {
        _ = self.take(client)
        self.ask(client, 98)
        return try self.word(client) == "stale"
    }
}
