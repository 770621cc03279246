import Protocol
import Testing

@testable import Supervisor

/// `retry.fallback_techniques`: another technique in place of one that fails.
@Suite struct FallbackTests {
    typealias Failure = Scenario.Failure

    private static func scenario(_ configure: (inout Configuration) -> Void = { _ in }) -> Scenario {
        Scenario.ready(
            workers: 1,
            capabilities: [
                "techniques": ["dense", "bm25"], "cacheable": ["rag.execute"], "max_concurrency": 4,
            ]
        ) {
            $0.retry.fallbackTechniques = ["dense": "bm25"]
            $0.health.interval = .seconds(36_000)
            configure(&$0)
        }
    }

    private static func ask(_ scenario: Scenario, _ client: ConnectionToken, _ technique: String = "dense") {
        scenario.call(
            client, 1, "rag.execute",
            params: ["query": "q", "technique": .string(technique), "options": ["top_k": 3]],
            metadata: [:])
    }

    @Test(arguments: [3001, 3002, 3003, 4002]) func takesThePlaceOfOneThatFails(code: Int) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        Self.ask(scenario, client)
        try scenario.failOpenCall(code: code)
        #expect(scenario.take(client) == [])
        let call = try #require(scenario.messages(to: scenario.workers[0]).last)
        #expect(call["params"] == ["query": "q", "technique": "bm25", "options": ["top_k": 3]])
        #expect(call["metadata"]?["fallback"] == ["from": "dense", "code": .integer(code)])
        try scenario.replyToOpenCall()
        let answer = try scenario.answer(client)
        #expect(answer["result"] == "done" && answer["metadata"]?["attempts"] == 2)
        #expect(scenario.core.requests.count == 0 && scenario.core.requests.heldBytes == 0)
    }

    @Test func itsAnswerIsNotKept() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        Self.ask(scenario, client)
        try scenario.failOpenCall(code: 4002)
        try scenario.replyToOpenCall()
        _ = scenario.take(client)
        Self.ask(scenario, client)
        #expect(scenario.sent == 3, "dense may work again")
    }

    @Test func whenItFailsAsWellThatIsTheAnswer() throws {
        let scenario = Self.scenario { $0.retry.fallbackTechniques["bm25"] = "dense" }
        let client = try scenario.connect()
        Self.ask(scenario, client)
        try scenario.failOpenCall(code: 4002)
        try scenario.failOpenCall(code: 3003)
        #expect(try scenario.error(client).code == 3003)
    }

    @Test(arguments: [(-32602, "dense"), (-32603, "dense"), (4002, "bm25")])
    func otherErrorsAndTechniquesAreLeftAlone(code: Int, technique: String) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        Self.ask(scenario, client, technique)
        try scenario.failOpenCall(code: code)
        #expect(try scenario.error(client).code == Int64(code))
    }

    @Test func mayBeInAnotherPool() throws {
        let scenario = Scenario {
            var second = $0.pools[0]
            second.name = "second"
            second.techniques = ["bm25"]
            $0.pools[0].techniques = ["dense"]
            $0.pools.append(second)
            for index in 0..<2 { ($0.pools[index].minWorkers, $0.pools[index].maxWorkers) = (1, 1) }
            $0.retry.fallbackTechniques = ["dense": "bm25"]
        }
        scenario.makeReady()
        let client = try scenario.connect()
        Self.ask(scenario, client)
        try scenario.failOpenCall(code: 4002)
        #expect(try scenario.openCall().worker == scenario.workers[1])
        try scenario.replyToOpenCall()
        #expect(try scenario.answer(client)["result"] == "done")
    }
}
