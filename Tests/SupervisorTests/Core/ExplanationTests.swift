import Protocol
import Testing

@testable import Supervisor

@Suite struct ExplanationTests {
    private func explain(
        _ scenario: Scenario, _ client: ConnectionToken, _ method: String, params: JSONValue? = nil
    ) throws -> JSONValue {
        var members: [JSONValue.Member] = [.init("method", .string(method))]
        if let params { members.append(.init("params", params)) }
        scenario.call(client, 99, "supervisor.explain", params: .object(members))
        let answer = try scenario.answer(client)
        return try #require(answer["result"], "\(answer.text)")
    }

    @Test func isForOperatorsOnly() throws {
        let scenario = Scenario.ready()
        let stranger = try scenario.connect(uid: 5)
        scenario.call(stranger, 1, "supervisor.explain", params: ["method": "job.run"])
        #expect(try scenario.error(stranger) == .init(-32001, "operators_only"))
    }

    @Test(arguments: [
        JSONValue.object([]), ["method": true], ["method": 5], ["method": "a", "params": "x"],
        ["methods": "a"],
        ["method": "a", "param": [:]],
    ])
    func refusesOtherParams(params: JSONValue) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.explain", params: params)
        #expect(try scenario.error(client) == .init(-32602, "invalid_params"))
    }

    @Test func hasAllMembersWhateverTheOutcome() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        let names = [
            "outcome", "error", "pool", "technique", "strategy", "worker_id", "candidates", "queue", "cache",
            "timeouts", "idempotent",
        ]
        for method in ["job.run", "ping", "config.nonsense", ""] {
            #expect(try self.explain(scenario, client, method).objectValue?.map(\.name) == names)
        }
    }

    @Test func saysWhoAnswersAndWhatIsRefused() throws {
        let scenario = Scenario.ready { $0.pools[0].methods = ["job.*", "rag.*"] }
        let client = try scenario.connect()
        #expect(try self.explain(scenario, client, "ping")["outcome"] == "answered_here")
        let reserved = try self.explain(scenario, client, "config.nonsense")
        #expect(reserved["outcome"] == "refused" && reserved["error"]?["code"] == -32601)
        let unknown = try self.explain(scenario, client, "other.run")
        #expect(unknown["error"]?["code"] == -32601)
        let long = try self.explain(scenario, client, String(repeating: "x", count: 200))
        #expect(long["error"]?["data"]?["reason"] == "method_too_long")
        let sent = try self.explain(scenario, client, "job.run", params: ["big": 9_007_199_254_740_993])
        #expect(sent["outcome"] == "sent" && sent["error"] == .null && sent["pool"] == "default")
        #expect(sent["cache"]?["use"] == "bypass")
        #expect(sent["timeouts"] == ["call_ms": 60_000, "queue_ms": 5000, "max_ms": 600_000])
    }

    @Test func saysWhyEachWorkerIsOrIsNotEligible() throws {
        let scenario = Scenario.ready(workers: 4)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.effects.inputBacklogs[scenario.workers[1]] = 2 << 20
        scenario.exit(scenario.workers[2])
        scenario.pass(.milliseconds(200))
        let explained = try self.explain(scenario, client, "job.run")
        let candidates = try #require(explained["candidates"]?.arrayValue)
        #expect(candidates.map { $0["why"] } == ["full", "does_not_read", "not_ready", .null])
        #expect(candidates.map { $0["eligible"] } == [false, false, false, true])
        #expect(candidates.map { $0["state"] } == ["busy", "ready", "starting", "ready"])
        #expect(explained["worker_id"] == candidates[3]["worker_id"])
    }

    @Test func saysWhereACallWouldWait() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 2 }
        let client = try scenario.connect()
        for id in 1...2 { scenario.call(client, id) }
        let queued = try self.explain(scenario, client, "job.run")
        #expect(queued["outcome"] == "queued")
        #expect(queued["queue"] == ["depth": 1, "size": 2, "position": 2])
        #expect(queued["worker_id"] == .null)
        scenario.call(client, 3)
        let full = try self.explain(scenario, client, "job.run")
        #expect(full["outcome"] == "refused" && full["error"]?["code"] == 2002)
        #expect(full["queue"]?["position"] == .null)
    }

    @Test func saysWhatTheCacheHas() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["cacheable": ["job.run"]])
        let client = try scenario.connect()
        let params: JSONValue = ["a": 1, "b": 2]
        #expect(try self.explain(scenario, client, "job.run", params: params)["cache"]?["use"] == "miss")
        scenario.call(client, 1, params: params)
        let shared = try self.explain(scenario, client, "job.run", params: ["b": 2, "a": 1])
        #expect(shared["outcome"] == "shared" && shared["cache"]?["use"] == "coalesced")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        _ = scenario.take(client)
        scenario.pass(.seconds(2))
        let cached = try self.explain(scenario, client, "job.run", params: ["b": 2, "a": 1.0])
        #expect(cached["outcome"] == "cached")
        #expect(cached["cache"]?["use"] == "hit" && cached["cache"]?["age_ms"] == 2000)
        scenario.pass(.seconds(601))
        #expect(try self.explain(scenario, client, "job.run", params: params)["cache"]?["use"] == "miss")
        #expect(try self.explain(scenario, client, "other")["cache"]?["use"] == "bypass")
    }

    @Test func leavesNoTrace() throws {
        let scenario = Scenario.ready(workers: 3, capabilities: ["cacheable": ["job.run"]])
        let client = try scenario.connect()
        scenario.call(client, 1, params: ["a": 1])
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        _ = scenario.take(client)
        let before = scenario.status()
        let sent = scenario.effects.toWorkers
        for _ in 0..<5 { _ = try self.explain(scenario, client, "job.run", params: ["a": 1]) }
        _ = try self.explain(scenario, client, "job.run", params: ["a": 2])
        #expect(scenario.status() == before)
        #expect(scenario.effects.toWorkers == sent)
    }

    /// What it says is what then happens, in states that chance has made.
    @Test(arguments: [Configuration.Strategy.roundRobin, .leastLoad])
    func namesTheWorkerThatGetsTheCall(strategy: Configuration.Strategy) throws {
        var random = SeededGenerator(seed: 5)
        let scenario = Scenario.ready(workers: 4, capabilities: ["max_concurrency": 2]) {
            $0.loadBalancer.strategy = strategy
            $0.loadBalancer.queueSize = 3
        }
        let client = try scenario.connect()
        var id = 0
        for _ in 0..<300 {
            if Bool.random(using: &random) {
                id += 1
                let expected = try self.explain(scenario, client, "job.run")
                let counts = scenario.workers.map { scenario.calls(on: $0).count }
                scenario.call(client, id)
                let got = zip(scenario.workers, counts).first { scenario.calls(on: $0.0).count > $0.1 }
                let gotID = got.map { scenario.core.workers[$0.0].id }
                #expect(expected["worker_id"] == .string(gotID))
                #expect((expected["outcome"] == "sent") == (gotID != nil))
                #expect((expected["outcome"] == "refused") == (scenario.take(client).count == 1))
            } else {
                let worker = scenario.workers[Int.random(in: 0..<4, using: &random)]
                let open = scenario.core.requests.calls(on: worker).first
                guard let open else { continue }
                if Int.random(in: 0..<3, using: &random) == 0 {
                    scenario.write(
                        worker,
                        [
                            "jsonrpc": "2.0", "id": .integer(RequestTable.number(of: open)),
                            "error": ["code": -32603, "message": "broken"],
                        ])
                } else {
                    scenario.reply(worker, Int64(RequestTable.number(of: open)))
                }
                _ = scenario.take(client)
                if Int.random(in: 0..<8, using: &random) == 0 { scenario.pass(.seconds(3)) }
                _ = scenario.take(client)
            }
        }
    }

    @Test func performanceBasedIsLeftToChance() throws {
        let scenario = Scenario.ready(workers: 2) { $0.loadBalancer.strategy = .performanceBased }
        let client = try scenario.connect()
        let explained = try self.explain(scenario, client, "job.run")
        #expect(explained["outcome"] == "sent" && explained["worker_id"] == .null)
    }

    @Test func explainsWhileItStops() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.tick { $0.stop(reason: "test", &$1) }
        let explained = try self.explain(scenario, client, "job.run")
        #expect(explained["error"]?["data"]?["reason"] == "shutting_down")
    }
}
