import Protocol
import Testing

@testable import Supervisor

/// What makes stored responses count no more: clears, epochs, rollouts.
@Suite struct CacheForgettingTests {
    typealias Failure = Scenario.Failure

    private static func clear(_ scenario: Scenario, _ type: String? = nil) throws -> JSONValue? {
        let client = try scenario.connect()
        let params: JSONValue = type.map { ["cache_type": .string($0)] } ?? [:]
        scenario.call(client, 1, "cache.clear", params: params)
        scenario.answerClears()
        return try scenario.answer(client)["result"]?["cleared"]
    }

    // MARK: Clears

    @Test(arguments: [nil, "all", "response"]) func forgetsAllAtAClear(type: String?) throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for query in ["a", "b"] { _ = try scenario.fetch(client, query) }
        #expect(try Self.clear(scenario, type)?["response"] == 2)
        #expect(try Self.clear(scenario, type)?["response"] == 0, "also before they are swept")
        #expect(try scenario.fetch(client, "a") == "miss")
        #expect(try Self.clear(scenario, type)?["response"] == 1)
        #expect(scenario.effects.events.contains("cache.cleared"))
        scenario.pass(.milliseconds(10))
        #expect(scenario.figure("entries") == 0 && scenario.figure("bytes") == 0)
    }

    @Test func sweepsInSlicesWhatIsForgotten() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        let generation = scenario.core.pools[0].generation
        for number in 0..<3000 {
            let key = Array("\(number)".utf8)
            key.withUnsafeBytes {
                scenario.core.responses.put(key, $0, generation: generation, at: scenario.core.now)
            }
        }
        _ = try Self.clear(scenario)
        #expect(scenario.figure("entries") == 3000)
        scenario.pass(.milliseconds(1))
        let left = try #require(scenario.figure("entries")?.integerValue)
        #expect(left > 0 && left < 3000)
        #expect(try scenario.fetch(client, "new") == "miss")
        scenario.pass(.milliseconds(10))
        #expect(scenario.figure("entries") == 1)
        let (next, now) = (scenario.core.nextDeadline, scenario.core.now)
        #expect((next ?? .distantFuture).duration(since: now) > .milliseconds(100), "it is done")
    }

    @Test func leavesResponsesWhereAnotherTypeIsCleared() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        _ = try scenario.fetch(client)
        #expect(try Self.clear(scenario, "pipeline") == ["pipeline": 0])
        #expect(try scenario.fetch(client) == "hit")
        scenario.call(client, 1, "cache.clear", params: ["cache_type": "respnse"])
        #expect(try scenario.error(client) == Failure(-32602, "invalid_params"))
    }

    @Test func isForOperatorsOnly() throws {
        let scenario = Scenario.caching()
        let stranger = try scenario.connect(uid: 5)
        scenario.call(stranger, 1, "cache.clear")
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
    }

    @Test func neitherStoresNorJoinsWhatWasUnderWayAtAClear() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        _ = try Self.clear(scenario)
        scenario.ask(client, 2)
        #expect(scenario.sent == 2)
        let (old, new) = (try scenario.openCall(0), try scenario.openCall(1))
        scenario.reply(old.worker, old.call, "old")
        #expect(try scenario.answer(client)["result"] == "old", "whoever asked before gets it")
        scenario.ask(client, 3)
        #expect(scenario.sent == 2 && scenario.take(client).isEmpty)
        scenario.reply(new.worker, new.call, "new")
        #expect(scenario.take(client).map { $0["result"] } == ["new", "new"])
        #expect(try scenario.fetch(client) == "hit")
    }

    @Test func doesNotStandForAnErrorOnceItIsForgotten() throws {
        let scenario = Scenario.caching { $0.cache.staleIfError = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.pass(.seconds(600))
        scenario.ask(client, 1)
        _ = try Self.clear(scenario)
        try scenario.failOpenCall()
        #expect(try scenario.answer(client)["error"]?["code"] == -32603)
    }

    @Test func servesWhatIsForgottenOnlyWithoutTheGuard() throws {
        let scenario = Scenario.caching()
        scenario.core.removedGuard = .generation
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        _ = try Self.clear(scenario)
        #expect(try scenario.fetch(client) == "hit")
    }

    // MARK: Epochs

    @Test func forgetsAllWhenAWorkerDeclaresANewEpoch() throws {
        let scenario = Scenario.caching(workers: 1, epoch: "a")
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        #expect(try scenario.fetch(client) == "hit")
        scenario.ask(client, 1, "under way")
        scenario.declare(scenario.workers[0], epoch: "b")
        try scenario.replyToOpenCall()
        _ = scenario.take(client)
        #expect(try scenario.fetch(client) == "miss")
        #expect(try scenario.fetch(client, "under way") == "miss")
        scenario.declare(scenario.workers[0], epoch: "b")
        #expect(try scenario.fetch(client) == "hit", "the same again changes nothing")
    }

    /// Two workers of which the second has taken a new epoch; the next call goes to the first.
    private static func lagging() throws -> (scenario: Scenario, client: ConnectionToken) {
        let scenario = Scenario.caching(epoch: "a")
        let client = try scenario.connect()
        scenario.declare(scenario.workers[1], epoch: "b")
        scenario.core.pools[0].turn = 0
        return (scenario, client)
    }

    @Test func passesOnWhatAWorkerOfAnotherEpochAnswers() throws {
        let (scenario, client) = try Self.lagging()
        scenario.ask(client, 1)
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
        scenario.ask(client, 2)
        #expect(scenario.calls(on: scenario.workers[1]).count == 1, "it is not joined")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, "a")
        #expect(try scenario.answer(client)["result"] == "a")
        scenario.ask(client, 3)
        #expect(scenario.take(client).isEmpty, "nor stored")
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last, "b")
        #expect(scenario.take(client).map { $0["result"] } == ["b", "b"])
        #expect(try scenario.fetch(client) == "hit")
        #expect(scenario.sent == 2)
    }

    @Test func doesNotStoreWhatAWorkerBeganByAnotherEpoch() throws {
        let (scenario, client) = try Self.lagging()
        scenario.ask(client, 1)
        scenario.declare(scenario.workers[0], epoch: "b")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, "of which?")
        #expect(try scenario.answer(client)["result"] == "of which?")
        #expect(try scenario.fetch(client) == "miss")
    }

    @Test func goesBackToAnOlderEpochWhenNobodyDeclaresThePresentOne() throws {
        let (scenario, client) = try Self.lagging()
        scenario.core.pools[0].turn = 1
        #expect(try scenario.fetch(client, result: "b") == "miss")
        #expect(try scenario.fetch(client) == "hit")
        scenario.exit(scenario.workers[1])
        #expect(try scenario.fetch(client, result: "a") == "miss")
        #expect(try scenario.fetch(client) == "hit", "it is the pool's epoch now")
    }

    @Test func storesTheAnswersOfWorkersWithoutEpochs() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.exit(scenario.workers[0])
        #expect(try scenario.fetch(client) == "hit", "a death changes nothing")
    }

    @Test func storesWhatAnotherEpochAnswersOnlyWithoutTheGuard() throws {
        let (scenario, client) = try Self.lagging()
        scenario.core.removedGuard = .workerEpoch
        #expect(try scenario.fetch(client, result: "a") == "miss")
        #expect(try scenario.fetch(client) == "hit")
    }

    // MARK: Rollouts

    @Test func forgetsAllWhenAllWorkersAreExchanged() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.call(client, 1, "supervisor.restart", params: ["rolling": true])
        _ = scenario.take(client)
        #expect(try scenario.fetch(client, result: "of an old worker") == "miss")
        #expect(try scenario.fetch(client, result: "again") == "miss", "it is on its way out")
        for _ in 0..<2 {
            scenario.makeReady(Scenario.cacheable())
            for worker in scenario.workers where scenario.core.workers.contains(worker) {
                if scenario.core.workers[worker].life.departure != nil {
                    scenario.exit(worker, .exited(code: 0))
                }
            }
        }
        #expect(scenario.core.rollouts.isEmpty)
        #expect(try scenario.fetch(client) == "miss")
        #expect(try scenario.fetch(client) == "hit")
    }

    @Test func storesAgainWhenARolloutIsAborted() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.restart", params: ["rolling": true])
        _ = scenario.take(client)
        let newcomer = try #require(scenario.takeSpawns().last?.worker)
        scenario.tick { core, effects in core.spawnFailed(newcomer, reason: "no such file", &effects) }
        #expect(try scenario.fetch(client) == "miss")
        #expect(try scenario.fetch(client) == "hit")
    }

    @Test func keepsAllWhenOneWorkerIsExchanged() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        #expect(try scenario.fetch(client) == "miss")
        scenario.call(client, 1, "supervisor.restart", params: ["worker": "0"])
        _ = scenario.take(client)
        #expect(try scenario.fetch(client) == "hit")
    }
}

@Suite struct EpochHistoryTests {
    private static func epoch(_ word: String?) -> EpochHistory.Epoch { EpochHistory.Epoch(word) }

    @Test func takesWhatItHasNotSeenAmongTheLast64() {
        var history = EpochHistory()
        let areTaken = (0..<64).map { history.declare(Self.epoch("\($0)")) }
        #expect(areTaken.allSatisfy { $0 })
        let isOldestTaken = history.declare(Self.epoch("0"))
        #expect(!isOldestTaken, "it is the oldest of 64")
        #expect(history.present == Self.epoch("63"))
        let later = ["64", "0"].map { history.declare(Self.epoch($0)) }
        #expect(later == [true, true], "the oldest is forgotten for one more")
    }

    @Test func goesBackOnlyWhenNobodyReadyDeclaresThePresentOne() {
        var history = EpochHistory()
        for word in ["a", "b", "c"] { _ = history.declare(Self.epoch(word)) }
        let reviews = [["a", "c"], [], ["a", "b"]].map { history.review($0.map(Self.epoch)) }
        #expect(reviews == [false, false, true], "one declares it; nobody is ready; nobody declares it")
        #expect(history.present == Self.epoch("b"), "the latest of those declared")
        let isBack = history.review([Self.epoch("c")])
        #expect(isBack)
    }
}
