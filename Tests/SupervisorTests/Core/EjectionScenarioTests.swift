import Protocol
import Testing

@testable import Supervisor

/// Workers that fail again and again, in a running core.
@Suite struct EjectionScenarioTests {
    typealias Failure = Scenario.Failure

    /// A pool of round robin with one call at a time each, unless said otherwise.
    private final class Bench {
        let scenario: Scenario
        let client: ConnectionToken

        init(
            workers: Int, capabilities: JSONValue = [:], _ configure: (inout Configuration) -> Void = { _ in }
        ) throws {
            self.scenario = Scenario.ready(workers: workers, capabilities: capabilities, configure)
            self.client = try self.scenario.connect()
        }

        var workers: [WorkerToken] { self.scenario.workers }

        func ejection(_ index: Int) -> Ejection { self.scenario.core.workers[self.workers[index]].ejection }
        func isEjected(_ index: Int) -> Bool { self.ejection(index).term != nil }
        func count(_ index: Int) -> Int { self.scenario.calls(on: self.workers[index]).count }

        func call(timeout: Int? = nil, method: String = "job.run") {
            self.scenario.call(
                self.client, 1, method, metadata: timeout.map { ["timeout_ms": .integer($0)] } ?? nil)
        }

        /// Answers the last call of a worker with an error of that code, or with a result.
        func answer(_ index: Int, error code: Int? = nil) throws {
            let call = try #require(self.scenario.calls(on: self.workers[index]).last)
            guard let code else { return self.scenario.reply(self.workers[index], call) }
            self.scenario.write(
                self.workers[index],
                #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":\#(code),"message":"x"}}"#)
        }

        /// One call to a worker of which it makes that.
        func fail(_ index: Int, times: Int = 5, code: Int = -32603) throws {
            for _ in 0..<times {
                self.scenario.core.pools[0].turn = index
                let before = self.count(index)
                self.call()
                try #require(self.count(index) == before + 1)
                try self.answer(index, error: code)
            }
        }

        func state(_ index: Int) -> String? {
            self.scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[index]["state"]?
                .stringValue
        }
    }

    @Test(arguments: [-32603, 5001, 5002]) func followsFiveFaultsInARow(code: Int) throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0, times: 4, code: code)
        #expect(!bench.isEjected(0))
        try bench.fail(0, times: 1, code: code)
        #expect(bench.isEjected(0))
        #expect(bench.scenario.effects.events.contains("worker.ejected"))
        for _ in 0..<20 {
            bench.call()
            try bench.answer(1)
        }
        #expect(bench.count(0) == 5, "it gets no more")
    }

    @Test func doesNotFollowErrorsThatMayBeTheCallers() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0, times: 50, code: -32602)
        try bench.fail(0, times: 4)
        try bench.fail(0, times: 1, code: 3001)
        try bench.fail(0, times: 4)
        #expect(!bench.isEjected(0))
    }

    @Test func followsUnreadableAndOversizeReplies() throws {
        let bench = try Bench(workers: 2)
        for index in 0..<5 {
            bench.scenario.core.pools[0].turn = 0
            bench.call()
            let call = try #require(bench.scenario.calls(on: bench.workers[0]).last)
            let line = #"{"jsonrpc":"2.0","id":\#(call),"result":"#
            if index < 3 {
                bench.scenario.write(bench.workers[0], line)
            } else {
                Array(line.utf8).withUnsafeBytes { bytes in
                    bench.scenario.tick { $0.workerWroteOversize(prefix: bytes, bench.workers[0], &$1) }
                }
            }
        }
        #expect(bench.isEjected(0))
    }

    @Test func followsFailedHealthChecks() throws {
        let bench = try Bench(workers: 2) { $0.health.unhealthyThreshold = 100 }
        for _ in 0..<5 {
            bench.scenario.pass(.seconds(10))
            bench.scenario.answerHealth(bench.workers[1], ["status": "healthy"])
            bench.scenario.answerHealth(bench.workers[0], ["status": "unhealthy"])
        }
        #expect(bench.isEjected(0))
        #expect(!bench.isEjected(1))
    }

    @Test func followsTimeoutsOfTheMethodButNotThoseThatCallersChose() throws {
        let bench = try Bench(workers: 2, capabilities: ["cancel": true]) {
            $0.timeouts.standard = .seconds(2)
        }
        func timeOut(asked: Int?) throws {
            bench.scenario.core.pools[0].turn = 0
            bench.call(timeout: asked)
            bench.scenario.pass(.milliseconds(Int64(asked ?? 2000)))
            try bench.answer(0, error: -32800)
        }
        for _ in 0..<10 { try timeOut(asked: 1999) }
        #expect(!bench.isEjected(0))
        for _ in 0..<5 { try timeOut(asked: nil) }
        #expect(bench.isEjected(0))
    }

    @Test func doesNotBlameAWorkerForTheTimeInTheQueue() throws {
        let bench = try Bench(workers: 2) { $0.timeouts.standard = .seconds(4) }
        for _ in 0..<10 {
            for _ in 0..<3 { bench.call() }
            bench.scenario.pass(.milliseconds(2500))
            for index in 0..<2 { try bench.answer(index) }
            bench.scenario.pass(.milliseconds(1500))  // the third one had 1.5 s of its 4
            for index in 0..<2 { try bench.answer(index) }
        }
        for index in 0..<2 {
            #expect(bench.ejection(index).state == .serving(.init()))
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5]) func isNeverForMoreThanHalfThePool(workers: Int) throws {
        let bench = try Bench(workers: workers)
        for _ in 0..<(workers * 60) {
            bench.call()
            let busy = try #require(
                bench.workers.firstIndex { bench.scenario.core.requests.inFlight(on: $0) > 0 })
            try bench.answer(busy, error: -32603)
        }
        #expect((0..<workers).count { bench.isEjected($0) } == workers / 2)
        #expect(bench.scenario.status()["status"] == (workers == 1 ? "healthy" : "degraded"))
    }

    @Test func isForMoreThanHalfOnlyWithoutItsGuard() throws {
        let bench = try Bench(workers: 2)
        bench.scenario.core.removedGuard = .ejectedShare
        try bench.fail(0)
        try bench.fail(1)
        #expect(bench.isEjected(0) && bench.isEjected(1))
    }

    @Test func happensOnlyWithItsGuard() throws {
        let bench = try Bench(workers: 2)
        bench.scenario.core.removedGuard = .ejection
        try bench.fail(0, times: 20)
        #expect(!bench.isEjected(0))
    }

    @Test func comesWithTheNextFaultWhenThePoolCouldNotSpareItBefore() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        try bench.fail(1)
        #expect(!bench.isEjected(1))
        bench.scenario.pass(.seconds(5))
        bench.call()
        try bench.answer(0)
        #expect(!bench.isEjected(0))
        try bench.fail(1, times: 1)
        #expect(bench.isEjected(1))
    }

    // MARK: Probation

    @Test(arguments: Configuration.Strategy.allCases)
    func endsWithOneRealCallThatSucceeds(strategy: Configuration.Strategy) throws {
        let bench = try Bench(workers: 2, capabilities: ["max_concurrency": 4]) {
            $0.loadBalancer.strategy = strategy
        }
        bench.scenario.core.removedGuard = .slowFaults  // so that the failing one is chosen five times
        var before = 0
        while !bench.isEjected(0) {
            bench.call()
            for index in 0..<2 where bench.scenario.core.requests.inFlight(on: bench.workers[index]) > 0 {
                if index == 1 { bench.scenario.pass(.milliseconds(50)) }
                try bench.answer(index, error: index == 0 ? -32603 : nil)
            }
            before += 1
            try #require(before < 1000)
        }
        let count = bench.count(0)
        bench.scenario.pass(.milliseconds(4999))
        bench.call()
        #expect(bench.count(0) == count)
        bench.scenario.pass(.milliseconds(1))
        for _ in 0..<3 { bench.call() }
        #expect(bench.count(0) == count + 1, "exactly one until it is answered")
        #expect(bench.state(0) == "ejected")
        try bench.answer(0)
        #expect(!bench.isEjected(0))
        #expect(bench.scenario.effects.events.contains("worker.readmitted"))
        #expect(
            bench.scenario.core.workers[bench.workers[0]].latency.expected(at: bench.scenario.core.now) == 1)
    }

    @Test func isLongerEachTimeTheCallFails() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        for seconds in [5, 10, 15] as [Int64] {
            bench.scenario.pass(.seconds(seconds) - 1)
            bench.call()
            try bench.answer(1)
            bench.scenario.pass(1)
            bench.call()
            try bench.answer(0, error: 5002)
            #expect(bench.isEjected(0))
        }
        #expect(bench.ejection(0).term?.length == .seconds(20))
        #expect(bench.count(0) == 8)
    }

    @Test func isNotOverByACallThatWasCancelledOrTimedOutEarly() throws {
        let bench = try Bench(workers: 2, capabilities: ["max_concurrency": 2])
        try bench.fail(0)
        bench.scenario.pass(.seconds(5))
        bench.call()
        bench.scenario.send(bench.client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
        #expect(bench.count(0) == 6)
        #expect(bench.isEjected(0))
        bench.call(timeout: 100)
        #expect(bench.count(0) == 7, "the next call is the one")
        bench.scenario.pass(.milliseconds(100))
        #expect(bench.isEjected(0))
        bench.call()
        #expect(bench.count(0) == 7, "no slot is free: both are held by calls that were given up on")
        for call in bench.scenario.calls(on: bench.workers[0]).suffix(2) {
            bench.scenario.reply(bench.workers[0], call)
        }
        #expect(bench.isEjected(0), "late answers decide nothing")
        bench.call()
        try bench.answer(0)
        #expect(!bench.isEjected(0))
    }

    @Test func isLongerWhenTheCallHangsForTheMethodsWholeTimeout() throws {
        let bench = try Bench(workers: 2, capabilities: ["cancel": true]) {
            $0.timeouts.standard = .seconds(2)
        }
        try bench.fail(0)
        bench.scenario.pass(.seconds(5))
        bench.call()
        bench.scenario.pass(.seconds(2))
        #expect(bench.ejection(0).term?.number == 2)
    }

    @Test func isNotDecidedByNotificationsNorByHealthChecks() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        bench.scenario.pass(.seconds(10))
        for worker in bench.workers { bench.scenario.answerHealth(worker, ["status": "healthy"]) }
        bench.scenario.send(bench.client, #"{"jsonrpc":"2.0","method":"told"}"#)
        #expect(bench.scenario.messages(to: bench.workers[0]).last?["method"] != "told")
        #expect(bench.isEjected(0))
    }

    @Test func takesACallThatWaitsAsSoonAsItsTimeIsOver() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        bench.scenario.pass(.seconds(2))
        for _ in 0..<2 { bench.call() }
        #expect(bench.scenario.core.requests.queued(in: 0) == 1)
        bench.scenario.pass(.seconds(3))
        #expect(bench.scenario.core.requests.queued(in: 0) == 0)
        #expect(bench.count(0) == 6)
    }

    @Test func doesNotRetryOnAnEjectedWorker() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        _ = bench.scenario.take(bench.client)
        bench.call(method: "rag.execute")
        let call = try #require(bench.scenario.calls(on: bench.workers[1]).last)
        bench.scenario.write(bench.workers[1], #"{"jsonrpc":"2.0","id":\#(call),"result":"#)
        #expect(try bench.scenario.error(bench.client).code == 1003, "there is no other worker")
    }

    @Test func doesNotKeepABusyPoolFromGrowing() throws {
        let bench = try Bench(workers: 2) { $0.pools[0].maxWorkers = 3 }
        try bench.fail(0)
        for _ in 0..<2 { bench.call() }
        bench.scenario.pass(.milliseconds(100))
        #expect(bench.scenario.takeSpawns().count == 1, "the free slot of the ejected one is none")
    }

    // MARK: When others leave

    @Test func isOverForTheLongestEjectedWhenTooFewOthersAreLeft() throws {
        let bench = try Bench(workers: 4)
        try bench.fail(2)
        bench.scenario.pass(.milliseconds(10))
        try bench.fail(1)
        #expect(bench.isEjected(1) && bench.isEjected(2))
        bench.scenario.exit(bench.workers[0])
        bench.call()
        #expect(!bench.isEjected(2), "of three ready ones only one may be out")
        #expect(bench.isEjected(1))
        bench.scenario.exit(bench.workers[3])
        bench.call()
        #expect(bench.isEjected(1), "of two ready ones one may be out")
        bench.scenario.exit(bench.workers[2])
        bench.call()
        #expect(!bench.isEjected(1))
        #expect(bench.scenario.core.requests.inFlight(on: bench.workers[1]) == 1)
        #expect(bench.scenario.status()["status"] == "degraded")
    }

    @Test func doesNotOutliveItsProcess() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        bench.scenario.exit(bench.workers[0])
        bench.scenario.pass(.seconds(1))
        bench.scenario.makeReady()
        #expect(!bench.isEjected(2))
    }

    @Test func isToldInStatus() throws {
        let bench = try Bench(workers: 2)
        try bench.fail(0)
        func worker() -> JSONValue? {
            bench.scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0]
        }
        #expect(worker()?["state"] == "ejected")
        #expect(worker()?["reason"] == "ejected for worker faults; tried again in 5 s")
        bench.scenario.pass(.seconds(5))
        #expect(worker()?["reason"] == "ejected for worker faults; on probation: its next call decides")
        #expect(bench.scenario.status()["status"] == "degraded")
    }
}
