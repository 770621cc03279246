import Protocol
import Testing

@testable import Supervisor

/// What the log says of workers, calls and clients.
@Suite struct LogEventTests {
    // MARK: Workers

    /// Whatever happens to a worker.
    private static func eventfulScenario() throws -> Scenario {
        let scenario = Scenario.ready(workers: 3, capabilities: ["max_concurrency": 2]) {
            $0.pools[0].maxMemory = 1 << 30
            $0.pools[0].startTimeout = .seconds(2)
            $0.health.unhealthyThreshold = 2
            $0.restart.maxDeaths = 1
        }
        let client = try scenario.connect()
        let (first, second, third) = (scenario.workers[0], scenario.workers[1], scenario.workers[2])
        scenario.write(first, "noise")
        scenario.call(client, 1, "supervisor.drain", params: ["worker": 1])
        for id in 2..<8 { scenario.call(client, id, "job.run") }
        for _ in 0..<5 {
            for call in scenario.calls(on: first) {
                scenario.write(
                    first, #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":-32603,"message":"no"}}"#)
            }
            for id in 2..<8 { scenario.call(client, id, "job.run") }
        }
        scenario.pass(.seconds(40))
        scenario.effects.memory[third] = 2 << 30
        scenario.call(client, 9, "job.run")
        scenario.pass(.seconds(20))
        scenario.exit(first)
        scenario.exit(second)
        scenario.pass(.seconds(3))
        scenario.makeReady()
        scenario.call(client, 10, "supervisor.restart", params: ["rolling": true])
        scenario.makeReady()
        for spawn in scenario.takeSpawns() {
            scenario.tick { $0.spawnFailed(spawn.worker, reason: "no such program", isShortage: false, &$1) }
        }
        return scenario
    }

    @Test func sayWhichWorkerAndWhereInTheSameWords() throws {
        let scenario = try Self.eventfulScenario()
        var seen: Set<String> = []
        for record in scenario.effects.records {
            let event = record.event.description
            guard event.hasPrefix("worker."), event != "worker.quarantined",
                event != "worker.replacement_failed"
            else { continue }
            seen.insert(event)
            let names = record.fields.map(\.key.description)
            let start = names.firstIndex(of: "worker_id") ?? 0
            #expect(Array(names[start...].prefix(3)) == ["worker_id", "pool", "slot"], "\(event): \(names)")
            #expect(Set(names).count == names.count, "\(event): \(names)")
        }
        let expected: Set = [
            "worker.started", "worker.ready", "worker.exited", "worker.noise", "worker.held",
            "worker.unhealthy",
            "worker.replaced", "worker.over_memory",
        ]
        #expect(expected.subtracting(seen).isEmpty, "\(expected.subtracting(seen)) did not happen")
    }

    @Test func sayOfEachReplacementTheSame() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.restart", params: ["worker": 0])
        scenario.makeReady()
        let old = scenario.core.workers[scenario.workers[1]].id
        let worker = scenario.workers[1]
        scenario.tick { core, _ in core.outputClosed(worker) }
        scenario.pass(.seconds(1))
        let records = scenario.effects.fields(of: "worker.replaced")
        #expect(records.first?["reason"] == "restarted" && records.first?["replaced_by"] == .string(old))
        #expect(
            records.allSatisfy {
                Set($0.keys).subtracting(["replaced_by"]) == ["worker_id", "pool", "slot", "reason"]
            })
    }

    // MARK: Calls

    @Test(arguments: [("once.more", true), ("job.run", false)])
    func ofALostCallCarryItsRequestID(method: String, isRetried: Bool) throws {
        let scenario = Scenario.ready { $0.retry.methods = ["once.more"] }
        let client = try scenario.connect()
        scenario.call(client, 1, method, metadata: ["request_id": "mine"])
        let worker = try scenario.openCall().worker
        let id = scenario.core.workers[worker].id
        scenario.exit(worker)
        #expect(
            scenario.effects.fields(of: "request.lost") == [
                [
                    "request_id": "mine", "method": .string(method), "worker_id": .string(id),
                    "pool": "default", "slot": 0, "attempts": 1, "retried": .bool(isRetried),
                ]
            ])
    }

    @Test func ofAnUnreadableReplyCarryTheRequestID() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["request_id": "mine"])
        let (worker, call) = try scenario.openCall()
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call),"outcome":1}"#)
        #expect(scenario.effects.fields(of: "worker.unreadable_reply").map { $0["request_id"] } == ["mine"])
    }

    @Test func ofACallThatTookItsMethodsWholeTimeCarryItsRequestID() throws {
        let scenario = Scenario.ready { $0.timeouts.standard = .seconds(1) }
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["request_id": "long"])
        scenario.call(client, 2, metadata: ["request_id": "short", "timeout_ms": 10])
        scenario.pass(.seconds(1))
        let records = scenario.effects.fields(of: "request.timed_out")
        #expect(records.map { $0["request_id"] } == ["long"], "what a client chose is its own business")
        #expect(records.first?["total_ms"] == .number(1000))
    }

    @Test func ofAPoisonedRequestCarryTheCallersID() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", metadata: ["request_id": "poison"])
        for _ in 0..<2 { try scenario.exit(scenario.openCall().worker) }
        #expect(scenario.effects.fields(of: "request.poisoned").map { $0["request_id"] } == ["poison"])
    }

    @Test func ofARefusedOperatorCarryTheIDOfTheAnswer() throws {
        let scenario = Scenario.ready()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(stranger, 1, "supervisor.stop")
        let id = try #require(try scenario.answer(stranger)["error"]?["data"]?["request_id"]?.stringValue)
        let record = try #require(scenario.effects.fields(of: "operator.refused").first)
        #expect(record["request_id"] == .string(id))
        #expect(record["peer_uid"] == 7 && record["method"] == "supervisor.stop")
    }

    // MARK: Messages that break the contract

    @Test(arguments: [
        "no JSON", "[[]]", "[[[1]]]", #"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
        #"{"jsonrpc":"1.0","id":1,"method":"m"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","params":"p"}"#,
        #"{"jsonrpc":"2.0","id":1,"method":"rpc.x"}"#,
        #"{"jsonrpc":"2.0","id":1,"method":"supervisor.\u0000"}"#,
        #"{"jsonrpc":"2.0","id":1,"method":"m","metadata":{"cache":"maybe"}}"#,
        "[" + Array(repeating: "1", count: 101).joined(separator: ",") + "]",
    ]) func areLoggedOnceAConnectionWhichLives(message: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect(uid: 7)
        for _ in 0..<5 { scenario.send(client, message) }
        let answers = scenario.take(client)
        #expect(answers.count == 5)
        let records = scenario.effects.fields(of: "client.bad_message")
        try #require(records.count == 1)
        let first = answers[0].arrayValue?.first ?? answers[0]
        let error = try #require(first["error"])
        #expect(records[0]["code"] == error["code"]?.integerValue.map { .whole($0) })
        #expect(records[0]["request_id"] == (error["data"]?["request_id"]?.stringValue).map { .string($0) })
        #expect(records[0]["peer_uid"] == 7)
        let other = try scenario.connect(uid: 7)
        scenario.send(other, message)
        #expect(scenario.effects.fields(of: "client.bad_message").count == 2)
        scenario.call(client, 1, "ping")
        #expect(try scenario.answer(client)["result"] != nil)
    }

    @Test func areLoggedAlsoWhereNobodyIsAnswered() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","method":"m","metadata":{"cache":"maybe"}}"#)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.effects.fields(of: "client.bad_message").count == 1)
    }

    @Test func areNotLoggedForWhatTheServiceRefuses() throws {
        let scenario = Scenario.ready { $0.loadBalancer.queueSize = 1 }
        let client = try scenario.connect()
        for id in 0..<9 { scenario.call(client, id) }
        #expect(scenario.take(client).contains { $0["error"]?["code"] == 2002 })
        #expect(scenario.effects.fields(of: "client.bad_message").isEmpty)
    }
}
