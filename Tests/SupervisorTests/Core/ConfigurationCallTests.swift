import Protocol
import Testing

@testable import Supervisor

/// `config.validate`, and what `config.update` changes at once; who may.
@Suite struct ConfigurationCallTests {
    typealias Failure = Scenario.Failure

    // MARK: Validate

    @Test func saysAllThatWouldBeWrongToAnybody() throws {
        let (scenario, _) = try Scenario.connected()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(
            stranger, 1, "config.validate",
            params: try Scenario.change(
                #"{"health":{"interval":5},"cach":{},"pools":[{"env":{"A":7777}}]}"#))
        let result = try #require(try scenario.answer(stranger)["result"])
        #expect(result["valid"] == false)
        let errors = try #require(result["errors"]?.arrayValue)
        #expect(
            Set(errors.compactMap { $0["path"]?.stringValue }) == [
                "health.interval", "cach", "pools[0].env.A",
            ])
        #expect(errors.contains { $0["suggestion"] == "cache" })
        #expect(!result.text.contains("7777"))
        #expect(scenario.core.configuration.health.interval == .seconds(10))
    }

    @Test(arguments: ["{}", #"{"health":{"interval":"1s"}}"#]) func acceptsWhatIsRight(params: String) throws
    {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "config.validate", params: try Scenario.change(params))
        #expect(try scenario.answer(client)["result"] == ["valid": true, "errors": []])
        scenario.call(client, 1, "config.validate")
        #expect(try scenario.answer(client)["result"] == ["valid": true, "errors": []])
    }

    @Test func refusesParamsOnlyThatAreNoObject() throws {
        let (scenario, client) = try Scenario.connected()
        for method in ["config.validate", "config.update"] {
            scenario.call(client, 1, method, params: [])
            #expect(try scenario.error(client).code == -32602)
        }
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":1,"method":"config.validate","params":{"retry":{"jitter":1e999}}}"#)
        #expect(try scenario.answer(client)["result"]?["valid"] == false)
    }

    @Test func judgesNoMoreThanIsReasonable() throws {
        let (scenario, client) = try Scenario.connected()
        let change = JSONValue.object([.init("x", .string(String(repeating: "x", count: 65 << 10)))])
        scenario.call(client, 1, "config.validate", params: change)
        let errors = try scenario.answer(client)["result"]?["errors"]?.arrayValue
        #expect(errors?.count == 1 && errors?[0]["message"]?.stringValue?.contains("64KiB") == true)
        let numbers = Array(repeating: JSONValue.string("x"), count: 5000)
        scenario.call(client, 1, "config.validate", params: ["operators": .array(numbers)])
        let many = try #require(try scenario.answer(client)["result"]?["errors"]?.arrayValue)
        #expect(many.count == 1001 && many.last?["message"] == "4000 more errors")
    }

    @Test func judgesMoreWorkersThanTheSystemHasRoomFor() throws {
        let (scenario, client) = try Scenario.connected()
        let change = try Scenario.change(#"{"pools":[{"max_workers":65}]}"#)
        scenario.call(client, 1, "config.validate", params: change)
        #expect(try scenario.answer(client)["result"]?["valid"] == false)
        scenario.call(client, 2, "config.update", params: change)
        #expect(try scenario.error(client) == Failure(4001, "invalid_configuration"))
    }

    // MARK: Update

    @Test func changesWhatRunsAndSaysWhat() throws {
        let (scenario, client) = try Scenario.connected(workers: 1)
        let answer = try scenario.update(
            client,
            #"{"load_balancer":{"queue_size":1},"retry":{"max_attempts":2},"pools":[{"max_concurrency":3}]}"#)
        #expect(
            answer["result"] == [
                "applied": ["pools[0].max_concurrency", "load_balancer.queue_size"], "restart_required": [],
            ])
        #expect(scenario.effects.events.contains("config.changed"))
        #expect(scenario.takeSpawns().isEmpty, "no worker has to be exchanged")
        for id in 2...6 { scenario.call(client, id) }
        #expect(scenario.calls(on: scenario.workers[0]).count == 3, "three at once, one waits")
        #expect(try scenario.error(client) == Failure(2002, "queue_full"))
    }

    @Test func isTakenWholeOrNotAtAll() throws {
        let (scenario, client) = try Scenario.connected()
        let before = scenario.core.configuration
        scenario.call(
            client, 1, "config.update",
            params: try Scenario.change(#"{"health":{"timeout":"1s","interval":"x"},"retry":{"tries":1}}"#))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 4001)
        #expect(
            error["data"]?["errors"]?.arrayValue?.map { $0["path"] } == ["health.interval", "retry.tries"])
        #expect(scenario.core.configuration == before)
        #expect(scenario.core.source.updates == 0)
        #expect(scenario.effects.events.contains("config.rejected"))
        #expect(!scenario.effects.events.contains("config.changed"))
        #expect(scenario.updatesTold(to: scenario.workers[0]).isEmpty)
    }

    @Test func namesWhatNeedsARestartAndLeavesItAsItIs() throws {
        let (scenario, client) = try Scenario.connected()
        let answer = try scenario.update(
            client,
            #"{"logging":{"level":"debug"},"pools":[{"prepare":["x"]},{"name":"b"}],"retry":{"budget_min":9}}"#
        )
        #expect(
            answer["result"] == [
                "applied": ["retry.budget_min"],
                "restart_required": ["pools[0].prepare", "logging.level", "pools"],
            ])
        #expect(scenario.core.configuration.logging.level == .info)
        #expect(scenario.core.pools.count == 1)
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test func doesNotNameConnectionsThatTheSystemHasNoRoomFor() throws {
        let (scenario, client) = try Scenario.connected { $0.limits.connections = 100 }
        scenario.core.source.document = JSON5Value(["limits": ["connections": 500]])
        let first = try scenario.update(client, #"{"retry":{"budget_min":9}}"#)
        #expect(first["result"]?["restart_required"] == [])
        let second = try scenario.update(client, #"{"limits":{"connections":600}}"#)
        #expect(second["result"]?["restart_required"] == ["limits.connections"])
    }

    @Test func tellsTheWorkersWithoutSecrets() throws {
        let (scenario, client) = try Scenario.connected()
        let change =
            #"{"retry":{"max_attempts":3},"timeouts":{"per_method":{"token.new":"3s","x":"4s"}}}"#
        scenario.call(client, 1, "config.update", params: try Scenario.change(change))
        for worker in scenario.workers {
            let message = try #require(scenario.updatesTold(to: worker).first)
            #expect(
                message["params"] == [
                    "applied": [
                        "timeouts.per_method[\"token.new\"]", "timeouts.per_method.x", "retry.max_attempts",
                    ],
                    "configuration": ["retry": ["max_attempts": 3], "timeouts": ["per_method": ["x": "4s"]]],
                ])
        }
        #expect(scenario.core.configuration.retry.maxAttempts == 3, "at once, whoever has answered")
        let ids = scenario.workers.map { scenario.updatesTold(to: $0)[0]["id"]?.integerValue }
        let first: Int64 = try #require(ids[0])
        scenario.write(
            scenario.workers[0],
            ["jsonrpc": "2.0", "id": .integer(first), "error": ["code": -32601, "message": "no"]])
        #expect(scenario.take(client).isEmpty)
        scenario.reply(scenario.workers[1], ids[1], .null)
        let result = try #require(try scenario.answer(client)["result"])
        #expect(result["unanswered"] == nil && result["failed"] == nil)
    }

    @Test func namesWorkersThatDoNotAnswerOrRefuse() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(
            client, 1, "config.update", params: try Scenario.change(#"{"retry":{"max_attempts":3}}"#))
        let id = scenario.updatesTold(to: scenario.workers[0])[0]["id"]?.integerValue ?? 0
        scenario.write(
            scenario.workers[0],
            ["jsonrpc": "2.0", "id": .integer(id), "error": ["code": 4001, "message": "no"]])
        scenario.pass(.seconds(5))
        let result = try #require(try scenario.answer(client)["result"])
        #expect(result["applied"] == ["retry.max_attempts"])
        #expect(result["failed"]?.arrayValue?.first?["error"]?["code"] == 4001)
        #expect(result["unanswered"] == [.string(scenario.core.workers[scenario.workers[1]].id)])
    }

    @Test func changesNothingWhereNothingIsNew() throws {
        let (scenario, client) = try Scenario.connected()
        let answer = try scenario.update(client, #"{"retry":{"max_attempts":2},"health":null}"#)
        #expect(answer["result"] == ["applied": [], "restart_required": []])
        #expect(scenario.updatesTold(to: scenario.workers[0]).isEmpty)
        #expect(!scenario.effects.events.contains("config.changed"))
    }

    @Test func addsToTheUpdatesBefore() throws {
        let (scenario, client) = try Scenario.connected()
        _ = try scenario.update(client, #"{"retry":{"max_attempts":3}}"#)
        _ = try scenario.update(client, #"{"retry":{"budget_min":9}}"#)
        #expect(scenario.core.configuration.retry.maxAttempts == 3)
        let third = try scenario.update(client, #"{"retry":{"max_attempts":null}}"#)
        #expect(third["result"]?["applied"] == ["retry.max_attempts"])
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        #expect(scenario.core.configuration.retry.budgetMin == 9)
    }

    @Test func outlivesWorkersAndEndsWithAReload() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.effects.configuration = .success(scenario.core.configuration)
        _ = try scenario.update(client, #"{"retry":{"max_attempts":3}}"#)
        scenario.call(client, 2, "supervisor.restart", params: ["wait": true])
        try scenario.exchangeWorkers(2)
        _ = scenario.take(client)
        #expect(scenario.core.configuration.retry.maxAttempts == 3)
        scenario.call(client, 3, "config.reload")
        try scenario.exchangeWorkers(2)
        #expect(
            try scenario.answer(client)["result"] == [
                "applied": ["retry.max_attempts"], "restart_required": [],
            ])
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        #expect(scenario.effects.events.contains("config.updates_forgotten"))
    }

    @Test func keepsWhatAnOperatorScaledTo() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.scale", params: ["workers": 3])
        _ = scenario.take(client)
        scenario.makeReady()
        _ = try scenario.update(client, #"{"retry":{"max_attempts":3}}"#)
        #expect(scenario.core.pools[0].size == 3)
        let answer = try scenario.update(client, #"{"pools":[{"min_workers":1}]}"#)
        #expect(answer["result"]?["applied"] == ["pools[0].min_workers"])
        #expect(scenario.core.pools[0].minWorkers == 1 && scenario.core.pools[0].maxWorkers == 2)
        #expect(scenario.core.pools[0].size == 2)
    }

    @Test func forgetsAnswersThatMayBeOthersNow() throws {
        let scenario = Scenario.ready(workers: 1) { $0.cache.cacheableMethods = ["job.run"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, "old")
        _ = scenario.take(client)
        _ = try scenario.update(client, #"{"retry":{"max_attempts":3}}"#)
        scenario.call(client, 2)
        #expect(scenario.calls(on: scenario.workers[0]).count == 2)
    }

    @Test func intervalsCountFromTheUpdate() throws {
        let (scenario, client) = try Scenario.connected(workers: 1) {
            $0.health.interval = .seconds(1000)
            $0.recycle.jitter = 0
        }
        _ = try scenario.update(client, #"{"health":{"interval":"1s"},"recycle":{"max_age":"20s"}}"#)
        let asked = scenario.messages(to: scenario.workers[0]).count { $0["method"] == "health.check" }
        scenario.pass(.seconds(1))
        #expect(
            scenario.messages(to: scenario.workers[0]).count { $0["method"] == "health.check" } == asked + 1)
        scenario.answerHealth(scenario.workers[0], ["status": "healthy"])
        for _ in 0..<19 {
            scenario.pass(.seconds(1))
            scenario.answerHealth(scenario.workers[0], ["status": "healthy"])
        }
        #expect(scenario.takeSpawns().count == 1, "it is recycled")
    }

    @Test func takesOperatorsTheirRightsAtOnce() throws {
        let (scenario, client) = try Scenario.connected { $0.operators = [7] }
        let other = try scenario.connect(uid: 7)
        _ = try scenario.update(client, #"{"operators":[]}"#)
        scenario.call(other, 1, "config.update", params: [:])
        #expect(try scenario.error(other) == Failure(-32001, "operators_only"))
    }

    @Test(arguments: ["config.update", "config.reload"]) func isForOperatorsOnly(method: String) throws {
        let (scenario, _) = try Scenario.connected()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(stranger, 1, method, params: [:])
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
    }

    @Test func losesNoCallThatIsUnderWay() throws {
        let (scenario, client) = try Scenario.connected(workers: 2) { $0.pools[0].maxConcurrency = 1 }
        for id in 10...14 { scenario.call(client, id) }
        scenario.call(
            client, 1, "config.update",
            params: try Scenario.change(
                #"{"load_balancer":{"queue_size":1},"pools":[{"env":{"A":"1"}}],"timeouts":{"default":"2s"}}"#
            ))
        #expect(scenario.take(client).isEmpty, "those that wait are not put out of a smaller queue")
        for _ in 0..<2 {
            let new = try #require(scenario.takeSpawns().first).worker
            scenario.makeReady(new)
            for worker in scenario.core.workers.tokens {
                while let call = scenario.calls(on: worker).last,
                    scenario.core.requests.inFlight(on: worker) > 0
                {
                    scenario.reply(worker, call)
                }
            }
            let old = try #require(scenario.effects.closedInputs.last)
            scenario.exit(old, .exited(code: 0))
        }
        scenario.acknowledgeUpdates()
        let answers = scenario.take(client)
        #expect(answers.count { $0["result"] == "done" } == 5)
        #expect(answers.last?["id"] == 1 && answers.last?["result"] != nil)
    }

    // MARK: The control socket

    @Test func withAControlSocketOperatorsMethodsExistOnlyThere() throws {
        let (scenario, main) = try Scenario.connected { $0.controlSocket = .init(path: "/c") }
        for method in ["supervisor.restart", "config.update", "cache.clear", "pipeline.initialize"] {
            scenario.call(main, 1, method, params: [:])
            #expect(try scenario.error(main) == Failure(-32001, "control_socket_only"))
        }
        let opened = scenario.core.connectionOpened(Peer(pid: 1, uid: 1000), isOnControlSocket: true)
        let control = try #require(opened)
        for client in [main, control] {
            for method in ["supervisor.status", "ping", "config.validate"] {
                scenario.call(client, 2, method)
                #expect(try scenario.answer(client)["result"] != nil)
            }
        }
        scenario.call(control, 3, "config.update", params: [:])
        #expect(try scenario.answer(control)["result"] == ["applied": [], "restart_required": []])
        let strange = scenario.core.connectionOpened(Peer(pid: 1, uid: 7), isOnControlSocket: true)
        let stranger = try #require(strange)
        scenario.call(stranger, 4, "config.update", params: [:])
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
        let other = try scenario.connect(uid: 7)
        scenario.call(other, 5, "config.update", params: [:])
        #expect(try scenario.error(other) == Failure(-32001, "operators_only"))
    }
}
