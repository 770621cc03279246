import Protocol
import Testing

@testable import Supervisor

/// Exchanges of workers that something else gets in the way of.
@Suite struct ExchangeTests {
    private static func scenario(
        workers: Int = 2, _ configure: (inout Configuration) -> Void = { _ in }
    ) throws -> (Scenario, ConnectionToken) {
        let scenario = Scenario.ready(workers: workers) {
            $0.health.interval = .seconds(1000)
            $0.recycle.jitter = 0
            configure(&$0)
        }
        _ = scenario.takeSpawns()
        return (scenario, try scenario.connect())
    }

    private static func scale(_ scenario: Scenario, _ client: ConnectionToken, to workers: Int) throws {
        scenario.call(
            client, 900, "supervisor.scale", params: ["workers": .integer(workers), "pool": "default"])
        _ = try #require(scenario.take(client).last?["result"])
    }

    @Test func recyclesAWorkerThatFellDueInARolloutThatWasAborted() throws {
        let (scenario, client) = try Self.scenario(workers: 1) { $0.recycle.maxRequests = 1 }
        scenario.call(client, 1, "supervisor.restart")
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.call(client, 2)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        scenario.tick { $0.spawnFailed(new, reason: "no such file", &$1) }
        #expect(scenario.takeSpawns().isEmpty, "a moment's rest")
        scenario.pass(.seconds(30))
        #expect(scenario.takeSpawns().count == 1)
    }

    @Test func aSlotThatIsScaledAwayAndBackDoesNotAbortTheRollout() throws {
        let (scenario, client) = try Self.scenario { $0.timeouts.standard = .seconds(500) }
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        scenario.call(client, 3, "supervisor.restart", params: ["wait": true])
        let newcomer = try #require(scenario.takeSpawns().first).worker
        _ = scenario.take(client)
        try Self.scale(scenario, client, to: 1)
        #expect(scenario.slots[0].process == nil)
        try Self.scale(scenario, client, to: 2)
        let next = try #require(scenario.takeSpawns().first).worker
        scenario.exit(scenario.workers[0], .exited(code: 0))
        scenario.exit(newcomer, .exited(code: 0))
        #expect(scenario.take(client).isEmpty, "it was sent away, which is no failure")
        #expect(scenario.slots[0].process == next)
        #expect(scenario.core.rollouts.first?.active == .init(pool: 0, slot: 1))
    }

    @Test func leavesTheCallsToAWorkerThatIsOnItsWayOutAlready() throws {
        let (scenario, client) = try Self.scenario(workers: 1) { $0.health.noiseLines = 1 }
        scenario.call(client, 1)
        scenario.write(scenario.workers[0], "Loading …")
        scenario.write(scenario.workers[0], "Loading …")
        scenario.call(client, 2, "supervisor.restart", params: ["wait": true])
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.effects.signals.isEmpty, "it has a call")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(try scenario.answer(client)["result"] == "done")
        #expect(scenario.effects.signals.map(\.signal) == [.terminate])
    }

    @Test func anAbortedReloadKeepsWhatAnOperatorScaledToMeanwhile() throws {
        let (scenario, client) = try Self.scenario()
        scenario.effects.configuration = .success(scenario.core.configuration)
        scenario.call(client, 1, "supervisor.reload")
        let new = try #require(scenario.takeSpawns().first).worker
        _ = scenario.take(client)
        try Self.scale(scenario, client, to: 3)
        scenario.tick { $0.spawnFailed(new, reason: "no such file", &$1) }
        #expect(scenario.core.rollouts.isEmpty)
        #expect(scenario.core.pools[0].size == 3)
    }

    @Test func waitsForTheEndOfAProcessThatWasReplacedBeforeItWasReady() throws {
        let (scenario, client) = try Self.scenario(workers: 1)
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(100))
        let old = try #require(scenario.takeSpawns().first).worker
        scenario.call(client, 1, "supervisor.restart", params: ["wait": true])
        scenario.makeReady()
        #expect(scenario.take(client).isEmpty, "it has only been told to go")
        scenario.exit(old, .signaled(15))
        #expect(try scenario.answer(client)["result"]?["workers"]?.arrayValue?.count == 1)
    }
}
