import Protocol
import Testing

@testable import Supervisor

/// `request.slow`: which calls are logged as slow, and where their time went.
@Suite struct SlowCallTests {
    private static func scenario(workers: Int = 2, _ configure: (inout Configuration) -> Void = { _ in })
        -> Scenario
    {
        Scenario.ready(workers: workers, capabilities: ["max_concurrency": 1]) {
            $0.logging.slowRequest = .milliseconds(100)
            $0.loadBalancer.queueTimeout = 0
            $0.health.interval = .seconds(36_000)
            configure(&$0)
        }
    }

    private static func slow(_ scenario: Scenario) -> [[String: LogValue]] {
        scenario.effects.fields(of: "request.slow")
    }

    /// Answers the first open call.
    private static func reply(_ scenario: Scenario) throws {
        let (worker, call) = try scenario.openCall()
        scenario.reply(worker, call)
    }

    @Test func areLoggedWithTheirPhases() throws {
        let scenario = Self.scenario(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2, params: [1], metadata: ["request_id": "mine"])
        scenario.pass(.milliseconds(40))
        try Self.reply(scenario)  // 40 ms: not slow
        scenario.pass(.milliseconds(70))
        try Self.reply(scenario)
        let worker = scenario.core.workers[scenario.workers[0]].id
        #expect(
            Self.slow(scenario) == [
                [
                    "request_id": "mine", "method": "job.run", "worker_id": .string(worker),
                    "pool": "default",
                    "slot": 0, "total_ms": .number(110), "queue_ms": .number(40), "worker_ms": .number(70),
                    "cache": "bypass", "attempts": 1, "outcome": "ok", "left_out": 0,
                ]
            ])
    }

    @Test func areOnlyThoseThatTookLongerThanTheLimit() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.pass(.milliseconds(100))
        try Self.reply(scenario)
        #expect(Self.slow(scenario).isEmpty)
    }

    @Test func areNotLoggedUnlessAskedFor() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.pass(.seconds(50))
        try Self.reply(scenario)
        #expect(Self.slow(scenario).isEmpty)
    }

    @Test func nameTheErrorTheyEndedWith() throws {
        let scenario = Self.scenario { $0.timeouts.standard = .milliseconds(150) }
        let client = try scenario.connect()
        scenario.call(client, 1)
        let (worker, call) = try scenario.openCall()
        scenario.pass(.milliseconds(120))
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":-7,"message":"no"}}"#)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(150))
        #expect(Self.slow(scenario).map { $0["outcome"] } == ["-7", "1002"])
        #expect(scenario.take(client).count == 2)
    }

    @Test func thatWaitedInVainNameNoWorker() throws {
        let scenario = Self.scenario(workers: 1) { $0.loadBalancer.queueTimeout = .milliseconds(200) }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(200))
        let record = try #require(Self.slow(scenario).first)
        #expect(record["outcome"] == "1001" && record["worker_id"] == nil && record["pool"] == "default")
        #expect(
            record["attempts"] == 0 && record["queue_ms"] == .number(200) && record["worker_ms"] == .number(0)
        )
    }

    @Test func sayWhatTheCacheDidForThem() throws {
        let scenario = Scenario.caching { $0.logging.slowRequest = .milliseconds(100) }
        let client = try scenario.connect()
        scenario.ask(client, 1)
        scenario.ask(client, 2)
        scenario.pass(.milliseconds(120))
        try scenario.replyToOpenCall()
        scenario.ask(client, 3)
        #expect(Self.slow(scenario).map { $0["cache"] } == ["miss", "coalesced"], "a hit takes no time")
    }

    @Test func countTheirAttempts() throws {
        let scenario = Self.scenario { $0.retry.methods = ["job.run"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        let first = try scenario.openCall()
        scenario.pass(.milliseconds(80))
        scenario.exit(first.worker)
        scenario.pass(.milliseconds(30))
        try Self.reply(scenario)
        let record = try #require(Self.slow(scenario).first)
        #expect(
            record["attempts"] == 2 && record["total_ms"] == .number(110)
                && record["worker_ms"] == .number(30))
    }

    @Test func areNoCallsOfOperatorsThatWaitForWorkers() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.restart", params: ["rolling": true, "wait": true])
        scenario.pass(.seconds(700))
        #expect(!scenario.take(client).isEmpty)
        #expect(Self.slow(scenario).isEmpty)
    }

    @Test func areLoggedTenASecondAndTheOthersCounted() throws {
        let scenario = Self.scenario(workers: 1) { $0.pools[0].maxConcurrency = 1 }
        let client = try scenario.connect()
        for id in 0..<27 { scenario.call(client, id) }
        scenario.pass(.milliseconds(200))
        for _ in 0..<25 { try Self.reply(scenario) }
        #expect(Self.slow(scenario).map { $0["left_out"] } == Array(repeating: 0, count: 10))
        scenario.pass(.seconds(1))
        for _ in 0..<2 { try Self.reply(scenario) }
        #expect(Self.slow(scenario).dropFirst(10).map { $0["left_out"] } == [15, 0])
    }
}
