import Protocol
import Testing

@testable import Supervisor

/// What becomes of calls: queue, deadlines, cancellation, batches, answers.
@Suite struct CallTests {
    typealias Failure = Scenario.Failure

    @Test func goesToAWorkerAndComesBackWithTheCallersOwnID() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(client, #"{"method":"a.b","id":"\u0041 1","jsonrpc":"2.0","params":[1,{"x":null}]}"#)
        let sent = scenario.messages(to: scenario.workers[0]).last
        #expect(sent?["method"] == "a.b")
        #expect(sent?["params"] == [1, ["x": .null]])
        #expect(sent?["metadata"]?["deadline_ms"] == 60_000)
        #expect(sent?["metadata"]?["request_id"]?.stringValue?.count == 36)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, [1])
        let bytes = scenario.effects.toClients[client]?.last ?? []
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"jsonrpc":"2.0","id":"\u0041 1","result":[1]}"#)
    }

    @Test func waitsInTheQueueWhileTheOnlyWorkerStarts() throws {
        let scenario = Scenario { $0.pools[0].minWorkers = 1 }
        let client = try scenario.connect()
        scenario.call(client, 1)
        #expect(scenario.take(client).isEmpty)
        scenario.makeReady()
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
    }

    @Test func isToldAfterTheQueueTimeout() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2)
        scenario.pass(.milliseconds(4999))
        #expect(scenario.take(client).isEmpty)
        scenario.pass(.milliseconds(1))
        #expect(try scenario.error(client) == Failure(1001, "queue_timeout"))
    }

    @Test func isToldAtItsOwnDeadlineInTheQueue() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2, metadata: ["timeout_ms": 100])
        scenario.pass(.milliseconds(100))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
    }

    @Test func isToldAtItsDeadlineAndTheWorkerToStop() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 250])
        scenario.pass(.milliseconds(250))
        #expect(try scenario.error(client) == Failure(1002, "deadline_exceeded"))
        let cancel = scenario.messages(to: scenario.workers[0]).last
        #expect(cancel?["method"] == "$/cancelRequest")
        #expect(cancel?["params"]?["id"]?.integerValue == scenario.calls(on: scenario.workers[0]).last)
    }

    @Test func cutsALongTimeoutAtTheMaximum() throws {
        let scenario = Scenario.ready { $0.timeouts.max = .seconds(10) }
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 9_000_000_000_000])
        let sent = scenario.messages(to: scenario.workers[0]).last
        #expect(sent?["metadata"]?["deadline_ms"] == 10_000)
    }

    @Test(arguments: [
        #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"é"}}"#,
        #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u00e9","reason":"x"}}"#,
    ]) func isCancelledByEitherSpelling(cancel: String) throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        let other = try scenario.connect()
        scenario.send(other, cancel)
        scenario.send(client, #"{"jsonrpc":"2.0","id":"é","method":"m"}"#)
        scenario.send(other, cancel)
        #expect(scenario.take(client).isEmpty, "a cancel is scoped to its connection")
        scenario.send(client, cancel)
        #expect(try scenario.error(client) == Failure(-32800, "cancelled"))
        scenario.send(client, cancel)
        #expect(scenario.take(client).isEmpty, "a late cancel is ignored")
    }

    @Test func cancelsTheOldestOfTwoCallsWithOneID() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 5, "first")
        scenario.call(client, 5, "second")
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":5}}"#)
        #expect(scenario.core.requests.queued(in: 0) == 1)
        #expect(try scenario.error(client).code == -32800)
    }

    @Test(arguments: ["[1]", "{}", #"{"id":[1]}"#, #"{"id":7.0}"#, #"{"requestId":7}"#])
    func ignoresACancelThatNamesNothing(params: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 7)
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":\#(params)}"#)
        #expect(scenario.take(client).isEmpty)
    }

    @Test func isRefusedAtOnceWhenTheQueueIsFull() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 2 }
        let client = try scenario.connect()
        for id in 1...4 { scenario.call(client, id) }
        let answer = try scenario.answer(client)
        #expect(answer["id"] == 4)
        #expect(answer["error"]?["code"] == 2002)
        #expect(answer["error"]?["data"]?["queue_depth"] == 2)
        #expect(answer["error"]?["data"]?["retry_after_ms"]?.integerValue != nil)
    }

    @Test func isRefusedAboveTheConnectionsLimit() throws {
        let scenario = Scenario.ready { $0.limits.inFlightPerConnection = 3 }
        let client = try scenario.connect()
        for id in 1...4 { scenario.call(client, id) }
        #expect(try scenario.error(client) == Failure(2003, "too_many_in_flight"))
        scenario.call(try scenario.connect(), 1)
    }

    @Test func isCountedAsLateOnceItsCallerWasAnswered() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["timeout_ms": 10])
        scenario.pass(.milliseconds(10))
        _ = scenario.take(client)
        let number = scenario.calls(on: scenario.workers[0]).last
        scenario.reply(scenario.workers[0], number)
        scenario.reply(scenario.workers[0], number)
        scenario.reply(scenario.workers[0], 999_999_999)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.slots[0].lateReplies == 3)
        #expect(scenario.core.requests.inFlight(on: scenario.workers[0]) == 0)
    }

    @Test func isNotAnsweredByAnotherWorkerThanItsOwn() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.reply(scenario.workers[1], scenario.calls(on: scenario.workers[0]).last)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.slots[1].lateReplies == 1)
    }

    @Test func passesAWorkersErrorOnByteForByte() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1)
        let number = try #require(scenario.calls(on: scenario.workers[0]).last)
        let error = #"{"code": 1e2,"message":"\u00e9","data":{"a":1.50,"a":2}}"#
        scenario.write(scenario.workers[0], #"{"error":\#(error),"id":\#(number),"jsonrpc":"2.0"}"#)
        let bytes = scenario.effects.toClients[client]?.last ?? []
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"jsonrpc":"2.0","id":1,"error":\#(error)}"#)
    }

    // MARK: Metadata

    @Test func carriesMetadataOnlyWhenTheRequestDid() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: [:])
        scenario.pass(.milliseconds(5))
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        let metadata = try #require(try scenario.answer(client)["metadata"])
        #expect(metadata["worker_id"]?.stringValue?.hasPrefix("worker_") == true)
        #expect(metadata["attempts"] == 1)
        #expect(metadata["cache"] == "bypass")
        #expect(metadata["queue_time_ms"]?.doubleValue == 0)
        #expect(metadata["processing_time_ms"]?.doubleValue == 5)
        #expect(metadata["request_id"]?.stringValue?.count == 36)
        scenario.call(client, 2)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(try scenario.answer(client)["metadata"] == nil)
    }

    @Test(arguments: ["ping", "supervisor.status", "config.nothing"])
    func carriesWholeMetadataAlsoWithoutAWorker(method: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, method, metadata: [:])
        let metadata = try #require(try scenario.answer(client)["metadata"])
        #expect(metadata["request_id"]?.stringValue?.count == 36)
        let names = metadata.objectValue?.map(\.name) ?? []
        #expect(
            names == ["request_id", "worker_id", "cache", "attempts", "queue_time_ms", "processing_time_ms"])
        scenario.call(client, 2, method, metadata: ["request_id": "mine"])
        #expect(try scenario.answer(client)["metadata"]?["request_id"] == "mine")
    }

    @Test(arguments: [String(repeating: "x", count: 5000), "x\ny", "\u{200B}x", ""])
    func doesNotEchoARequestIDThatWasRefused(text: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, metadata: ["request_id": .string(text)])
        let answer = try scenario.answer(client)
        #expect(answer["error"]?["code"] == -32602)
        #expect(answer.text.utf8.count < 1000)
        let own = try #require(answer["error"]?["data"]?["request_id"]?.stringValue)
        #expect(own.count == 36 && answer["metadata"]?["request_id"]?.stringValue == own)
    }

    @Test(arguments: [
        (#"{"request_id":7}"#, "metadata.request_id"), (#"{"timeout_ms":0}"#, "metadata.timeout_ms"),
        (#"{"priority":"urgent"}"#, "metadata.priority"), ("5", "metadata"),
    ]) func refusesMetadataWithTheirPath(metadata: String, path: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":"m","metadata":\#(metadata)}"#)
        let answer = try scenario.answer(client)
        #expect(answer["error"]?["code"] == -32602)
        #expect(answer["error"]?["data"]?["path"] == .string(path))
    }

    // MARK: Batches and notifications

    @Test func answersABatchInOneArrayWithoutItsNotifications() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 4])
        let client = try scenario.connect()
        scenario.send(
            client,
            #"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"told"},7,"#
                + #"{"jsonrpc":"2.0","id":"2","method":"ping"},{"jsonrpc":"2.0","id":3,"method":"rpc.x"}]"#)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.messages(to: scenario.workers[0]).last?["method"] == "told")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).first, "r")
        let elements = try #require(try scenario.answer(client).arrayValue)
        #expect(elements.map { $0["id"] ?? "absent" } == [.null, "2", 3, 1])
        #expect(elements.map { $0["error"]?["code"] } == [-32600, nil, -32601, nil])
    }

    @Test func answersNothingToABatchOfNotifications() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(client, #"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#)
        scenario.send(client, #"[{"jsonrpc":"2.0","method":"ping"}]"#)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.core.batches.count == 0)
    }

    @Test(arguments: [("[]", -32600), ("[[]]", -32600), ("{", -32700), ("[1,", -32700), ("7", -32600)])
    func answersABrokenMessageWithNoID(text: String, code: Int64) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(client, text)
        let answer = try scenario.answer(client)
        let error = answer.arrayValue?.first ?? answer
        #expect(error["id"] == .null)
        #expect(error["error"]?["code"]?.integerValue == code)
    }

    @Test func countsTheAnswersThatWaitInBatchesAsTheConnectionsOwn() throws {
        let scenario = Scenario.ready(workers: 1, capabilities: ["max_concurrency": 9]) {
            $0.limits.bytesPerConnection = 3400
        }
        let client = try scenario.connect()
        for id in 0..<3 {
            scenario.send(
                client,
                #"[{"jsonrpc":"2.0","id":\#(2 * id),"method":"a"},{"jsonrpc":"2.0","id":\#(2 * id + 1),"method":"b"}]"#
            )
        }
        let calls = scenario.calls(on: scenario.workers[0])
        for index in [0, 2, 4, 1, 3, 5] {
            scenario.reply(
                scenario.workers[0], calls[index],
                .string(String(repeating: "x", count: index % 2 == 0 ? 1400 : 1)))
        }
        let reasons = scenario.take(client).flatMap { $0.arrayValue ?? [] }
            .compactMap { $0["error"]?["data"]?["reason"]?.stringValue }
        #expect(reasons == ["slow_consumer"])
    }

    @Test func neverAnswersNorRetriesANotification() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","method":"job.run","params":{}}"#)
        #expect(scenario.messages(to: scenario.workers[0]).last?["id"] == nil)
        scenario.exit(scenario.workers[0])
        scenario.pass(.seconds(1))
        scenario.makeReady()
        #expect(scenario.messages(to: scenario.workers[1]).count { $0["method"] == "job.run" } == 0)
        #expect(scenario.take(client).isEmpty)
    }

    // MARK: Routing

    @Test(arguments: [
        "supervisor.x", "config.x", "events.x", "cache.x", "embedding_cache.get", "rpc.x", "$/x",
        "notifications/x", "supervisor.explained",
    ]) func keepsReservedMethodsFromWorkers(method: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, method)
        #expect(try scenario.error(client) == Failure(-32601, "method_not_found"))
    }

    @Test func namesTheMethodThatNoPoolServes() throws {
        let scenario = Scenario.ready { $0.pools[0].methods = ["rag.*"] }
        let client = try scenario.connect()
        scenario.call(client, 1, "job.run")
        #expect(try scenario.answer(client)["error"]?["message"] == "Method not found: job.run")
    }

    @Test func proposesOnlyMethodsThatAreAnswered() throws {
        let scenario = Scenario.ready {
            $0.pools[0].methods = ["rag.execute"]
            $0.timeouts.perMethod["job.run"] = .seconds(1)
        }
        let client = try scenario.connect()
        scenario.call(client, 1, "job.run")
        #expect(try scenario.answer(client)["error"]?["message"] == "Method not found: job.run")
        scenario.call(client, 2, "rag.exceute")
        let error = try scenario.answer(client)["error"]
        #expect(error?["message"] == "Method not found: rag.exceute")
        #expect(error?["data"]?["suggestion"] == "rag.execute")
    }

    @Test func refusesATechniqueThatNoPoolDeclares() throws {
        let scenario = Scenario.ready(capabilities: ["techniques": ["bm25", "dense"]])
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: ["technique": "bm52"])
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == 1001)
        #expect(error["data"]?["reason"] == "no_worker_for_technique")
        #expect(error["data"]?["retryable"] == false)
        #expect(error["message"]?.stringValue?.hasPrefix("Pipeline not found: bm52") == true)
        #expect(error["data"]?["nearest"] == "bm25")
    }

    @Test func routesATechniqueAsConfiguredAlsoWhenNothingIsDeclared() throws {
        let scenario = Scenario {
            $0.pools[0].minWorkers = 1
            $0.pools.append(Configuration.Pool(name: "deep", minWorkers: 1))
            $0.loadBalancer.techniqueRouting = ["hyde": "deep"]
        }
        scenario.makeReady()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.execute", params: ["technique": "hyde"])
        scenario.call(client, 2, "rag.execute", params: ["technique": "bm25"])
        #expect(scenario.calls(on: scenario.workers[1]).count == 1)
        #expect(scenario.calls(on: scenario.workers[0]).count == 1)
    }

    @Test func letsOnlyOperatorsStopIt() throws {
        let scenario = Scenario.ready { $0.operators = [5] }
        let stranger = try scenario.connect(uid: 4)
        scenario.call(stranger, 1, "supervisor.stop")
        #expect(try scenario.error(stranger) == Failure(-32001, "operators_only"))
        #expect(scenario.core.phase == .running)
        for uid: UInt32 in [0, 5, 1000] {
            let connection = try scenario.connect(uid: uid)
            #expect(scenario.core.connections[connection].isOperator)
        }
    }
}
