import Protocol
import Testing

@testable import Supervisor

/// Workers that are exchanged because of their age, their calls or their memory: the new one is ready first.
@Suite struct RecyclingTests {
    private static func scenario(
        workers: Int = 2, _ configure: (inout Configuration) -> Void
    ) -> Scenario {
        let scenario = Scenario.ready(workers: workers) {
            $0.recycle.jitter = 0
            $0.health.interval = .seconds(1000)
            configure(&$0)
        }
        _ = scenario.takeSpawns()
        return scenario
    }

    private static func serve(_ scenario: Scenario, _ client: ConnectionToken, on worker: Int) {
        scenario.call(client, 1)
        let token = scenario.workers[worker]
        scenario.reply(token, scenario.calls(on: token).last)
    }

    @Test func exchangesAWorkerAfterItsCallsAndHasTheNewOneReadyFirst() throws {
        let scenario = Self.scenario(workers: 1) { $0.recycle.maxRequests = 2 }
        let client = try scenario.connect()
        Self.serve(scenario, client, on: 0)
        #expect(scenario.takeSpawns().isEmpty)
        Self.serve(scenario, client, on: 0)
        let spawns = scenario.takeSpawns()
        #expect(spawns.count == 1)
        let (old, new) = (scenario.workers[0], scenario.workers[1])
        Self.serve(scenario, client, on: 0)
        #expect(scenario.slots[0].process == old, "the old one serves until the new one is ready")
        #expect(scenario.effects.closedInputs.isEmpty)
        scenario.makeReady(new)
        #expect(scenario.slots[0].process == new)
        #expect(scenario.effects.closedInputs == [old])
        scenario.exit(old, .exited(code: 0))
        #expect(scenario.slots[0].lastExit?.reason == "max_requests")
        #expect(scenario.slots[0].process == new)
        #expect(scenario.takeSpawns().isEmpty)
        #expect(scenario.effects.events.contains("worker.recycled"))
        Self.serve(scenario, client, on: 1)
        #expect(scenario.take(client).count { $0["result"] == "done" } == 4)
    }

    @Test func letsTheOldWorkerFinishItsCalls() throws {
        let scenario = Self.scenario(workers: 1) { $0.recycle.maxAge = .seconds(60) }
        let client = try scenario.connect()
        scenario.pass(.seconds(59))
        scenario.call(client, 1, metadata: ["timeout_ms": 30_000])
        scenario.pass(.seconds(1))
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.makeReady(new)
        #expect(scenario.effects.closedInputs.isEmpty)
        scenario.call(client, 2)
        #expect(scenario.calls(on: new).count == 1, "new calls go to the new one")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(scenario.effects.closedInputs == [scenario.workers[0]])
        #expect(try scenario.answer(client)["id"] == 1)
    }

    @Test func exchangesOneWorkerAtATime() throws {
        let scenario = Self.scenario(workers: 3) { $0.recycle.maxAge = .seconds(60) }
        scenario.pass(.seconds(60))
        var exchanged: [WorkerToken] = []
        for _ in 0..<3 {
            let spawns = scenario.takeSpawns()
            #expect(spawns.count == 1)
            let new = try #require(spawns.first).worker
            scenario.makeReady(new)
            #expect(scenario.takeSpawns().isEmpty, "not before the old one is gone")
            let old = try #require(scenario.effects.closedInputs.last)
            exchanged.append(old)
            scenario.exit(old, .exited(code: 0))
        }
        #expect(exchanged == Array(scenario.workers[..<3]))
        #expect(scenario.takeSpawns().isEmpty)
    }

    @Test func keepsTheOldWorkerWhenTheNewOneDoesNotComeUp() throws {
        let scenario = Self.scenario(workers: 1) {
            $0.recycle.maxAge = .seconds(60)
            $0.restart.backoffMax = .seconds(20)
        }
        let client = try scenario.connect()
        scenario.pass(.seconds(60))
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(new, pid: 200, &$1) }
        scenario.exit(new, .exited(code: 1))
        #expect(scenario.slots[0].process == scenario.workers[0])
        #expect(scenario.slots[0].policy.failedStartsInARow == 0)
        #expect(scenario.effects.events.contains("worker.replacement_failed"))
        scenario.call(client, 1)
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
        scenario.pass(.seconds(19))
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.seconds(1))
        #expect(scenario.takeSpawns().count == 1, "it is tried again after backoff_max")
    }

    @Test func aDeathOfTheOldWorkerGivesItsSlotToTheNewOne() throws {
        let scenario = Self.scenario(workers: 1) { $0.recycle.maxAge = .seconds(60) }
        let client = try scenario.connect()
        scenario.pass(.seconds(60))
        let new = try #require(scenario.takeSpawns().first).worker
        scenario.tick { $0.workerSpawned(new, pid: 200, &$1) }
        scenario.call(client, 1, "rag.execute")
        scenario.exit(scenario.workers[0])
        #expect(scenario.slots[0].process == new)
        scenario.pass(.seconds(1))
        #expect(scenario.takeSpawns().isEmpty, "the new one is enough")
        scenario.answerHealth(new, ["status": "healthy"])
        #expect(scenario.calls(on: new).count == 1)
    }

    @Test func takesAPartOfTheJitterOffSoThatNotAllAreDueAtOnce() throws {
        var ages: Set<Nanoseconds> = []
        let scenario = Scenario.ready(workers: 4) {
            $0.recycle.maxAge = .seconds(100)
            $0.recycle.jitter = 0.5
        }
        for worker in scenario.workers {
            let key = scenario.core.key(.age, Int(worker.index))
            let due = scenario.core.timers.time(of: key)
            let time = try #require(due)
            ages.insert(time.duration(since: scenario.core.now))
        }
        #expect(ages.count == 4)
        #expect(ages.allSatisfy { (Nanoseconds.seconds(50)...Nanoseconds.seconds(100)).contains($0) })
    }

    // MARK: Memory

    @Test func recyclesAWorkerAboveItsSoftLimit() throws {
        let scenario = Self.scenario { $0.recycle.maxRSS = 100 << 20 }
        let client = try scenario.connect()
        scenario.effects.memory[scenario.workers[1]] = 101 << 20
        scenario.call(client, 1)
        scenario.pass(.seconds(2))
        let new = try #require(scenario.takeSpawns().first)
        #expect(scenario.effects.signals.isEmpty)
        scenario.makeReady(new.worker)
        #expect(scenario.effects.closedInputs == [scenario.workers[1]])
        scenario.exit(scenario.workers[1], .exited(code: 0))
        #expect(scenario.slots[1].lastExit?.reason == "max_rss")
    }

    @Test func killsAWorkerAboveItsHardLimitAndTriesItsCallsElsewhere() throws {
        let scenario = Self.scenario { $0.pools[0].maxMemory = 100 << 20 }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        scenario.effects.memory[scenario.workers[0]] = 101 << 20
        scenario.pass(.seconds(2))
        #expect(scenario.effects.signals == [.init(worker: scenario.workers[0], signal: .kill)])
        scenario.exit(scenario.workers[0], .signaled(9))
        #expect(scenario.slots[0].lastExit?.reason == "memory")
        #expect(scenario.calls(on: scenario.workers[1]).count == 1)
        scenario.pass(.milliseconds(100))
        #expect(scenario.takeSpawns().count == 1)
    }

    @Test func looksAtIdleWorkersWithTheirHealthChecks() throws {
        let scenario = Self.scenario(workers: 1) { $0.pools[0].maxMemory = 100 << 20 }
        scenario.effects.memory[scenario.workers[0]] = 101 << 20
        scenario.pass(.seconds(999))
        #expect(scenario.effects.signals.isEmpty)
        scenario.pass(.seconds(1))
        #expect(scenario.effects.signals.count == 1)
    }

    @Test func stopsLookingWhenThereIsNoTraffic() throws {
        let scenario = Self.scenario { $0.health.interval = .seconds(3600) }
        let client = try scenario.connect()
        Self.serve(scenario, client, on: 0)
        scenario.pass(.seconds(3))
        let deadline = scenario.core.nextDeadline
        let next = try #require(deadline)
        #expect(next.duration(since: scenario.core.now) > .seconds(3000), "no wake-ups but the health checks")
    }
}
