import Protocol
import Testing

@testable import Supervisor

/// A `prepare` that never ends, or is no good: nothing is held up by it, and a reload takes another one.
@Suite struct PreparationTests {
    /// A pool whose `prepare` runs, and which is to reload with another one.
    private static func preparing(
        next prepare: [String], _ configure: (inout Configuration) -> Void = { _ in }
    ) throws -> (scenario: Scenario, client: ConnectionToken, process: WorkerToken) {
        let scenario = Scenario {
            $0.pools[0].prepare = ["hangs"]
            configure(&$0)
        }
        let process = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(process, pid: 50, &$1) }
        var new = scenario.core.configuration
        new.pools[0].prepare = prepare
        scenario.effects.configuration = .success(new)
        return (scenario, try scenario.connect(), process)
    }

    private static func end(_ scenario: Scenario, _ spawn: SpawnRequest, code: Int32 = 0) {
        scenario.tick { $0.workerSpawned(spawn.worker, pid: 51, &$1) }
        scenario.exit(spawn.worker, .exited(code: code))
    }

    @Test func oneThatIgnoresSIGTERMDoesNotHoldUpAStop() throws {
        let (scenario, client, process) = try Self.preparing(next: [])
        scenario.call(client, 1, "supervisor.stop")
        #expect(scenario.effects.signals == [.init(worker: process, signal: .terminate)])
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.last == .init(worker: process, signal: .kill))
        scenario.exit(process, .signaled(9))
        #expect(scenario.effects.isFinished)
    }

    @Test func oneThatHangsMakesWayForTheNext() throws {
        let (scenario, client, process) = try Self.preparing(next: ["works"])
        scenario.call(client, 1, "config.reload")
        #expect(scenario.effects.signals == [.init(worker: process, signal: .terminate)])
        #expect(scenario.takeSpawns().isEmpty, "never do two of them work on the same files")
        scenario.pass(.seconds(5))
        scenario.exit(process, .signaled(9))
        #expect(!scenario.effects.events.contains("pool.prepare_failed"))
        let next = try #require(scenario.takeSpawns().first)
        #expect(next.role == .preparing && next.configuration.prepare == ["works"])
        #expect(scenario.take(client).isEmpty)
        Self.end(scenario, next)
        scenario.makeReady()
        let answer = try scenario.answer(client)
        #expect(answer["result"] == ["applied": ["pools[0].prepare"], "restart_required": []])
        #expect(scenario.status()["status"] == "healthy")
    }

    /// It may end well after it was told to go: the next one runs all the same.
    @Test func oneThatEndsWhileItMakesWayDoesNotCount() throws {
        let (scenario, client, process) = try Self.preparing(next: ["works"])
        scenario.call(client, 1, "config.reload")
        scenario.exit(process, .exited(code: 0))
        #expect(scenario.takeSpawns().map(\.configuration.prepare) == [["works"]])
    }

    @Test func noneMayTakeThePlaceOfOneThatHangs() throws {
        let (scenario, client, process) = try Self.preparing(next: [])
        scenario.call(client, 1, "config.reload")
        scenario.exit(process, .signaled(15))
        let spawns = scenario.takeSpawns()
        #expect(spawns.map(\.role) == [.serving, .serving])
        for spawn in spawns { scenario.makeReady(spawn.worker) }
        #expect(try scenario.answer(client)["result"]?["applied"] == ["pools[0].prepare"])
    }

    @Test func oneThatHasFailedIsFollowedByTheNextAtOnce() throws {
        let (scenario, client, process) = try Self.preparing(next: ["works"])
        scenario.exit(process, .exited(code: 1))
        scenario.call(client, 1, "config.reload")
        scenario.pass(0)
        let next = try #require(scenario.takeSpawns().first)
        #expect(next.configuration.prepare == ["works"])
        Self.end(scenario, next)
        scenario.makeReady()
        #expect(try scenario.answer(client)["result"]?["applied"] == ["pools[0].prepare"])
    }

    @Test func oneThatHasEndedWellStays() throws {
        let (scenario, client, process) = try Self.preparing(next: ["other"])
        scenario.exit(process, .exited(code: 0))
        scenario.makeReady()
        _ = scenario.takeSpawns()
        scenario.call(client, 1, "config.reload")
        try scenario.exchangeWorkers(2)
        #expect(
            try scenario.answer(client)["result"]
                == ["applied": [], "restart_required": ["pools[0].prepare"]])
    }

    @Test func whatComesAfterAReloadDoesNotWaitForIt() throws {
        let (scenario, client, process) = try Self.preparing(next: ["hangs"])
        scenario.call(client, 1, "config.reload")
        #expect(scenario.take(client).isEmpty, "it waits for the workers that it starts")
        scenario.call(
            client, 2, "config.update", params: try Scenario.change(#"{"pools":[{"prepare":["works"]}]}"#))
        let answers = scenario.take(client)
        #expect(answers.map { $0["id"] } == [1, 2])
        #expect(answers.last?["result"]?["applied"] == ["pools[0].prepare"])
        scenario.exit(process, .signaled(15))
        #expect(scenario.takeSpawns().map(\.configuration.prepare) == [["works"]])
        #expect(scenario.core.rollouts.isEmpty)
    }

    @Test func anAbortBringsTheOldOneBack() throws {
        let (scenario, client, process) = try Self.preparing(next: []) {
            var second = Configuration.Pool(name: "b")
            second.command = ["old"]
            $0.pools.append(second)
        }
        for worker in scenario.workers where worker != process { scenario.makeReady(worker) }
        _ = scenario.takeSpawns()
        scenario.call(
            client, 1, "config.update",
            params: try Scenario.change(
                #"{"pools":[{"prepare":["other"]},{"name":"b","command":["bad"]}]}"#))
        let bad = try #require(scenario.takeSpawns().last { $0.pool == 1 })
        scenario.tick { $0.spawnFailed(bad.worker, reason: "no", &$1) }
        #expect(try scenario.error(client) == .init(4001, "replacement_failed"))
        scenario.exit(process, .signaled(15))
        #expect(scenario.takeSpawns().map(\.configuration.prepare) == [["hangs"]])
    }
}
