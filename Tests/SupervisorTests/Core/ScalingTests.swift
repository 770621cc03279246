import Protocol
import Testing

@testable import Supervisor

/// The size of a pool between its least and its most.
@Suite struct ScalingTests {
    typealias Failure = Scenario.Failure

    private static func elastic(
        _ workers: ClosedRange<Int>, _ configure: (inout Configuration) -> Void = { _ in }
    ) -> Scenario {
        let scenario = Scenario {
            $0.pools[0].minWorkers = workers.lowerBound
            $0.pools[0].maxWorkers = workers.upperBound
            configure(&$0)
        }
        scenario.makeReady()
        return scenario
    }

    private static func states(_ scenario: Scenario) -> [JSONValue?] {
        scenario.status()["pools"]?.arrayValue?.first?["workers"]?.arrayValue?.map { $0["state"] } ?? []
    }

    @Test func addsAWorkerWhenAllHaveBeenBusyAndCallsWaited() throws {
        let scenario = Self.elastic(1...3)
        let client = try scenario.connect()
        for id in 0..<3 { scenario.call(client, id) }
        scenario.pass(.milliseconds(99))
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.milliseconds(1))
        let second = try #require(scenario.takeSpawns().first)
        scenario.pass(.seconds(1))
        #expect(scenario.takeSpawns().isEmpty, "one that starts is waited for")
        scenario.makeReady(second.worker)
        scenario.pass(.milliseconds(100))
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.slots.count == 3)
    }

    @Test func addsNoneWhenTheQueueEmptiesInBetween() throws {
        let scenario = Self.elastic(1...2)
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(60))
        scenario.reply(worker, scenario.calls(on: worker).last)
        scenario.call(client, 3)
        scenario.pass(.milliseconds(60))
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.milliseconds(40))
        #expect(scenario.takeSpawns().count == 1)
    }

    @Test func neverHasMoreThanItsMost() throws {
        let scenario = Self.elastic(1...2)
        let client = try scenario.connect()
        for id in 0..<20 { scenario.call(client, id) }
        for _ in 0..<20 {
            scenario.pass(.milliseconds(100))
            scenario.makeReady()
        }
        #expect(scenario.workers.count == 2)
        #expect(scenario.effects.events.contains("pool.scaled"))
    }

    @Test func sendsAnIdleWorkerAwayAfterAWhileAndNeverABusyOne() throws {
        let scenario = Self.elastic(1...3) {
            $0.scaling.downAfter = .seconds(60)
            $0.timeouts.standard = .seconds(500)
            $0.health.interval = .seconds(1000)
        }
        let client = try scenario.connect()
        for id in 1...3 { scenario.call(client, id) }
        for _ in 0..<2 {
            scenario.pass(.milliseconds(100))
            scenario.makeReady()
        }
        // The last slot's worker is busy, so the one before it goes.
        for worker in scenario.workers[..<2] {
            scenario.reply(worker, scenario.calls(on: worker).last)
        }
        scenario.pass(.seconds(59))
        #expect(scenario.effects.closedInputs.isEmpty)
        scenario.pass(.seconds(1))
        #expect(scenario.effects.closedInputs == [scenario.workers[1]])
        #expect(Self.states(scenario) == ["ready", "busy"])
        scenario.exit(scenario.workers[1], .exited(code: 0))
        scenario.pass(.seconds(60))
        #expect(scenario.effects.closedInputs == [scenario.workers[1], scenario.workers[0]])
        scenario.pass(.seconds(200))
        #expect(Self.states(scenario) == ["busy"], "not below its least")
        #expect(scenario.workers.count == 3, "and nothing was started for those that went")
    }

    @Test func keepsTheWorkerThatServesWhenTheOtherIsNoGood() throws {
        let scenario = Self.elastic(1...2) {
            $0.scaling.downAfter = .seconds(10)
            $0.restart.maxDeaths = 1
            $0.health.interval = .seconds(1000)
        }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(100))
        scenario.makeReady()
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        scenario.exit(scenario.workers[0])
        #expect(scenario.slots[0].isQuarantined)
        scenario.pass(.seconds(10))
        #expect(Self.states(scenario) == ["ready"])
        #expect(scenario.effects.closedInputs.isEmpty)
    }

    @Test func keepsTheOnlyWorkerThatServesWhileTheOtherIsDrained() throws {
        let scenario = Self.elastic(1...2) {
            $0.scaling.downAfter = .seconds(10)
            $0.health.interval = .seconds(1000)
        }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(100))
        scenario.makeReady()
        for worker in scenario.workers { scenario.reply(worker, scenario.calls(on: worker).last) }
        scenario.call(client, 3, "supervisor.drain", params: ["worker": 0])
        scenario.pass(.seconds(100))
        #expect(Self.states(scenario) == ["draining", "ready"])
    }

    // MARK: By hand

    @Test func keepsTheWorkerThatStartsWhenTheOtherIsNoGood() throws {
        let scenario = Self.elastic(2...2) { $0.restart.maxDeaths = 1 }
        let client = try scenario.connect()
        scenario.exit(scenario.workers[0])
        scenario.call(client, 1, "supervisor.restart", params: ["worker": 1])
        let old = scenario.workers[1]
        scenario.exit(old)
        #expect(Self.states(scenario) == ["quarantined", "starting"])
        scenario.call(client, 2, "supervisor.scale", params: ["workers": 1])
        #expect(Self.states(scenario) == ["starting"])
    }

    @Test func doesNotBlameAWorkerThatWasSentAway() throws {
        let scenario = Self.elastic(2...2) { $0.restart.maxDeaths = 1 }
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.scale", params: ["workers": 1])
        _ = scenario.take(client)
        scenario.exit(scenario.workers[1], .exited(code: 0))
        scenario.exit(scenario.workers[0])
        scenario.pass(.seconds(5))
        let next = try #require(scenario.workers.last)
        scenario.tick { $0.spawnFailed(next, reason: "no descriptors", isShortage: true, &$1) }
        scenario.call(client, 2)
        #expect(try scenario.error(client) == Failure(5002, "spawn_failed"))
    }

    @Test func growsAndShrinksByHand() throws {
        let scenario = Self.elastic(2...2)
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.scale", params: ["workers": 4])
        let answer = try scenario.answer(client)
        #expect(answer["result"]?["min_workers"] == 4)
        #expect(scenario.takeSpawns().count == 2)
        scenario.makeReady(scenario.workers[2])
        scenario.makeReady(scenario.workers[3])
        scenario.call(client, 2)
        scenario.call(client, 3, "supervisor.scale", params: ["workers": 1, "pool": "default"])
        #expect(Set(scenario.effects.closedInputs) == Set(scenario.workers[1...3]), "the busy one stays")
        #expect(Self.states(scenario) == ["busy"])
        let pool = try #require(scenario.status()["pools"]?.arrayValue?.first)
        #expect(pool["min_workers"] == 1)
        #expect(pool["max_workers"] == 1)
    }

    @Test func drainsABusyWorkerThatIsOneTooMany() throws {
        let scenario = Self.elastic(2...2)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.call(client, 3, "supervisor.scale", params: ["workers": 1])
        #expect(scenario.take(client).count == 1)
        #expect(scenario.effects.closedInputs.isEmpty)
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        #expect(scenario.effects.closedInputs == [scenario.workers[1]])
        #expect(try scenario.answer(client)["result"] == "done")
    }

    @Test func leavesADrainedWorkerWhereItIs() throws {
        let scenario = Self.elastic(2...2)
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.drain", params: ["worker": 1])
        scenario.call(client, 2, "supervisor.scale", params: ["workers": 1])
        #expect(scenario.effects.closedInputs == [scenario.workers[0]])
        #expect(Self.states(scenario) == ["draining"])
    }

    @Test func changesNothingWhileTheSupervisorStops() throws {
        let scenario = Self.elastic(1...1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.tick { $0.stop(reason: "test", &$1) }
        scenario.call(client, 2, "supervisor.scale", params: ["workers": 3])
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test(arguments: [
        (#"{}"#, "workers"), (#"{"workers":0}"#, "workers"), (#"{"workers":5000}"#, "workers"),
        (#"{"workers":"many"}"#, "workers"), (#"{"workers":2,"pol":"default"}"#, "pol"),
        (#"{"workers":2,"pool":"defualt"}"#, "pool"), (#"{"workers":65}"#, "workers"),
    ]) func refusesWhatItCannotDo(params: String, path: String) throws {
        let scenario = Self.elastic(1...1)
        let client = try scenario.connect()
        scenario.call(client, 1, "supervisor.scale", params: try JSONValue(parsing: params))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602)
        #expect(error["data"]?["path"]?.stringValue == path)
    }
}
