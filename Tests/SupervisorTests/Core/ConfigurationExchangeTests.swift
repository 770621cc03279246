import Protocol
import Testing

@testable import Supervisor

/// `config.update` and `config.reload` where workers have to be exchanged for it.
@Suite struct ConfigurationExchangeTests {
    typealias Failure = Scenario.Failure

    // MARK: Update

    private static func twoPools() throws -> (Scenario, ConnectionToken) {
        try Scenario.connected {
            $0.pools[0].methods = ["a.*"]
            $0.pools.append(.init(name: "b"))
        }
    }

    @Test func exchangesTheWorkersOfThatPoolOnly() throws {
        let (scenario, client) = try Self.twoPools()
        scenario.call(
            client, 1, "config.update",
            params: try Scenario.change(#"{"pools":[{"name":"b","command":["new"]}]}"#))
        for _ in 0..<2 {
            let spawn = try #require(scenario.takeSpawns().first)
            #expect(spawn.pool == 1 && spawn.configuration.command == ["new"])
            scenario.makeReady(spawn.worker)
            #expect(scenario.take(client).isEmpty)
            let old = try #require(scenario.effects.closedInputs.last)
            scenario.exit(old, .exited(code: 0))
        }
        #expect(scenario.takeSpawns().isEmpty)
        scenario.acknowledgeUpdates()
        #expect(try scenario.answer(client)["result"]?["applied"] == ["pools[1].command"])
    }

    @Test func anAbortTakesTheUpdateBack() throws {
        let (scenario, client) = try Scenario.connected { $0.pools[0].command = ["old"] }
        let before = (scenario.core.configuration, scenario.core.source)
        scenario.call(
            client, 1, "config.update",
            params: try Scenario.change(#"{"retry":{"max_attempts":3},"pools":[{"command":["bad"]}]}"#))
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
        #expect(scenario.updatesTold(to: scenario.workers[0]).isEmpty)
    }

    @Test func anAbortAlsoTakesBackTheWorkersBefore() throws {
        let (scenario, client) = try Scenario.connected { $0.pools[0].command = ["old"] }
        scenario.call(
            client, 1, "config.update", params: try Scenario.change(#"{"pools":[{"command":["bad"]}]}"#))
        try scenario.exchangeWorkers()
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
        let (scenario, client) = try Scenario.connected()
        scenario.call(client, 1, "supervisor.reload", params: ["wait": true])
        scenario.call(
            client, 2, "config.update", params: try Scenario.change(#"{"retry":{"max_attempts":3}}"#))
        #expect(scenario.core.configuration.retry.maxAttempts == 2)
        try scenario.exchangeWorkers(2)
        scenario.acknowledgeUpdates()
        #expect(scenario.take(client).compactMap { $0["id"]?.integerValue } == [1, 2])
        #expect(scenario.core.configuration.retry.maxAttempts == 3, "a reload does not take it along")
    }

    // MARK: Reload

    @Test func reloadTellsWhatHasChanged() throws {
        let (scenario, client) = try Scenario.connected()
        var new = scenario.core.configuration
        new.health.timeout = .seconds(1)
        new.socket.path = "/elsewhere"
        scenario.effects.configuration = .success(new)
        scenario.call(client, 1, "config.reload")
        #expect(scenario.take(client).isEmpty)
        try scenario.exchangeWorkers(2)
        #expect(
            try scenario.answer(client)["result"] == [
                "applied": ["health.timeout"], "restart_required": ["socket.path"],
            ])
    }

    @Test func reloadRefusesACommandThatDoesNotComeUp() throws {
        let (scenario, client) = try Scenario.connected { $0.pools[0].command = ["old"] }
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
        scenario.effects.configuration = .success(scenario.core.configuration)
        scenario.call(client, 1, "config.reload")
        scenario.tick { $0.workerSpawned(prepare, pid: 50, &$1) }
        #expect(scenario.take(client).isEmpty)
        scenario.exit(prepare, .exited(code: 1))
        #expect(try scenario.answer(client)["result"] == ["applied": [], "restart_required": []])
    }
}
