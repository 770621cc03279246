import Protocol
import Testing

@testable import Supervisor

/// Protocol §2, "Stream": chunks are passed on as they come, and every ending has one final chunk.
@Suite struct StreamTests {
    // MARK: Passing on

    @Test func passesChunksOnBuiltAnew() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.write(
            worker,
            #"{"method":"stream_chunk","jsonrpc":"2.0","params":{"sequence":17,"data": {"a" : 1e2,"b":"\u00e9"} ,"#
                + #""chunk_type":"document","request_id":"\#(call)","more":[],"is_final":false}}"#)
        let bytes = try #require(scenario.effects.toClients[client]?.first)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":"1","sequence":0,"#
                + #""chunk_type":"document","data":{"a" : 1e2,"b":"\u00e9"},"is_final":false}}"#)
        scenario.reply(worker, call)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2 && stream.reason == "done")
        #expect(stream.answers[0]["result"] == "done" && stream.answers[0]["metadata"] == nil)
    }

    @Test(arguments: [
        ("7", "{}", "7"), (#""a\u0062\n""#, "{}", "ab\n"), ("null", "{}", "null"), ("1.50", "{}", "1.50"),
        ("7", #"{"request_id":"mine \"\u00e9\""}"#, "mine \"é\""),
    ])
    func namesThemByTheCallersWords(id: String, metadata: String, name: String) throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":\#(id),"method":"rag.stream","params":{},"metadata":\#(metadata)}"#)
        try scenario.chunks(1)
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2)
        #expect(stream.chunks.allSatisfy { $0["request_id"]?.stringValue == name })
    }

    @Test func countsEachCallsChunksByItself() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        for id in 1...2 { scenario.call(client, id, "rag.stream") }
        let calls = try [scenario.openCall(0), scenario.openCall(1)]
        for (worker, call) in calls + calls { scenario.chunk(worker, call) }
        for (worker, call) in calls { scenario.reply(worker, call) }
        let messages = scenario.take(client)
        for id in ["1", "2"] {
            let own = messages.filter {
                $0["params"]?["request_id"]?.stringValue == id || $0["id"]?.text == id
            }
            #expect(StreamRecord(own).isWhole && StreamRecord(own).chunks.count == 3)
        }
    }

    @Test func passesTheWorkersFinalChunkOnAndNothingBehindIt() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.chunk(worker, call)
        scenario.chunk(worker, call, #"{"tokens":2}"#, kind: "metadata", isFinal: true)
        scenario.chunk(worker, call)
        scenario.reply(worker, call)
        scenario.chunk(worker, call)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2)
        #expect(stream.chunks[1]["data"] == ["tokens": 2])
        #expect(scenario.lateReplies == 2)
    }

    @Test func streamsAnyMethodThatAWorkerAnswersWithChunks() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1)
        try scenario.chunks(2)
        try scenario.failOpenCall(code: 3003)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 3 && stream.reason == "error" && stream.code == 3003)
        scenario.call(client, 2)
        try scenario.replyToOpenCall()
        #expect(scenario.stream(client).chunks.isEmpty, "what is answered whole has none")
    }

    @Test func sendsChunksOfABatchAsMessagesOfTheirOwn() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.send(
            client,
            #"[{"jsonrpc":"2.0","id":1,"method":"rag.stream"},{"jsonrpc":"2.0","id":2,"method":"job.run"}]"#)
        try scenario.chunks(1)
        try scenario.replyToOpenCall()
        #expect(scenario.stream(client).chunks.count == 2)
        try scenario.replyToOpenCall()
        #expect(try scenario.answer(client).arrayValue?.count == 2)
    }

    @Test func sendsNoChunksForANotification() throws {
        let scenario = Scenario.streaming(workers: 1)
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","method":"rag.stream"}"#)
        for number in Int64(0)..<4 { scenario.chunk(scenario.workers[0], number << 20) }
        #expect(scenario.take(client).isEmpty)
    }

    @Test(arguments: [
        #"{"request_id":CALL,"chunk_type":"answer","data":1}"#, #"{"request_id":CALL,"data":1}"#,
        #"{"request_id":CALL,"chunk_type":"metadata"}"#, #"{"request_id":CALL,"chunk_type":7,"data":1}"#,
        #"{"request_id":CALL,"chunk_type":"metadata","data":1,"is_final":"yes"}"#,
        #"{"request_id":1.5,"chunk_type":"metadata","data":1}"#, #"{"chunk_type":"metadata","data":1}"#,
        #"["CALL","metadata"]"#,
    ])
    func refusesOtherChunksAndLogsThemOnce(params: String) throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        for _ in 0..<3 {
            let text = params.replacing("CALL", with: "\(call)")
            scenario.write(worker, #"{"jsonrpc":"2.0","method":"stream_chunk","params":\#(text)}"#)
        }
        #expect(scenario.effects.events.count { $0 == "worker.bad_chunk" } == 1)
        scenario.reply(worker, call)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 1)
    }

    @Test func dropsChunksOfNoCallOfTheWorkers() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        let other = try #require(scenario.workers.first { $0 != worker })
        scenario.chunk(other, call)
        scenario.chunk(worker, call + 1)
        #expect(scenario.take(client).isEmpty && scenario.lateReplies == 2)
    }

    // MARK: Endings

    @Test func endsWithOneFinalChunkWhenNobodyAnswersInTime() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream", metadata: ["timeout_ms": 500])
        let (worker, call) = try scenario.openCall()
        scenario.chunk(worker, call)
        scenario.pass(.milliseconds(500))
        scenario.chunk(worker, call)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.reason == "timeout" && stream.errorReason == "deadline_exceeded")
        #expect(scenario.cancels(on: worker) == 1 && scenario.lateReplies == 1)
    }

    @Test func endsWithOneFinalChunkWhenItIsCancelled() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.chunk(worker, call)
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
        scenario.chunk(worker, call, isFinal: true)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.reason == "cancelled" && stream.code == -32800)
        #expect(scenario.cancels(on: worker) == 1 && scenario.lateReplies == 1)
    }

    @Test(arguments: [0, 1]) func endsWithOneFinalChunkWhenItsWorkerDies(chunks: Int) throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, _) = try scenario.openCall()
        try scenario.chunks(chunks)
        scenario.exit(worker)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == chunks + 1)
        #expect(stream.reason == "worker_crashed" && stream.code == 2001)
    }

    @Test func tellsACallerThatLeftNothingAndTheWorkerToStop() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.tick { $0.disconnected(client, &$1) }
        scenario.chunk(worker, call)
        #expect(scenario.take(client).isEmpty)
        #expect(scenario.cancels(on: worker) == 1 && scenario.lateReplies == 1)
    }

    @Test func endsWithOneFinalChunkWhenTheSupervisorStops() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        try scenario.chunks(1)
        scenario.tick { $0.stop(reason: "test", &$1) }
        try scenario.chunks(1)
        scenario.call(client, 2, "rag.stream")
        let refused = scenario.take(client).suffix(2)
        #expect(StreamRecord(Array(refused)).isWhole, "a call that came too late")
        scenario.pass(.seconds(15))
        let stream = scenario.stream(client)
        #expect(stream.chunks.map { $0["sequence"] } == [2] && stream.reason == "shutting_down")
        #expect(stream.errorReason == "shutting_down")
    }

    @Test func endsWithOneFinalChunkWhenItNeverReachesAWorker() throws {
        let scenario = Scenario.streaming(workers: 1) {
            $0.pools[0].maxConcurrency = 1
            $0.loadBalancer.queueSize = 1
            $0.limits.inFlightPerConnection = 3
        }
        let (busy, client) = (try scenario.connect(), try scenario.connect())
        scenario.call(busy, 1)
        scenario.call(client, 1, "rag.stream")
        scenario.call(client, 2, "rag.stream", metadata: ["request_id": "two"])
        let full = scenario.stream(client)
        #expect(full.isWhole && full.reason == "queue_full" && full.code == 2002)
        #expect(full.chunks[0]["request_id"] == "two")
        scenario.pass(.seconds(5))
        let late = scenario.stream(client)
        #expect(late.isWhole && late.reason == "queue_timeout" && late.code == 1001)
        for id in 2...4 { scenario.call(busy, id, id == 4 ? "rag.stream" : "job.run") }
        #expect(scenario.stream(busy).chunks.map { $0["data"]?["reason"] } == ["queue_full"])
    }

    @Test(arguments: [
        (#"{"timeout_ms":0}"#, -32602), (#"{"priority":"urgent","request_id":"r"}"#, -32602),
        (#"{"request_id":""}"#, -32602),
    ])
    func endsWithOneFinalChunkWhenItsMetadataAreRefused(metadata: String, code: Int64) throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.send(
            client, #"{"jsonrpc":"2.0","id":"x","method":"rag.stream","metadata":\#(metadata)}"#)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.code == code && stream.reason == "invalid_params")
        #expect(stream.chunks[0]["request_id"]?.stringValue == (metadata.contains("\"r\"") ? "r" : "x"))
    }

    @Test func endsWithoutAChunkWhatIsNoCall() throws {
        let scenario = Scenario.streaming { $0.pools[0].methods = ["job.*"] }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")  // no pool serves it
        scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":"rag.stream","params":3}"#)
        scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":"rag.stream""#)
        let stream = scenario.stream(client)
        #expect(stream.chunks.isEmpty)
        #expect(stream.answers.map { $0["error"]?["code"] } == [-32601, -32600, -32700])
    }

    @Test func endsWithoutAChunkWhatTheWorkerDoesNotKnow() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        for chunks in 0...1 {
            scenario.call(client, 1, "rag.stream")
            try scenario.chunks(chunks)
            try scenario.failOpenCall(code: -32601)
            #expect(scenario.stream(client).chunks.count == chunks * 2)
        }
    }

    // MARK: Retries

    @Test(arguments: [(0, true), (1, false)])
    func areSentAgainOnlyBeforeTheirFirstChunk(chunks: Int, isRetried: Bool) throws {
        let scenario = Scenario.streaming(capabilities: [.init("idempotent", ["rag.stream"])])
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, _) = try scenario.openCall()
        try scenario.chunks(chunks)
        scenario.exit(worker)
        #expect(scenario.stream(client).isWhole == !isRetried)
        guard isRetried else { return }
        try scenario.chunks(1)
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2, "the second attempt counts from 0")
    }

    @Test func areNotSentAgainAfterAnUnreadableReply() throws {
        let scenario = Scenario.streaming(capabilities: [.init("idempotent", ["rag.stream"])])
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        try scenario.chunks(1)
        let (worker, call) = try scenario.openCall()
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call),"result":1,"error":{}}"#)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.code == 1003 && stream.reason == "reply_not_a_response")
    }

    @Test(arguments: [(0, true), (1, false)])
    func areTriedWithAnotherTechniqueOnlyBeforeTheirFirstChunk(chunks: Int, fallsBack: Bool) throws {
        let scenario = Scenario.streaming { $0.retry.fallbackTechniques = ["a": "b"] }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream", params: ["technique": "a"])
        try scenario.chunks(chunks)
        try scenario.failOpenCall(code: 3001)
        #expect(scenario.stream(client).isWhole == !fallsBack)
        guard fallsBack else { return }
        try scenario.chunks(1)
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2)
    }

    @Test func areNotIdempotentUnlessAWorkerSaysSo() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        scenario.exit(try scenario.openCall().worker)
        #expect(scenario.stream(client).code == 2001)
    }

    // MARK: Shared calls

    @Test func reachTheOnlyOneWhoWaitsForACacheableCall() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        try scenario.chunks(2)
        scenario.ask(client, 2)
        #expect(scenario.sent == 2, "what is streamed is joined by nobody")
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 3 && stream.chunks[0]["request_id"] == "1")
        try scenario.replyToOpenCall()
        _ = scenario.take(client)
        scenario.ask(client, 3)
        #expect(scenario.sent == 2, "the second was answered whole, and is stored; the stream was not")
    }

    @Test func reachNobodyWhereSeveralShareTheCall() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        for id in 1...2 { scenario.ask(client, id) }
        try scenario.chunks(1)
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        try scenario.chunks(1)
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.chunks.isEmpty && stream.answers.count == 2)
        #expect(scenario.lateReplies == 0)
    }

    @Test func areNotFollowedByAnOldResponse() throws {
        let scenario = Scenario.caching { $0.cache.staleIfError = .seconds(3600) }
        let client = try scenario.connect()
        #expect(try scenario.fetch(client, result: "old") == "miss")
        scenario.pass(.seconds(630))
        scenario.ask(client, 1)
        try scenario.chunks(1)
        try scenario.failOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.code == -32603)
    }
}
