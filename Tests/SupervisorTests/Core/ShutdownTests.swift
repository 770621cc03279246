import Protocol
import Testing

@testable import Supervisor

@Suite struct ShutdownTests {
    typealias Failure = Scenario.Failure

    private static func stop(_ scenario: Scenario) { scenario.tick { $0.stop(reason: "test", &$1) } }

    @Test func finishesWhatIsInFlightThenDismissesTheWorkers() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        Self.stop(scenario)
        scenario.call(client, 3)
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.effects.closedInputs.isEmpty)
        for _ in 0..<2 { scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last) }
        #expect(scenario.take(client).map { $0["result"] } == ["done", "done"])
        #expect(scenario.effects.closedInputs == [scenario.workers[0]])
        #expect(!scenario.effects.isFinished)
        scenario.exit(scenario.workers[0], .exited(code: 0))
        #expect(scenario.effects.isFinished)
    }

    @Test func tellsThoseStillOpenWhenTheGraceIsOver() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        Self.stop(scenario)
        scenario.pass(.seconds(15))
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.effects.signals.isEmpty)
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.map(\.signal) == [.terminate])
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.map(\.signal) == [.terminate, .kill])
    }

    @Test func stopsAtOnceTheSecondTime() throws {
        let scenario = Scenario.ready(workers: 2)
        let client = try scenario.connect()
        scenario.call(client, 1)
        Self.stop(scenario)
        Self.stop(scenario)
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.effects.signals.map(\.signal) == [.kill, .kill])
        for worker in scenario.workers { scenario.exit(worker) }
        #expect(scenario.effects.isFinished)
    }

    @Test func keepsTheGraceOfAWorkerThatIsThereOnlyAfterItWasDismissed() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        Self.stop(scenario)
        scenario.tick { $0.workerSpawned(scenario.workers[0], pid: 9, &$1) }
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.map(\.signal) == [.terminate])
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.map(\.signal) == [.terminate, .kill])
    }

    @Test func tellsThoseWhoWaitForAPreparationThatItIsStopping() throws {
        let scenario = Scenario { $0.pools[0].prepare = ["make"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        Self.stop(scenario)
        #expect(scenario.effects.signals.map(\.signal) == [.terminate])
        scenario.exit(scenario.workers[0], .signaled(15))
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.effects.isFinished)
    }

    @Test func startsNothingAnyMore() throws {
        let scenario = Scenario.ready(workers: 2)
        let client = try scenario.connect()
        _ = scenario.takeSpawns()
        scenario.call(client, 1)
        Self.stop(scenario)
        scenario.exit(scenario.workers[1])
        scenario.pass(.seconds(10))
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test func refusesWhatWaitsForAPoolThatIsBeingPrepared() throws {
        let scenario = Scenario { $0.pools[0].prepare = ["prepare"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        Self.stop(scenario)
        scenario.exit(scenario.workers[0], .exited(code: 0))
        #expect(try scenario.error(client) == Failure(1001, "shutting_down"))
        #expect(scenario.effects.isFinished)
    }
}
