import Protocol
import Testing

@testable import Supervisor

/// P11: a rolling restart loses nothing, and stops at the first new process that is no good.
@Suite struct RolloutTests {
    typealias Failure = Scenario.Failure

    // MARK: Restart

    @Test func replacesOneWorkerAfterTheOtherAndTellsWhoWaits() throws {
        let (scenario, client) = try Scenario.connected(workers: 3)
        scenario.call(client, 1, "supervisor.restart", params: ["rolling": true, "wait": true])
        try scenario.exchangeWorkers(2)
        #expect(scenario.take(client).isEmpty)
        try scenario.exchangeWorkers()
        let result = try #require(try scenario.answer(client)["result"])
        let workers = try #require(result["workers"]?.arrayValue)
        #expect(workers.map { $0["slot"] } == [0, 1, 2])
        #expect(
            workers.allSatisfy {
                $0["worker_id"]?.stringValue != nil && $0["replaced_by"]?.stringValue != nil
            })
        #expect(scenario.effects.closedInputs == Array(scenario.workers[..<3]))
        #expect(scenario.slots.map(\.process) == scenario.workers[3...].map { $0 })
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test func tellsAtOnceWhatItWillDoWhenNobodyWaits() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart")
        let workers = try scenario.answer(client)["result"]?["workers"]?.arrayValue
        #expect(workers?.map { $0["replaced_by"] } == [.null, .null])
        try scenario.exchangeWorkers(2)
        #expect(scenario.take(client).isEmpty)
    }

    @Test func waitsForTheOldWorkersCallsBeforeTheNextOne() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1)
        scenario.call(client, 2, "supervisor.restart", params: ["wait": true])
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.makeReady(new)
        #expect(scenario.effects.closedInputs.isEmpty, "it has a call")
        #expect(scenario.takeSpawns().isEmpty, "never more than one process too many")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(try scenario.answer(client)["id"] == 1)
        scenario.exit(scenario.workers[0], .exited(code: 0))
        try scenario.exchangeWorkers()
        #expect(try scenario.answer(client)["id"] == 2)
    }

    @Test func restartsTheOneThatIsNamed() throws {
        let (scenario, client) = try Scenario.connected(workers: 3)
        let worker = scenario.workers[1]
        let id = scenario.core.workers[worker].id
        for name: JSONValue in [.string(id), 101, 1] {
            scenario.call(client, 1, "supervisor.restart", params: ["worker": name])
            guard scenario.take(client).first?["result"] != nil else {
                Issue.record("\(name.text) was not found")
                continue
            }
            let new = try #require(scenario.takeSpawns().first)
            #expect(scenario.core.workers[new.worker].slot == 1)
            scenario.tick { $0.workerSpawned(new.worker, pid: 101, &$1) }
            scenario.answerHealth(new.worker, ["status": "healthy"])
            let old = try #require(scenario.effects.closedInputs.last)
            scenario.exit(old, .exited(code: 0))
            if name == .string(id) { #expect(old == worker) }
            // The next name stands for the new worker of the same slot.
            if name == .string(id) { continue }
        }
        #expect(scenario.core.rollouts.isEmpty)
    }

    @Test func bringsAQuarantinedWorkerBack() throws {
        let (scenario, client) = try Scenario.connected(workers: 1) { $0.restart.maxDeaths = 1 }
        scenario.exit(scenario.workers[0])
        #expect(scenario.slots[0].isQuarantined)
        scenario.call(client, 1, "supervisor.restart", params: ["worker": "0", "wait": true])
        scenario.makeReady()
        #expect(try scenario.answer(client)["result"]?["workers"]?.arrayValue?.count == 1)
        #expect(scenario.slots[0].process == scenario.workers[1])
        #expect(scenario.slots[0].policy.failedStartsInARow == 0)
    }

    @Test func abortsAtTheFirstProcessThatFailsToBootAndLeavesTheOthersServing() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart", params: ["rolling": true, "wait": true])
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(new, pid: 300, &$1) }
        scenario.exit(new, .exited(code: 7))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 1001)
        #expect(error["data"]?["reason"] == "replacement_failed")
        #expect(error["message"]?.stringValue?.contains("exited with code 7") == true)
        #expect(error["data"]?["stderr_tail"] == "first\nlast words")
        #expect(scenario.slots.map(\.process) == scenario.workers[..<2].map { $0 })
        #expect(scenario.takeSpawns().isEmpty)
        #expect(scenario.effects.closedInputs.isEmpty)
        let status = scenario.status()
        #expect(status["status"] == "healthy")
        #expect(
            status["reasons"]?.arrayValue?.first?.stringValue?.hasPrefix("the restart was aborted") == true)
    }

    @Test func abortsAtTheFirstProcessThatIsNeverReady() throws {
        let (scenario, client) = try Scenario.connected { $0.pools[0].startTimeout = .seconds(30) }
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(new, pid: 300, &$1) }
        scenario.pass(.seconds(30))
        #expect(scenario.effects.signals == [.init(worker: new, signal: .terminate)])
        scenario.exit(new, .signaled(15))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["message"]?.stringValue?.contains("not ready within its start_timeout") == true)
        #expect(scenario.slots.map(\.process) == scenario.workers[..<2].map { $0 })
    }

    @Test func abortsWhenTheProgramCannotBeStarted() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.spawnFailed(new, reason: "no such file", &$1) }
        #expect(try scenario.error(client) == Failure(1001, "replacement_failed"))
        #expect(scenario.slots.map(\.process) == scenario.workers[..<2].map { $0 })
    }

    @Test func oneRolloutWaitsForTheOther() throws {
        let (scenario, client) = try Scenario.connected(workers: 1)
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        scenario.call(client, 2, "supervisor.restart", params: ["wait": true])
        try scenario.exchangeWorkers()
        #expect(try scenario.answer(client)["id"] == 1)
        try scenario.exchangeWorkers()
        #expect(try scenario.answer(client)["id"] == 2)
    }

    @Test func aRolloutWaitsForTheWorkerThatIsBeingRecycled() throws {
        let (scenario, client) = try Scenario.connected(workers: 1) {
            $0.health.interval = .seconds(1000)
            $0.recycle.maxAge = .seconds(60)
            $0.recycle.jitter = 0
        }
        scenario.pass(.seconds(60))
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        try scenario.exchangeWorkers()
        #expect(scenario.take(client).isEmpty)
        try scenario.exchangeWorkers()
        #expect(try scenario.answer(client)["id"] == 1)
    }

    @Test func aCallerThatLeavesOrCancelsDoesNotStopIt() throws {
        let (scenario, client) = try Scenario.connected()
        let other = try scenario.connect()
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        scenario.call(other, 2, "supervisor.restart", params: ["wait": true])
        scenario.send(other, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        #expect(try scenario.error(other) == Failure(-32800, "cancelled"))
        scenario.tick { $0.disconnected(client, &$1) }
        try scenario.exchangeWorkers(4)
        #expect(scenario.core.requests.count == 0)
    }

    @Test func aCallerWaitsNoLongerThanItWants() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(
            client, 1, "supervisor.restart", params: ["wait": true], metadata: ["timeout_ms": 1000])
        scenario.pass(.seconds(1))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        try scenario.exchangeWorkers(2)
    }

    @Test func aStopEndsItWithoutSayingThatItSucceeded() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        scenario.tick { $0.stop(reason: "test", &$1) }
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        for worker in scenario.core.workers.tokens { scenario.exit(worker, .exited(code: 0)) }
        #expect(scenario.effects.isFinished)
    }

    @Test(arguments: [
        (#"{"worker":"w","rolling":true}"#, "rolling"), (#"{"worker":"none"}"#, "worker"),
        (#"{"worker":""}"#, "worker"), (#"{"worker":{}}"#, "worker"), (#"{"wait":1}"#, "wait"),
        (#"{"workers":1}"#, "workers"), (#"{"worker":"worker_"}"#, "worker"),
    ]) func refusesWhatItDoesNotUnderstand(params: String, path: String) throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart", params: try JSONValue(parsing: params))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602)
        #expect(error["data"]?["path"]?.stringValue == path)
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test(arguments: ["restart", "reload", "drain", "scale", "stop"])
    func isForOperatorsOnly(method: String) throws {
        let (scenario, _) = try Scenario.connected()
        let stranger = try scenario.connect(uid: 7)
        scenario.call(stranger, 1, "supervisor.\(method)")
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
        #expect(scenario.effects.events.contains("operator.refused"))
    }

    // MARK: Reload

    @Test func startsTheNewCommandAndGoesBackWhenItIsNoGood() throws {
        let (scenario, client) = try Scenario.connected { $0.pools[0].command = ["old"] }
        scenario.call(client, 0, "supervisor.scale", params: ["workers": 3])
        _ = scenario.take(client)
        scenario.makeReady()
        var new = scenario.core.configuration
        new.pools[0].command = ["new"]
        new.loadBalancer.queueSize = 7
        scenario.effects.configuration = .success(new)
        scenario.call(client, 1, "supervisor.reload", params: ["wait": true])
        let spawn = try #require(scenario.takeSpawns().first)
        #expect(spawn.configuration.command == ["new"])
        #expect(scenario.core.configuration.loadBalancer.queueSize == 7)
        scenario.tick { $0.workerSpawned(spawn.worker, pid: 300, &$1) }
        scenario.exit(spawn.worker, .exited(code: 1))
        #expect(try scenario.error(client) == Failure(1001, "replacement_failed"))
        #expect(scenario.core.configuration.loadBalancer.queueSize == 256)
        #expect(scenario.core.pools[0].size == 3, "what an operator scaled to is kept")
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(100))
        #expect(scenario.takeSpawns().first?.configuration.command == ["old"], "the old one is good still")
    }

    @Test func takesWhatItCanAndNamesWhatNeedsARestart() throws {
        let (scenario, client) = try Scenario.connected()
        var new = scenario.core.configuration
        new.socket.path = "/elsewhere"
        new.timeouts.perMethod = ["job.run": .seconds(2)]
        new.pools[0].minWorkers = 3
        new.pools[0].maxWorkers = 3
        scenario.effects.configuration = .success(new)
        scenario.call(client, 1, "supervisor.reload")
        let result = try scenario.answer(client)["result"]
        #expect(result?["restart_required"] == ["socket.path"])
        #expect(scenario.core.configuration.socket.path == nil)
        #expect(scenario.core.pools[0].size == 3)
        #expect(scenario.status()["pools"]?.arrayValue?.first?["min_workers"] == 3)
        scenario.call(client, 2)
        scenario.pass(.seconds(2))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
    }

    @Test func refusesABadConfigurationWholeAndSaysAllThatIsWrong() throws {
        let (scenario, client) = try Scenario.connected()
        let errors = [
            ConfigurationError(path: "pools[0].command", "expected a list"),
            ConfigurationError(path: "health.interval", "expected a duration", suggestion: "10s"),
        ]
        scenario.effects.configuration = .failure(InvalidConfiguration(errors: errors))
        scenario.call(client, 1, "supervisor.reload", params: ["wait": true])
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 4001)
        #expect(
            error["data"]?["errors"]?.arrayValue?.map { $0["path"] } == [
                "pools[0].command", "health.interval",
            ])
        #expect(scenario.takeSpawns().isEmpty)
        #expect(scenario.effects.events.contains("config.rejected"))
    }

    @Test func refusesMoreWorkersThanTheSystemHasRoomFor() throws {
        let (scenario, client) = try Scenario.connected()
        var new = scenario.core.configuration
        new.pools[0].maxWorkers = 65
        scenario.effects.configuration = .success(new)
        scenario.call(client, 1, "supervisor.reload")
        #expect(try scenario.error(client).code == 4001)
    }

    @Test func lowersAndRaisesConnectionsUpToThoseOfTheStart() throws {
        let (scenario, client) = try Scenario.connected { $0.limits.connections = 100 }
        for (asked, present, keys) in [(50, 50, []), (100, 100, []), (101, 100, ["limits.connections"])] {
            var new = scenario.core.configuration
            new.limits.connections = asked
            scenario.effects.configuration = .success(new)
            scenario.call(client, 1, "supervisor.reload")
            let required = try scenario.answer(client)["result"]?["restart_required"]
            #expect(required == .array(keys.map { .string($0) }))
            #expect(scenario.core.limits.connections == present)
            try scenario.exchangeWorkers(2)
        }
    }

    @Test func aStormOfSignalsIsTwoReloads() throws {
        let (scenario, client) = try Scenario.connected(workers: 2)
        for _ in 0..<50 { scenario.tick { $0.reload(reason: "SIGHUP", &$1) } }
        scenario.call(client, 1, "supervisor.reload", params: ["wait": true])
        #expect(scenario.core.rollouts.count == 2)
        try scenario.exchangeWorkers(4)
        #expect(try scenario.answer(client)["result"]?["workers"]?.arrayValue?.count == 2)
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test func abortsWhenTheNewProcessDiesBeforeItsFirstAnswer() throws {
        let (scenario, client) = try Scenario.connected(workers: 3)
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.makeReady(new)
        scenario.exit(new, .signaled(11))
        #expect(try scenario.error(client) == Failure(1001, "replacement_failed"))
        scenario.exit(scenario.workers[0], .exited(code: 0))
        scenario.pass(.milliseconds(100))
        #expect(scenario.takeSpawns().count == 1, "its own slot is filled again")
        #expect(scenario.slots[1].process == scenario.workers[1])
        #expect(scenario.slots[2].process == scenario.workers[2])
    }

    @Test func callsUnderWayKeepTheirMeaning() throws {
        let (scenario, client) = try Scenario.connected { $0.timeouts.perMethod = ["job.run": .seconds(30)] }
        scenario.call(client, 1)
        var new = scenario.core.configuration
        new.timeouts.perMethod = ["a.first": .seconds(1), "job.run": .seconds(40)]
        new.retry.methods = ["a.first"]
        scenario.effects.configuration = .success(new)
        scenario.tick { $0.reload(reason: "SIGHUP", &$1) }
        scenario.pass(.seconds(29))
        #expect(scenario.take(client).isEmpty)
        scenario.exit(scenario.workers[0])
        #expect(try scenario.error(client).code == 2001, "job.run is not taken for a.first")
    }

    // MARK: Drain

    @Test func leavesADrainedWorkerAloneUntilItIsRestarted() throws {
        let (scenario, client) = try Scenario.connected { $0.health.interval = .seconds(1000) }
        scenario.call(client, 1, "rag.execute")
        scenario.call(client, 2, "supervisor.drain", params: ["worker": 0])
        let answer = try scenario.answer(client)
        #expect(answer["result"]?["in_flight"] == 1)
        #expect(answer["result"]?["pid"] == 100)
        for id in 3...4 {
            scenario.call(client, id)
            scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        }
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
        scenario.pass(.seconds(2500))
        // Its call is overdue; it is not even asked for its health.
        let asked = scenario.workers.map { worker in
            scenario.messages(to: worker).count { $0["method"] == "health.check" }
        }
        #expect(asked == [1, 2])
        #expect(scenario.effects.signals.isEmpty)
        #expect(scenario.takeSpawns().isEmpty)
        let status = try #require(scenario.status()["pools"]?.arrayValue?.first)
        #expect(status["workers"]?.arrayValue?.first?["state"] == "draining")
        #expect(status["status"] == "degraded")
        _ = scenario.take(client)
        // A rolling restart passes it by; its own restart brings it back.
        scenario.call(client, 5, "supervisor.restart", params: ["rolling": true])
        #expect(try scenario.answer(client)["result"]?["workers"]?.arrayValue?.count == 1)
        try scenario.exchangeWorkers()
        scenario.call(client, 6, "supervisor.restart", params: ["worker": 0, "wait": true])
        try scenario.exchangeWorkers()
        #expect(try scenario.answer(client)["result"] != nil)
        #expect(scenario.status()["status"] == "healthy")
    }

    @Test func fillsTheSlotOfADrainedWorkerThatDies() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.drain", params: ["worker": 0])
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(100))
        #expect(scenario.takeSpawns().count == 1)
    }

    @Test func doesNotDrainAWorkerThatIsBeingReplaced() throws {
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.restart", params: ["worker": 0])
        _ = scenario.take(client)
        scenario.call(client, 2, "supervisor.drain", params: ["worker": 0])
        #expect(try scenario.error(client) == Failure(1001, "worker_leaving"))
    }
}
