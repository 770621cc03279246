import Protocol
import Testing

@testable import Supervisor

/// What becomes of workers, and of the calls of those that fail.
@Suite struct WorkerScenarioTests {
    typealias Failure = Scenario.Failure

    // MARK: Retry

    @Test func triesAnIdempotentCallOnceMoreThenTellsTheCaller() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", metadata: [:])
        scenario.exit(scenario.workers[0], .signaled(9))
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.calls(on: scenario.workers[1]).count == 1)
        scenario.exit(scenario.workers[1], .exited(code: 3))
        let answer = try scenario.answer(client)
        #expect(answer["error"]?["code"] == 2001)
        #expect(answer["error"]?["data"]?["reason"] == "worker_crashed")
        #expect(answer["error"]?["data"]?["exit_code"] == 3)
        #expect(answer["error"]?["data"]?["signal"] == .null)
        #expect(answer["error"]?["data"]?["stderr_tail"] == "first\nlast words")
        #expect(answer["metadata"]?["attempts"] == 2)
    }

    @Test func doesNotTryACallAgainThatMayHaveHadAnEffect() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect(uid: 7)
        scenario.call(client, 1, "job.run")
        scenario.exit(scenario.workers[0], .signaled(11))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 2001)
        #expect(error["data"]?["signal"] == "SIGSEGV")
        #expect(error["data"]?["stderr_tail"] == nil, "only operators see it")
        #expect(scenario.calls(on: scenario.workers[1]).isEmpty)
    }

    @Test func triesAgainWhatItsWorkersDeclareIdempotent() throws {
        let scenario = Scenario.ready(capabilities: ["idempotent": ["job.run"]])
        let client = try scenario.connect()
        scenario.call(client, 1, "job.run")
        scenario.exit(scenario.workers[0])
        #expect(scenario.calls(on: scenario.workers[1]).count == 1)
    }

    @Test func doesNotTryEveryMethodAgainWhenAWorkerDeclaresTooMany() throws {
        let names = JSONValue.array((0..<500).map { .string("declared.\($0)") })
        let scenario = Scenario.ready(capabilities: ["idempotent": names])
        let client = try scenario.connect()
        scenario.call(client, 1, "job.run")
        scenario.exit(scenario.workers[0])
        #expect(try scenario.error(client).code == 2001)
    }

    @Test func keepsRetriesWithinTheirBudget() throws {
        let scenario = Scenario.ready(workers: 2, capabilities: ["max_concurrency": 5])
        let client = try scenario.connect()
        for id in 0..<10 { scenario.call(client, id, "rag.execute") }
        scenario.exit(scenario.workers[0])
        #expect(scenario.take(client).count { $0["error"]?["code"] == 2001 } == 2)
        #expect(scenario.core.requests.retriesOpen == 3)
    }

    @Test func putsTheOldestLostCallInFront() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 3])
        let client = try scenario.connect()
        for id in 0..<4 { scenario.call(client, id, "rag.execute", params: [.integer(id)]) }
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(100))
        scenario.makeReady(["max_concurrency": 4])
        let params = scenario.messages(to: scenario.workers[1]).compactMap { $0["params"] }
        #expect(params == [[0], [1], [2], [3]])
    }

    @Test(arguments: [
        #""result":1,"error":{}"#, #""result":"#, #""error":7"#, #""result":1,"result":1"#,
    ]) func triesAnUnreadableReplyElsewhere(rest: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.write(scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(number),\#(rest)}"#)
        #expect(scenario.take(client).isEmpty)
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        #expect(try scenario.answer(client)["result"] == "done")
    }

    @Test func waitsForAnotherWorkerInsteadOfTheOneThatFailedTheCall() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        scenario.call(client, 2, "job.run")
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.write(scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(number),"result":"#)
        #expect(scenario.calls(on: scenario.workers[0]).count == 1, "it had it already")
        scenario.call(client, 3, "job.run")
        #expect(scenario.calls(on: scenario.workers[0]).count == 2, "others are not held up")
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[1]).last)
        #expect(scenario.calls(on: scenario.workers[1]).count == 2)
    }

    @Test func doesNotSendACallWhoseDeadlineHasPassed() throws {
        let scenario = Scenario.ready(capabilities: ["cancel": true])
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", metadata: ["timeout_ms": 2100])
        scenario.call(client, 2, "job.run", metadata: ["timeout_ms": 50])
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        scenario.write(scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(number),"result":"#)
        scenario.pass(.milliseconds(50))
        #expect(try scenario.error(client).code == 1002)
        // One late tick: the other worker has overrun, so that the first one is asked again; but it is too late.
        scenario.tick { $0.advance(to: $0.now.advanced(by: .seconds(3)), wallClock: 0, &$1) }
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
    }

    @Test func tellsTheCallerOfAnUnreadableReplyWhenThereIsNoOtherWorker() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute")
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        Array(#"{"jsonrpc":"2.0","id":\#(number),"result":"x"#.utf8).withUnsafeBytes { bytes in
            scenario.tick { $0.workerWroteOversize(prefix: bytes, scenario.workers[0], &$1) }
        }
        #expect(try scenario.error(client) == Failure(1003, "reply_too_large"))
    }

    // MARK: Start, health, capabilities

    @Test func becomesReadyWithTheFirstGoodAnswer() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        let worker = scenario.workers[0]
        scenario.tick { $0.workerSpawned(worker, pid: 5, &$1) }
        scenario.answerHealth(worker, ["status": "unhealthy"])
        #expect(!scenario.core.workers[worker].takesCalls)
        scenario.pass(.seconds(1))
        scenario.answerHealth(worker, ["status": "degraded"])
        #expect(scenario.core.workers[worker].takesCalls)
    }

    @Test func countsMethodNotFoundAsAlive() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        let worker = scenario.workers[0]
        scenario.tick { $0.workerSpawned(worker, pid: 5, &$1) }
        let id = try #require(scenario.messages(to: worker).last?["id"])
        scenario.write(
            worker, ["jsonrpc": "2.0", "id": id, "error": ["code": -32601, "message": "no such method"]])
        #expect(scenario.core.workers[worker].takesCalls)
        #expect(scenario.core.workers[worker].maxConcurrency == 1)
    }

    @Test func replacesAWorkerThatFailsItsHealthChecks() throws {
        let scenario = Scenario.ready(workers: 1)
        scenario.pass(.seconds(60))
        #expect(scenario.effects.signals.first == .init(worker: scenario.workers[0], signal: .terminate))
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.core.workers[scenario.workers[0]].life.departure == .unhealthy)
    }

    @Test func keepsWhatAWorkerDeclaredByNotification() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 2, "cancel": true])
        let worker = scenario.workers[0]
        scenario.write(
            worker,
            ["jsonrpc": "2.0", "method": "worker.capabilities", "params": ["max_concurrency": 7]])
        #expect(scenario.core.workers[worker].maxConcurrency == 7)
        #expect(scenario.core.workers[worker].capabilities.honoursCancel)
        scenario.pass(.seconds(10))
        scenario.answerHealth(worker, ["status": "healthy"])
        #expect(scenario.core.workers[worker].maxConcurrency == 7)
    }

    @Test func capsWhatAWorkerDeclares() throws {
        let scenario = Scenario.ready(capabilities: ["max_concurrency": 100]) {
            $0.pools[0].maxConcurrency = 3
        }
        #expect(scenario.core.workers[scenario.workers[0]].maxConcurrency == 3)
    }

    @Test func signalsAWorkerThatIsNotReadyInTime() throws {
        let scenario = Scenario {
            $0.pools[0].minWorkers = 1
            $0.pools[0].startTimeout = .seconds(5)
        }
        let worker = scenario.workers[0]
        scenario.tick { $0.workerSpawned(worker, pid: 5, &$1) }
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals == [.init(worker: worker, signal: .terminate)])
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.last == .init(worker: worker, signal: .kill))
        scenario.exit(worker)
        #expect(scenario.slots[0].lastExit?.reason == "start_timeout")
    }

    // MARK: Restart

    @Test func waitsLongerAfterEachFailedStartAndGivesUpInTheEnd() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        let client = try scenario.connect()
        scenario.call(client, 1)
        for wait in [100, 200, 400, 800] {
            scenario.exit(try #require(scenario.takeSpawns().last).worker, .exited(code: 1))
            #expect(
                scenario.slots[0].state
                    == .backoff(until: scenario.core.now.advanced(by: .milliseconds(Int64(wait)))))
            scenario.pass(.milliseconds(Int64(wait)))
        }
        #expect(scenario.take(client).isEmpty)
        scenario.exit(try #require(scenario.takeSpawns().last).worker, .exited(code: 1))
        #expect(scenario.slots[0].isQuarantined)
        #expect(try scenario.error(client) == Failure(1001, "no_healthy_worker"), "who waits is told")
        scenario.call(client, 2)
        #expect(try scenario.error(client) == Failure(1001, "no_healthy_worker"), "who comes, too")
        let reasons = scenario.status()["reasons"]?.arrayValue?.compactMap(\.stringValue) ?? []
        #expect(reasons.contains { $0.contains("last words") }, "\(reasons)")
    }

    @Test func says5002WhenTheSystemHasRunOutOfWhatAProcessNeeds() throws {
        for (isShortage, wanted) in [
            (true, Failure(5002, "spawn_failed")), (false, Failure(1001, "no_healthy_worker")),
        ] {
            let scenario = Scenario { $0.restart.maxDeaths = 1 }
            let client = try scenario.connect()
            scenario.call(client, 1)
            for spawn in scenario.takeSpawns() {
                scenario.tick {
                    $0.spawnFailed(spawn.worker, reason: "pipe2: no more", isShortage: isShortage, &$1)
                }
            }
            #expect(try scenario.error(client) == wanted)
        }
    }

    @Test func triesAQuarantinedSlotSoonerOnceItsPoolHasNobodyLeft() throws {
        let scenario = Scenario {
            $0.pools[0].minWorkers = 2
            $0.restart.maxDeaths = 1
        }
        let spawns = scenario.takeSpawns()
        scenario.makeReady(spawns[0].worker)
        scenario.exit(spawns[1].worker, .exited(code: 1))
        #expect(
            scenario.slots[1].state == .quarantined(nextTry: scenario.core.now.advanced(by: .seconds(60))))
        scenario.exit(spawns[0].worker)
        #expect(scenario.slots[1].state == .quarantined(nextTry: scenario.core.now.advanced(by: .seconds(5))))
    }

    @Test func replacesAWorkerThatDiedInServiceAfterTheShortestWait() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        scenario.exit(scenario.workers[0])
        scenario.pass(.milliseconds(99))
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.milliseconds(1))
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.slots[0].restarts == 1)
    }

    // MARK: Misbehaviour

    @Test func doesNotStartAProgramThatFloodsItsStdoutWithoutEnd() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        for _ in 0..<20 {
            for spawn in scenario.takeSpawns() {
                scenario.tick { $0.workerSpawned(spawn.worker, pid: 5, &$1) }
                for _ in 0..<101 { scenario.write(spawn.worker, "y") }
                scenario.exit(spawn.worker, .signaled(15))
            }
            scenario.pass(.milliseconds(50))
        }
        #expect(scenario.effects.spawns.count <= 5)
        #expect(scenario.slots[0].lastExit?.reason == "stdout_noise")
    }

    @Test func replacesAWorkerThatFloodsInServiceWithoutLosingItsCalls() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 2])
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.reply(worker, scenario.calls(on: worker)[0])
        for _ in 0..<101 { scenario.write(worker, "warning") }
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.effects.signals.isEmpty)
        scenario.reply(worker, scenario.calls(on: worker)[1])
        #expect(scenario.effects.signals == [.init(worker: worker, signal: .terminate)])
        #expect(scenario.take(client).count == 2)
    }

    @Test func countsAnOversizeLineAsAFlood() throws {
        let scenario = Scenario.ready(workers: 1)
        Array("progress".utf8).withUnsafeBytes { bytes in
            scenario.tick { $0.workerWroteOversize(prefix: bytes, scenario.workers[0], &$1) }
        }
        #expect(scenario.core.workers[scenario.workers[0]].life.departure == .stdoutNoise)
    }

    @Test func keepsAWorkerThatOverrunsOnlyUntilItsGraceIsOver() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["cancel": true])
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        scenario.call(client, 1, metadata: ["timeout_ms": 100])
        scenario.pass(.milliseconds(2099))
        #expect(scenario.core.requests.inFlight(on: worker) == 1, "it keeps its slot")
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.milliseconds(1))
        #expect(scenario.takeSpawns().count == 1)
        #expect(scenario.effects.signals == [.init(worker: worker, signal: .terminate)])
        scenario.pass(.seconds(5))
        #expect(scenario.effects.signals.last == .init(worker: worker, signal: .kill))
        scenario.exit(worker)
        #expect(scenario.core.requests.all.allSatisfy { scenario.core.requests[$0].state == .none })
    }

    @Test func givesAWorkerThatKnowsNoCancelTheMethodsOwnTimeout() throws {
        let scenario = Scenario.ready(workers: 1) { $0.timeouts.standard = .seconds(9) }
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 100])
        scenario.pass(.milliseconds(8999))
        #expect(scenario.takeSpawns().isEmpty)
        scenario.pass(.milliseconds(1))
        #expect(scenario.takeSpawns().count == 1)
    }

    @Test func losesNoTimeWithAWorkerThatClosedItsStdoutAndLivesOn() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.tick { core, _ in core.outputClosed(scenario.workers[0]) }
        scenario.pass(.milliseconds(100))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 2001)
        #expect(error["data"]?["reason"] == "worker_crashed")
        #expect(error["message"] == "The worker closed its stdout with the call in flight")
    }

    @Test func doesNotSendMoreToAWorkerThatReadsNothing() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 9])
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        scenario.effects.inputBacklogs[worker] = 2 << 20
        scenario.send(client, #"{"jsonrpc":"2.0","method":"told"}"#)
        scenario.call(client, 1)
        #expect(scenario.core.requests.queued(in: 0) == 2)
        scenario.effects.inputBacklogs[worker] = 0
        scenario.tick { _, _ in }
        #expect(scenario.core.requests.queued(in: 0) == 0)
    }

    // MARK: Prepare

    @Test func queuesCallsWhileItsPoolIsPreparedThenStartsTheWorkers() throws {
        let scenario = Scenario { $0.pools[0].prepare = ["make"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        let prepare = try #require(scenario.takeSpawns().first)
        #expect(prepare.role == .preparing)
        #expect(scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0]["state"] == "preparing")
        for _ in 0..<500 { scenario.write(prepare.worker, "Indexing…") }
        #expect(scenario.effects.signals.isEmpty, "it may print what it likes")
        #expect(scenario.slots[0].noiseLines == 0)
        scenario.exit(prepare.worker, .exited(code: 0))
        #expect(scenario.takeSpawns().map(\.role) == [.serving, .serving])
        #expect(scenario.take(client).isEmpty)
    }

    @Test func saysWhyItsPreparationFailedAndTriesAgain() throws {
        let scenario = Scenario { $0.pools[0].prepare = ["make"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.exit(scenario.workers[0], .exited(code: 2))
        #expect(try scenario.error(client) == Failure(1001, "no_healthy_worker"))
        scenario.call(client, 2)
        #expect(try scenario.error(client) == Failure(1001, "no_healthy_worker"))
        #expect(scenario.status()["status"] == "unavailable")
        scenario.pass(.milliseconds(100))
        #expect(scenario.effects.spawns.count == 2)
    }
}
