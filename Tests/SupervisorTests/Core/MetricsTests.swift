import Protocol
import Testing

@testable import Supervisor

/// Every call is counted once, at its answer, whoever answers it and however it ends.
@Suite struct MetricsTests {
    private static let pool: JSONValue = ["scope": "pool"]

    /// The figures of the pool; asking for them is a call as well, which the next question counts.
    private static func figures(
        _ scenario: Scenario, _ client: ConnectionToken, _ params: JSONValue = Self.pool
    ) throws -> JSONValue {
        scenario.call(client, 900, "metrics.get", params: params)
        return try #require(try scenario.answer(client)["result"])
    }

    private static func count(_ figures: JSONValue, _ method: String) -> [Int64?] {
        [
            figures["by_type"]?[method]?["count"]?.integerValue,
            figures["by_type"]?[method]?["errors"]?.integerValue,
        ]
    }

    // MARK: What counts

    @Test func countsResultsAndErrorsWithTheTimeTheirCallersWaited() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["methods": ["job.run"]])
        let (client, worker) = (try scenario.connect(), scenario.workers[0])
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(20))
        scenario.reply(worker, scenario.calls(on: worker).last)
        scenario.pass(.milliseconds(40))
        let number = try #require(scenario.calls(on: worker).last)
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(number),"error":{"code":7,"message":"no"}}"#)
        _ = scenario.take(client)
        let figures = try Self.figures(scenario, client)
        #expect(figures["total_requests"] == 2)
        #expect(figures["total_errors"] == 1)
        #expect(figures["error_rate"] == 0.5)
        let own = figures["by_type"]?["job.run"]
        #expect(own?["min_time_ms"] == 20.0)
        #expect(own?["max_time_ms"] == 60.0)
        #expect(own?["avg_time_ms"] == 40.0)
        // The second waited for the slot: to its worker it took only 40 ms.
        let worked = figures["workers"]?.objectValue?.first?.value
        #expect(worked?["by_type"]?["job.run"]?["max_time_ms"] == 40.0)
        #expect(worked?["total_errors"] == 1)
    }

    @Test func countsRefusalsTimeoutsCancelsAndWhatItAnswersItself() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["methods": ["job.run"]]) {
            $0.loadBalancer.queueSize = 2
        }
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 50])
        scenario.call(client, 2)
        scenario.call(client, 3)
        scenario.call(client, 4)  // the queue is full
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        scenario.pass(.milliseconds(60))
        scenario.pass(.seconds(6))  // the third waits too long
        scenario.call(client, 5, "ping")
        scenario.call(client, 6, "supervisor.status")
        scenario.call(client, 7, "rpc.unknown")
        scenario.call(client, 8, "ping", metadata: ["priority": 7])
        #expect(scenario.take(client).count == 8)
        let figures = try Self.figures(scenario, client)
        #expect(Self.count(figures, "job.run") == [4, 4])
        #expect(Self.count(figures, "ping") == [2, 1])
        #expect(Self.count(figures, "supervisor.status") == [1, 0])
        #expect(Self.count(figures, "other") == [1, 1])
        #expect(figures["total_requests"] == 8)
        #expect(figures["total_errors"] == 6)
        #expect(Self.count(try Self.figures(scenario, client), "metrics.get") == [1, 0])
    }

    @Test func countsHitsAndThoseWhoShareACall() throws {
        let scenario = Scenario.caching(workers: 1)
        let client = try scenario.connect()
        for id in 1...3 { scenario.ask(client, id) }
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        for id in 4...5 { scenario.ask(client, id) }
        #expect(scenario.take(client).count == 5)
        let figures = try Self.figures(scenario, client)
        #expect(Self.count(figures, "rag.execute") == [5, 0])
        #expect(figures["workers"]?.objectValue?.first?.value["total_requests"] == 1)
    }

    @Test func countsEachElementOfABatch() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.send(
            client,
            #"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"},"#
                + #"{"jsonrpc":"2.0","method":"ping"},7,{"jsonrpc":"2.0","id":3,"method":"rpc.x"}]"#)
        _ = scenario.take(client)
        let figures = try Self.figures(scenario, client)
        #expect(Self.count(figures, "ping") == [2, 0])
        #expect(figures["total_requests"] == 3)
        #expect(figures["total_errors"] == 1)
    }

    @Test func doesNotCountWhatIsNoCallOrIsNotAnswered() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        let leaver = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","method":"job.run"}"#)
        scenario.send(client, #"{"jsonrpc":"2.0","method":"ping"}"#)
        scenario.send(client, #"{"jsonrpc":"1.0","id":1,"method":"job.run"}"#)
        scenario.send(client, "nonsense")
        scenario.send(client, "[]")
        scenario.call(leaver, 1)
        scenario.tick { $0.disconnected(leaver, &$1) }
        _ = scenario.take(client)
        #expect(try Self.figures(scenario, client)["total_requests"] == 0)
    }

    @Test func agreesWithItsClientOverThousandsOfCalls() throws {
        let scenario = Scenario.ready(
            workers: 2, capabilities: ["methods": ["a", "b", "c"], "max_concurrency": 4]
        ) {
            $0.loadBalancer.queueSize = 3
        }
        let client = try scenario.connect()
        var random = SeededGenerator(seed: 9)
        var asked: [Int64: String] = [:]
        var counted: [String: [Int64]] = ["a": [0, 0], "b": [0, 0], "c": [0, 0]]
        var open: [(worker: WorkerToken, number: Int64)] = []
        var seen = [0, 0]
        for id in 1...3000 {
            let method = random.one(of: ["a", "b", "c"])
            asked[Int64(id)] = method
            scenario.call(client, id, method, metadata: random.below(20) == 0 ? ["timeout_ms": 1] : nil)
            for _ in 0..<random.below(3) {
                for worker in scenario.workers.indices {
                    let numbers = Self.numbers(scenario, scenario.workers[worker])
                    open += numbers.map { (scenario.workers[worker], $0) }
                    seen[worker] += numbers.count
                }
                guard !open.isEmpty else { break }
                let (worker, number) = open.remove(at: random.below(open.count))
                let answer =
                    random.below(5) == 0
                    ? #""error":{"code":-32603,"message":"injected"}"# : #""result":1"#
                scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(number),\#(answer)}"#)
            }
            if random.below(10) == 0 { scenario.pass(.milliseconds(1)) }
            for answer in scenario.take(client) {
                let method = try #require(
                    answer["id"]?.integerValue.flatMap { asked.removeValue(forKey: $0) })
                counted[method]?[0] += 1
                if answer["error"] != nil { counted[method]?[1] += 1 }
            }
        }
        let figures = try Self.figures(scenario, client)
        for (method, numbers) in counted { #expect(Self.count(figures, method) == numbers) }
        #expect(figures["total_requests"]?.integerValue == counted.values.reduce(0) { $0 + $1[0] })
        #expect(figures["total_errors"]?.integerValue == counted.values.reduce(0) { $0 + $1[1] })
        #expect(counted.values.allSatisfy { $0[1] > 50 })
    }

    /// The numbers of the calls that a worker was sent since the last time this was asked.
    private static func numbers(_ scenario: Scenario, _ worker: WorkerToken) -> [Int64] {
        defer { scenario.effects.toWorkers[worker] = [] }
        return scenario.calls(on: worker)
    }

    // MARK: Names

    @Test func knowsAMethodOnceAWorkerAnsweredIt() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 2])
        let (client, worker) = (try scenario.connect(), scenario.workers[0])
        scenario.call(client, 1, "invented.one")
        scenario.call(client, 2, "invented.two")
        let calls = scenario.calls(on: worker)
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(calls[0]),"error":{"code":-32601,"message":"?"}}"#)
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(calls[1]),"error":{"code":-1,"message":"!"}}"#)
        _ = scenario.take(client)
        let figures = try Self.figures(scenario, client)
        #expect(Self.count(figures, "other") == [1, 1])
        #expect(Self.count(figures, "invented.two") == [1, 1])
        #expect(figures["by_type"]?["invented.one"] == nil)
    }

    @Test func countsCallsThatWereOnTheirWayWhenTheirMethodBecameKnown() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 4])
        let (client, worker) = (try scenario.connect(), scenario.workers[0])
        for id in 1...4 { scenario.call(client, id) }
        for number in scenario.calls(on: worker) { scenario.reply(worker, number) }
        _ = scenario.take(client)
        #expect(Self.count(try Self.figures(scenario, client), "job.run") == [4, 0])
    }

    @Test func doesNotGrowByNamesThatClientsInvent() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        for id in 1...500 {
            scenario.call(client, id, "supervisor.invented\(id)")
            _ = scenario.take(client)
        }
        let names = scenario.core.methods.measuredNames.count
        let figures = try Self.figures(scenario, client)
        #expect(figures["by_type"]?.objectValue?.map(\.name) == ["other"])
        #expect(Self.count(figures, "other") == [500, 500])
        #expect(scenario.core.methods.measuredNames.count == names)
    }

    // MARK: Workers

    @Test func countsACallAtEachWorkerItWasSentTo() throws {
        let scenario = Scenario.ready(workers: 2) { $0.retry.methods = ["job.run"] }
        let client = try scenario.connect()
        scenario.call(client, 1)
        let first = try #require(scenario.workers.first { !scenario.calls(on: $0).isEmpty })
        let id = scenario.core.workers[first].id
        scenario.exit(first)
        let second = try #require(scenario.workers.first { $0 != first && !scenario.calls(on: $0).isEmpty })
        scenario.pass(.milliseconds(10))
        scenario.reply(second, scenario.calls(on: second).last)
        _ = scenario.take(client)
        scenario.pass(.milliseconds(2500))
        let figures = try Self.figures(scenario, client)
        #expect(figures["total_requests"] == 1)
        #expect(figures["total_errors"] == 0)
        // The one that is gone is still told of.
        let gone = figures["workers"]?[id]
        #expect(gone?["total_requests"] == 1)
        #expect(gone?["total_errors"] == 1)
        #expect(gone?["age_seconds"] == 2.51)
        let other = figures["workers"]?[scenario.core.workers[second].id]
        #expect(other?["total_requests"] == 1)
        #expect(other?["total_errors"] == 0)
        #expect(other?["age_seconds"] == 2.5)
    }

    @Test func countsWhatAWorkerDidNotFinishAsItsErrors() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 3])
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 5])
        scenario.call(client, 2)
        let worker = scenario.workers[0]
        let numbers = scenario.calls(on: worker)
        scenario.pass(.milliseconds(6))
        scenario.reply(worker, numbers[0])  // too late
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(numbers[1]),"outcome":1}"#)
        _ = scenario.take(client)
        let figures = try Self.figures(scenario, client)["workers"]?.objectValue?.first?.value
        #expect(figures?["total_requests"] == 2)
        #expect(figures?["total_errors"] == 2)
    }

    // MARK: Asking

    @Test func coversTheRangeThatIsAskedFor() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        for id in 1...10 {
            scenario.call(client, id, "ping")
            scenario.pass(.seconds(60))
        }
        _ = scenario.take(client)
        let minutes = try Self.figures(scenario, client, ["scope": "pool", "time_range": "5m"])
        #expect((5...6).contains(try #require(minutes["total_requests"]?.integerValue)))
        #expect(minutes["window"]?["since"] == "time_range")
        let day = try Self.figures(scenario, client, ["scope": "pool", "time_range": "24h"])
        #expect(day["total_requests"] == 11)
        #expect(day["window"]?["since"] == "start")
    }

    @Test func isAnsweredAtOnceWhileEveryWorkerIsBusyAndTheQueueFull() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 1 }
        let client = try scenario.connect()
        for id in 1...3 { scenario.call(client, id) }
        _ = scenario.take(client)
        #expect(try Self.figures(scenario, client)["total_errors"] == 1)
    }

    @Test(arguments: [
        (#"{"scope":"pool","time_range":"2m"}"#, "time_range"), (#"{"time_range":5}"#, "time_range"),
        (#"{"scope":"all"}"#, "scope"), (#"{"scope":"pool","x":1}"#, "x"), (#"{"reset":"yes"}"#, "reset"),
        (#"{"reset":false,"r\u0065set":true}"#, "reset"),
    ]) func refusesParamsWithThePathAndAsksNoWorker(params: String, path: String) throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "metrics.get", params: try JSONValue(parsing: params))
        let answer = try scenario.answer(client)
        #expect(answer["error"]?["code"] == -32602)
        #expect(answer["error"]?["data"]?["path"] == .string(path))
        #expect(scenario.calls(on: scenario.workers[0]).isEmpty)
    }

    @Test(arguments: [nil, #"{}"#, #"{"scope":"worker","time_range":"7d"}"#])
    func asksOneWorkerWhereThePoolIsNotMeant(params: String?) throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "metrics.get", params: try params.map { try JSONValue(parsing: $0) })
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.messages(to: scenario.workers[0]).last?["method"] == "metrics.get")
    }

    @Test(arguments: ["pool", "worker"]) func letsOnlyOperatorsReset(scope: String) throws {
        let scenario = Scenario.ready(workers: 1)
        let stranger = try scenario.connect(uid: 2000)
        scenario.call(stranger, 1, "ping")
        _ = scenario.take(stranger)
        scenario.call(stranger, 2, "metrics.get", params: ["scope": .string(scope), "reset": true])
        #expect(try scenario.error(stranger) == .init(-32001, "operators_only"))
        #expect(scenario.effects.events.last == "operator.refused")
        #expect(scenario.calls(on: scenario.workers[0]).isEmpty)
        #expect(Self.count(try Self.figures(scenario, stranger), "ping") == [1, 0])
    }

    @Test func readsBeforeItResets() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "ping")
        _ = scenario.take(client)
        let last = try Self.figures(scenario, client, ["scope": "pool", "reset": true])
        #expect(Self.count(last, "ping") == [1, 0])
        #expect(last["window"]?["since"] == "start")
        let next = try Self.figures(scenario, client)
        // The call that reset is the first that is counted anew.
        #expect(next["by_type"]?.objectValue?.map(\.name) == ["metrics.get"])
        #expect(next["total_requests"] == 1)
        #expect(next["window"]?["since"] == "reset")
    }

    @Test func passesAnOperatorsResetOfAWorkerOn() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, "metrics.get", params: ["reset": true])
        #expect(scenario.messages(to: scenario.workers[0]).last?["params"]?["reset"] == true)
    }
}
