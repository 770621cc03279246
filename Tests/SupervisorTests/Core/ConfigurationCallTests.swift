import Protocol
import Testing

@testable import Supervisor

/// `config.validate`, `config.update` and `config.reload`.
@Suite struct ConfigurationCallTests {
    typealias Failure = Scenario.Failure

    private static func scenario(
        workers: Int = 2, _ configure: (inout Configuration) -> Void = { _ in }
    ) throws -> (Scenario, ConnectionToken) {
        let scenario = Scenario.ready(workers: workers, configure)
        _ = scenario.takeSpawns()
        return (scenario, try scenario.connect())
    }

    private static func params(_ text: String) throws -> JSONValue { try JSONValue(parsing: text) }

    /// What a worker was told of updates; it has answered nothing yet.
    private static func told(_ scenario: Scenario, _ worker: WorkerToken) -> [JSONValue] {
        scenario.messages(to: worker).filter { $0["method"] == "config.update" }
    }

    /// All workers say that they have taken an update.
    private static func acknowledge(_ scenario: Scenario) {
        for worker in scenario.core.workers.tokens {
            guard let message = Self.told(scenario, worker).last else { continue }
            scenario.reply(worker, message["id"]?.integerValue, .null)
        }
    }

    private static func update(
        _ scenario: Scenario, _ client: ConnectionToken, _ change: String
    ) throws -> JSONValue {
        scenario.call(client, 1, "config.update", params: try self.params(change))
        Self.acknowledge(scenario)
        return try scenario.answer(client)
    }

    /// Lets the process that a rollout has just started come up, and the one before it go.
    private static func exchange(_ scenario: Scenario, _ count: Int = 1) throws {
        for _ in 0..<count {
            let spawns = scenario.takeSpawns()
            try #require(spawns.count == 1)
            scenario.makeReady(spawns[0].worker)
            let old = try #require(scenario.effects.closedInputs.last)
            scenario.exit(old, .exited(code: 0))
        }
    }

    // MARK: Validate

    @Test func saysAllThatWouldBeWrongToAnybody() throws {
        let (scenario, _) = try Self.scenario()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(
            stranger, 1, "config.validate",
            params: try Self.params(
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
        let (scenario, client) = try Self.scenario()
        scenario.call(client, 1, "config.validate", params: try Self.params(params))
        #expect(try scenario.answer(client)["result"] == ["valid": true, "errors": []])
        scenario.call(client, 1, "config.validate")
        #expect(try scenario.answer(client)["result"] == ["valid": true, "errors": []])
    }

    @Test func refusesParamsOnlyThatAreNoObject() throws {
        let (scenario, client) = try Self.scenario()
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
        let (scenario, client) = try Self.scenario()
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
        let (scenario, client) = try Self.scenario()
        let change = try Self.params(#"{"pools":[{"max_workers":65}]}"#)
        scenario.call(client, 1, "config.validate", params: change)
        #expect(try scenario.answer(client)["result"]?["valid"] == false)
        scenario.call(client, 2, "config.update", params: change)
        #expect(try scenario.error(client) == Failure(4001, "invalid_configuration"))
    }

    // MARK: Update

    @Test func changesWhatRunsAndSaysWhat() throws {
        let (scenario, client) = try Self.scenario(workers: 1)
        let answer = try Self.update(
            scenario, client,
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
        let (scenario, client) = try Self.scenario()
        let before = scenario.core.configuration
        scenario.call(
            client, 1, "config.update",
            params: try Self.params(#"{"health":{"timeout":"1s","interval":"x"},"retry":{"tries":1}}"#))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 4001)
        #expect(
            error["data"]?["errors"]?.arrayValue?.map { $0["path"] } == ["health.interval", "retry.tries"])
        #expect(scenario.core.configuration == before)
        #expect(scenario.core.source.updates == 0)
        #expect(scenario.effects.events.contains("config.rejected"))
        #expect(!scenario.effects.events.contains("config.changed"))
        #expect(Self.told(scenario, scenario.workers[0]).isEmpty)
    }

    @Test func namesWhatNeedsARestartAndLeavesItAsItIs() throws {
        let (scenario, client) = try Self.scenario()
        let answer = try Self.update(
            scenario, client,
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
        let (scenario, client) = try Self.scenario { $0.limits.connections = 100 }
        scenario.core.source.document = JSON5Value(["limits": ["connections": 500]])
        let first = try Self.update(scenario, client, #"{"retry":{"budget_min":9}}"#)
        #expect(first["result"]?["restart_required"] == [])
        let second = try Self.update(scenario, client, #"{"limits":{"connections":600}}"#)
        #expect(second["result"]?["restart_required"] == ["limits.connections"])
    }

    @Test func tellsTheWorkersWithoutSecrets() throws {
        let (scenario, client) = try Self.scenario()
        let change =
            #"{"retry":{"max_attempts":3},"timeouts":{"per_method":{"token.new":"3s","x":"4s"}}}"#
        scenario.call(client, 1, "config.update", params: try Self.params(change))
        for worker in scenario.workers {
            let message = try #require(Self.told(scenario, worker).first)
            #expect(
                message["params"] == [
                    "applied": [
                        "timeouts.per_method[\"token.new\"]", "timeouts.per_method.x", "retry.max_attempts",
                    ],
                    "configuration": ["retry": ["max_attempts": 3], "timeouts": ["per_method": ["x": "4s"]]],
                ])
        }
        #expect(scenario.core.configuration.retry.maxAttempts == 3, "at once, whoever has answered")
        let ids = scenario.workers.map { Self.told(scenario, $0)[0]["id"]?.integerValue }
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
        let (scenario, client) = try Self.scenario()
        scenario.call(client, 1, "config.update", params: try Self.params(#"{"retry":{"max_attempts":3}}"#))
        let id = Self.told(scenario, scenario.workers[0])[0]["id"]?.integerValue ?? 0
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
        let (scenario, client) = try Self.scenario()
        let answer = try Self.update(scenario, client, #"{"retry":{"max_attempts":2},"health":null}"#)
        #expect(answer["result"] == ["applied": [], "restart_required": []])
        #expect(Self.told(scenario, scenario.workers[0]).isEmpty)
        #expect(!scenario.effects.events.contains("config.changed"))
    }

    @Test func addsToTheUpdatesBefore() throws {
        let (scenario, client) = try Self.scenario()
        _ = try Self.update(scenario, client, #"{"retry":{"max_attempts":3}}"#)
        _ = try Self.update(scenario, client, #"{"retry":{"budget_min":9}}"#)
        #expect(scenario.core.configuration.retry.maxAttempts == 3)
        let third = try Self.update(scenario, client, #"{"retry":{"max_attempts":null}}"#)
        #expect(third["result"]?["applied"] == ["retry.max_attempts"])
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        #expect(scenario.core.configuration.retry.budgetMin == 9)
    }

    @Test func outlivesWorkersAndEndsWithAReload() throws {
        let (scenario, client) = try Self.scenario()
        scenario.effects.configuration = .success(scenario.core.configuration)
        _ = try Self.update(scenario, client, #"{"retry":{"max_attempts":3}}"#)
        scenario.call(client, 2, "supervisor.restart", params: ["wait": true])
        try Self.exchange(scenario, 2)
        _ = scenario.take(client)
        #expect(scenario.core.configuration.retry.maxAttempts == 3)
        scenario.call(client, 3, "config.reload")
        try Self.exchange(scenario, 2)
        #expect(
            try scenario.answer(client)["result"] == [
                "applied": ["retry.max_attempts"], "restart_required": [],
            ])
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        #expect(scenario.effects.events.contains("config.updates_forgotten"))
    }

    @Test func keepsWhatAnOperatorScaledTo() throws {
        let (scenario, client) = try Self.scenario()
        scenario.call(client, 1, "supervisor.scale", params: ["workers": 3])
        _ = scenario.take(client)
        scenario.makeReady()
        _ = try Self.update(scenario, client, #"{"retry":{"max_attempts":3}}"#)
        #expect(scenario.core.pools[0].size == 3)
        let answer = try Self.update(scenario, client, #"{"pools":[{"min_workers":1}]}"#)
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
        _ = try Self.update(scenario, client, #"{"retry":{"max_attempts":3}}"#)
        scenario.call(client, 2)
        #expect(scenario.calls(on: scenario.workers[0]).count == 2)
    }

    @Test func intervalsCountFromTheUpdate() throws {
        let (scenario, client) = try Self.scenario(workers: 1) {
            $0.health.interval = .seconds(1000)
            $0.recycle.jitter = 0
        }
        _ = try Self.update(
            scenario, client, #"{"health":{"interval":"1s"},"recycle":{"max_age":"20s"}}"#)
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
        let (scenario, client) = try Self.scenario { $0.operators = [7] }
        let other = try scenario.connect(uid: 7)
        _ = try Self.update(scenario, client, #"{"operators":[]}"#)
        scenario.call(other, 1, "config.update", params: [:])
        #expect(try scenario.error(other) == Failure(-32001, "operators_only"))
    }

    @Test(arguments: ["config.update", "config.reload"]) func isForOperatorsOnly(method: String) throws {
        let (scenario, _) = try Self.scenario()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(stranger, 1, method, params: [:])
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
    }

    @Test func losesNoCallThatIsUnderWay() throws {
        let (scenario, client) = try Self.scenario(workers: 2) { $0.pools[0].maxConcurrency = 1 }
        for id in 10...14 { scenario.call(client, id) }
        scenario.call(
            client, 1, "config.update",
            params: try Self.params(
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
        Self.acknowledge(scenario)
        let answers = scenario.take(client)
        #expect(answers.count { $0["result"] == "done" } == 5)
        #expect(answers.last?["id"] == 1 && answers.last?["result"] != nil)
    }

    // MARK: Updates that need new workers

    private static func twoPools() throws -> (Scenario, ConnectionToken) {
        try self.scenario {
            $0.pools[0].methods = ["a.*"]
            $0.pools.append(.init(name: "b"))
        }
    }

    @Test func exchangesTheWorkersOfThatPoolOnly() throws {
        let (scenario, client) = try Self.twoPools()
        scenario.call(
            client, 1, "config.update",
            params: try Self.params(#"{"pools":[{"name":"b","command":["new"]}]}"#))
        for _ in 0..<2 {
            let spawn = try #require(scenario.takeSpawns().first)
            #expect(spawn.pool == 1 && spawn.configuration.command == ["new"])
            scenario.makeReady(spawn.worker)
            #expect(scenario.take(client).isEmpty)
            let old = try #require(scenario.effects.closedInputs.last)
            scenario.exit(old, .exited(code: 0))
        }
        #expect(scenario.takeSpawns().isEmpty)
        Self.acknowledge(scenario)
        #expect(try scenario.answer(client)["result"]?["applied"] == ["pools[1].command"])
    }

    @Test func anAbortTakesTheUpdateBack() throws {
        let (scenario, client) = try Self.scenario { $0.pools[0].command = ["old"] }
        let before = (scenario.core.configuration, scenario.core.source)
        scenario.call(
            client, 1, "config.update",
            params: try Self.params(#"{"retry":{"max_attempts":3},"pools":[{"command":["bad"]}]}"#))
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(new, pid: 300, &$1) }
        scenario.exit(new, .exited(code: 7))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 4001 && error["data"]?["reason"] == "replacement_failed")
        #expect(error["data"]?["errors"]?.arrayValue?.first?["path"] == "pools[0]")
        #expect(scenario.core.configuration == before.0)
        #expect(scenario.core.source == before.1)
        #expect(scenario.slots.map(\.process) == scenario.workers[..<2].map { $0 })
        #expect(scenario.effects.events.contains("config.rejected"))
        #expect(!scenario.effects.events.contains("config.changed"))
        #expect(Self.told(scenario, scenario.workers[0]).isEmpty)
    }

    @Test func anAbortAlsoTakesBackTheWorkersBefore() throws {
        let (scenario, client) = try Self.scenario { $0.pools[0].command = ["old"] }
        scenario.call(
            client, 1, "config.update", params: try Self.params(#"{"pools":[{"command":["bad"]}]}"#))
        try Self.exchange(scenario)
        let second = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(second, pid: 300, &$1) }
        scenario.exit(second, .exited(code: 7))
        #expect(try scenario.error(client) == Failure(4001, "replacement_failed"))
        let spawn = try #require(scenario.takeSpawns().first)
        #expect(spawn.configuration.command == ["old"])
        #expect(scenario.core.workers[spawn.worker].slot == 0)
        scenario.makeReady(spawn.worker)
        let bad = try #require(scenario.effects.closedInputs.last)
        scenario.exit(bad, .exited(code: 0))
        #expect(scenario.takeSpawns().isEmpty)
        #expect(scenario.core.rollouts.isEmpty)
        let reasons = scenario.status()["reasons"]?.arrayValue
        #expect(reasons?.first?.stringValue?.hasPrefix("the update was aborted") == true)
    }

    @Test func waitsForTheRolloutBefore() throws {
        let (scenario, client) = try Self.scenario()
        scenario.call(client, 1, "supervisor.reload", params: ["wait": true])
        scenario.call(client, 2, "config.update", params: try Self.params(#"{"retry":{"max_attempts":3}}"#))
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        try Self.exchange(scenario, 2)
        Self.acknowledge(scenario)
        #expect(scenario.take(client).compactMap { $0["id"]?.integerValue } == [1, 2])
        #expect(scenario.core.configuration.retry.maxAttempts == 3, "a reload does not take it along")
    }

    // MARK: Reload

    @Test func reloadTellsWhatHasChanged() throws {
        let (scenario, client) = try Self.scenario()
        var new = scenario.core.configuration
        new.health.timeout = .seconds(1)
        new.socket.path = "/elsewhere"
        scenario.effects.configuration = .success(new)
        scenario.call(client, 1, "config.reload")
        #expect(scenario.take(client).isEmpty)
        try Self.exchange(scenario, 2)
        #expect(
            try scenario.answer(client)["result"] == [
                "applied": ["health.timeout"], "restart_required": ["socket.path"],
            ])
    }

    @Test func reloadRefusesACommandThatDoesNotComeUp() throws {
        let (scenario, client) = try Self.scenario { $0.pools[0].command = ["old"] }
        scenario.effects.configuration = .success(Configuration())
        scenario.call(client, 1, "config.reload")
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.spawnFailed(new, reason: "no such file", &$1) }
        #expect(try scenario.error(client) == Failure(4001, "replacement_failed"))
        #expect(scenario.core.configuration.pools[0].command == ["old"])
    }

    /// A pool that is being prepared has no worker to exchange; the new command is tried when it starts its first.
    @Test func triesANewCommandInAPoolThatIsBeingPrepared() throws {
        for isGood in [true, false] {
            let scenario = Scenario { $0.pools[0].prepare = ["make"] }
            let client = try scenario.connect()
            let prepare = try #require(scenario.takeSpawns().first).worker
            var new = scenario.core.configuration
            new.pools[0].command = ["new"]
            scenario.effects.configuration = .success(new)
            scenario.call(client, 1, "config.reload")
            #expect(scenario.take(client).isEmpty)
            scenario.tick { $0.workerSpawned(prepare, pid: 50, &$1) }
            scenario.exit(prepare, .exited(code: 0))
            let spawns = scenario.takeSpawns()
            #expect(spawns.map(\.configuration.command) == [["new"], ["new"]])
            if isGood {
                for spawn in spawns { scenario.makeReady(spawn.worker) }
                #expect(try scenario.answer(client)["result"] != nil)
                #expect(scenario.takeSpawns().isEmpty, "nothing is started twice")
                #expect(scenario.core.configuration.pools[0].command == ["new"])
            } else {
                for spawn in spawns { scenario.tick { $0.spawnFailed(spawn.worker, reason: "no", &$1) } }
                #expect(try scenario.error(client) == Failure(4001, "replacement_failed"))
                scenario.pass(.seconds(1))
                #expect(scenario.takeSpawns().allSatisfy { $0.configuration.command == ["worker"] })
            }
        }
    }

    @Test func doesNotWaitForAPreparationThatFails() throws {
        let scenario = Scenario { $0.pools[0].prepare = ["make"] }
        let client = try scenario.connect()
        let prepare = try #require(scenario.takeSpawns().first).worker
        scenario.call(client, 1, "config.reload")
        scenario.tick { $0.workerSpawned(prepare, pid: 50, &$1) }
        scenario.exit(prepare, .exited(code: 1))
        #expect(try scenario.answer(client)["result"]?["restart_required"] == ["pools[0].prepare"])
    }

    // MARK: The control socket

    @Test func withAControlSocketOperatorsMethodsExistOnlyThere() throws {
        let (scenario, main) = try Self.scenario { $0.controlSocket = .init(path: "/c") }
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
