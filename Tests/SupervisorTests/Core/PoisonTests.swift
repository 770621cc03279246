import Protocol
import Testing

@testable import Supervisor

/// Requests that cost two workers their lives (promises, "Retry").
@Suite struct PoisonTests {
    typealias Failure = Scenario.Failure

    private static let refused = Failure(2003, "poison_request")
    private static let params: JSONValue = ["query": "boom", "top_k": 10]

    /// Two workers with room for eight calls, and more that take their places.
    private static func scenario(_ configure: (inout Configuration) -> Void = { _ in }) -> Scenario {
        Scenario.ready(workers: 2, capabilities: ["max_concurrency": 8], configure)
    }

    /// Brings the pool back to two ready workers.
    private static func recover(_ scenario: Scenario) {
        scenario.pass(.seconds(1))
        scenario.makeReady(["max_concurrency": 8])
    }

    /// Makes a call and lets the worker that has it die, twice.
    private static func kill(
        _ scenario: Scenario, _ client: ConnectionToken, _ method: String = "rag.execute",
        params: JSONValue? = Self.params, neighbours: (first: Bool, second: Bool) = (false, false)
    ) throws {
        scenario.call(client, 1, method, params: params)
        for hasNeighbour in [neighbours.first, neighbours.second] {
            let worker = try #require(
                scenario.slots.compactMap(\.process).first { scenario.core.requests.inFlight(on: $0) > 0 })
            if hasNeighbour {
                scenario.core.pools[0].turn = scenario.core.workers[worker].slot
                scenario.call(client, 2, "job.run", params: ["innocent": true])
                try #require(scenario.core.requests.inFlight(on: worker) == 2)
            }
            scenario.exit(worker, .signaled(11))
        }
        let codes = scenario.take(client).compactMap { $0["error"]?["code"]?.integerValue }
        #expect(!codes.isEmpty && codes.allSatisfy { $0 == 2001 }, "\(codes)")
        self.recover(scenario)
    }

    /// Whether such a call is refused; one that is not is answered.
    private static func isRefused(
        _ scenario: Scenario, _ client: ConnectionToken, _ method: String = "rag.execute",
        params: String = #"{"query":"boom","top_k":10}"#
    ) throws -> Bool {
        scenario.send(client, #"{"jsonrpc":"2.0","id":9,"method":"\#(method)","params":\#(params)}"#)
        if let worker = scenario.slots.compactMap(\.process).first(where: {
            scenario.core.requests.inFlight(on: $0) > 0
        }) {
            scenario.reply(worker, scenario.calls(on: worker).last)
            _ = scenario.take(client)
            return false
        }
        #expect(try scenario.error(client) == self.refused)
        return true
    }

    @Test(arguments: [(false, false), (true, false), (false, true)])
    func areRefusedWhenTheyWereAloneAtOneOfTwoDeaths(first: Bool, second: Bool) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client, neighbours: (first, second))
        #expect(try Self.isRefused(scenario, client))
        #expect(scenario.effects.events.contains("request.poisoned"))
        #expect(try !Self.isRefused(scenario, client, "job.run", params: #"{"innocent":true}"#))
    }

    @Test func areNotBlamedForTheirNeighbours() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client, neighbours: (true, true))
        #expect(try !Self.isRefused(scenario, client))
    }

    @Test func areNotAloneWithACallThatWasGivenUpOn() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: Self.params)
        for _ in 0..<2 {
            let worker = try #require(
                scenario.slots.compactMap(\.process).first { scenario.core.requests.inFlight(on: $0) > 0 })
            scenario.core.pools[0].turn = scenario.core.workers[worker].slot
            scenario.call(client, 7, "job.run")
            scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":7}}"#)
            scenario.exit(worker, .signaled(11))
        }
        _ = scenario.take(client)
        Self.recover(scenario)
        #expect(try !Self.isRefused(scenario, client))
    }

    @Test func areForgivenOneDeath() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: Self.params)
        scenario.exit(scenario.workers[0], .signaled(11))
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        #expect(try scenario.answer(client)["result"] == "done")
        Self.recover(scenario)
        #expect(try !Self.isRefused(scenario, client))
    }

    @Test func needTwoDeathsOfOneCallWhichAMethodThatIsSentOnceNeverSees() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        for _ in 0..<3 {
            scenario.call(client, 1, "job.run", params: Self.params)
            let worker = try #require(
                scenario.slots.compactMap(\.process).first { scenario.core.requests.inFlight(on: $0) > 0 })
            scenario.exit(worker, .signaled(11))
            #expect(try scenario.error(client).code == 2001)
            Self.recover(scenario)
        }
        #expect(try !Self.isRefused(scenario, client, "job.run"))
    }

    @Test func areNotThoseThatTheSupervisorItselfEnded() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: Self.params)
        // Both workers close their stdout and live on: the call is lost twice, but nobody died of it.
        for worker in scenario.workers {
            scenario.tick { core, _ in core.outputClosed(worker) }
            scenario.pass(.milliseconds(100))
        }
        #expect(try scenario.error(client).code == 2001)
        for worker in scenario.workers { scenario.exit(worker, .signaled(15)) }
        Self.recover(scenario)
        #expect(try !Self.isRefused(scenario, client))
    }

    @Test(arguments: ["health.check", "metrics.get"]) func areNeverQuestionsOfHealth(method: String) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client, method, params: nil)
        #expect(scenario.core.poison.count == 0)
    }

    @Test(arguments: [
        #"{"query":"boom","top_k":10}"#, #"{ "top_k" : 1.0e1, "query" : "\u0062oom" }"#,
        #"{"top_k":10.00,"query":"boom"}"#,
    ]) func areTheSameHoweverTheyAreSpelled(params: String) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client)
        #expect(try Self.isRefused(scenario, client, params: params))
        #expect(try Self.isRefused(scenario, client, #"rag.\u0065xecute"#, params: params))
    }

    @Test(arguments: [
        ("rag.execute", #"{"query":"boom","top_k":11}"#), ("rag.execute", #"{"query":"boom"}"#),
        ("rag.execute", #"["boom",10]"#), ("job.run", #"{"query":"boom","top_k":10}"#),
    ]) func areNotOthersThatOnlyResembleThem(method: String, params: String) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client)
        #expect(try !Self.isRefused(scenario, client, method, params: params))
    }

    @Test func areComparedByteForByteWhereParamsHaveNoCanonicalForm() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        let doubled = JSONValue.object([.init("a", 1), .init("a", 2)])
        try Self.kill(scenario, client, params: doubled)
        #expect(try Self.isRefused(scenario, client, params: #"{"a":1,"a":2}"#))
        #expect(try !Self.isRefused(scenario, client, params: #"{"a":1, "a":2}"#))
        let large = JSONValue.object([.init("x", .string(String(repeating: "x", count: 300_000)))])
        try Self.kill(scenario, client, params: large)
        #expect(try Self.isRefused(scenario, client, params: large.text))
    }

    @Test func areRefusedToTheirUserOnly() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect(uid: 5)
        let sameUser = try scenario.connect(uid: 5)
        let other = try scenario.connect(uid: 6)
        try Self.kill(scenario, client)
        #expect(try Self.isRefused(scenario, sameUser))
        #expect(try !Self.isRefused(scenario, other))
    }

    @Test func areRefusedForTenMinutes() throws {
        let scenario = Self.scenario { $0.health.interval = .seconds(3600) }
        let client = try scenario.connect()
        try Self.kill(scenario, client)
        scenario.pass(.seconds(598))
        #expect(try Self.isRefused(scenario, client))
        scenario.pass(.seconds(1))
        #expect(try !Self.isRefused(scenario, client))
    }

    @Test func areForgottenWhenAnOperatorRestartsTheWorkers() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        try Self.kill(scenario, client)
        scenario.call(client, 2, "supervisor.restart", params: ["rolling": true])
        #expect(scenario.core.poison.count == 0)
    }

    @Test func areSentAgainOnlyWithoutTheGuard() throws {
        let scenario = Self.scenario()
        scenario.core.removedGuard = .poison
        let client = try scenario.connect()
        try Self.kill(scenario, client)
        #expect(try !Self.isRefused(scenario, client))
    }
}

@Suite struct PoisonListTests {
    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: .seconds(seconds)) }

    @Test func keepsAThousandAndForgetsTheOldest() {
        var list = PoisonList()
        for fingerprint in 0..<1001 { list.insert(fingerprint, of: 1, at: Self.at(Int64(fingerprint % 2))) }
        #expect(list.count == 1000)
        #expect(!list.contains(0, of: 1))
        #expect(list.contains(1, of: 1) && list.contains(1000, of: 1))
    }

    @Test func keepsARequestOnceAndCountsItsTimeAnew() {
        var list = PoisonList()
        list.insert(1, of: 1, at: Self.at(0))
        list.insert(2, of: 2, at: Self.at(1))
        list.insert(1, of: 1, at: Self.at(300))
        #expect(list.count == 2)
        let before = [1, 2].map { list.concerns($0, at: Self.at(899)) }
        #expect(before == [true, false])
        let after = list.concerns(1, at: Self.at(900))
        #expect(!after)
        #expect(list.count == 0)
    }
}
