import Protocol
import Testing

@testable import Supervisor

/// How long a stream may take, and how much of it may wait for its client.
@Suite struct StreamLimitTests {
    // MARK: Time

    @Test func mayTakeAsLongAsStreamTotal() throws {
        let scenario = Scenario.streaming {
            $0.timeouts.standard = .seconds(10)
            $0.timeouts.streamTotal = .seconds(100)
        }
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let worker = try scenario.openCall().worker
        let sent = try #require(scenario.messages(to: worker).last)
        #expect(sent["metadata"]?["deadline_ms"] == 100_000)
        for _ in 0..<4 {
            try scenario.chunks(1)
            scenario.pass(.milliseconds(24_999))
        }
        #expect(scenario.stream(client).answers.isEmpty)
        scenario.pass(.milliseconds(4))
        #expect(scenario.stream(client).errorReason == "deadline_exceeded")
    }

    @Test func countsOtherMethodsAsStreamsFromTheirFirstChunk() throws {
        let scenario = Scenario.streaming {
            $0.timeouts.standard = .seconds(10)
            $0.timeouts.streamTotal = .seconds(40)
        }
        let client = try scenario.connect()
        scenario.call(client, 1)
        try scenario.chunks(1)
        scenario.pass(.seconds(20))
        try scenario.chunks(1)
        #expect(scenario.stream(client).answers.isEmpty)
        scenario.pass(.seconds(20))
        let stream = scenario.stream(client)
        #expect(stream.reason == "timeout" && stream.errorReason == "deadline_exceeded")
    }

    @Test(arguments: [true, false]) func keepsTheTimeThatWasAskedFor(byMethod: Bool) throws {
        let scenario = Scenario.streaming {
            if byMethod { $0.timeouts.perMethod = ["rag.stream": .seconds(3), "job.run": .seconds(3)] }
        }
        let client = try scenario.connect()
        for (id, method) in [(1, "rag.stream"), (2, "job.run")] {
            scenario.call(client, id, method, metadata: byMethod ? [:] : ["timeout_ms": 3000])
            try scenario.chunks(1)
            scenario.pass(.milliseconds(2999))
            #expect(scenario.stream(client).answers.isEmpty)
            scenario.pass(.milliseconds(1))
            #expect(scenario.stream(client).errorReason == "deadline_exceeded")
            try scenario.failOpenCall(code: -32800)
        }
    }

    @Test func mayNotStandStillForLongerThanStreamIdle() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.pass(.milliseconds(29_999))
        scenario.chunk(worker, call)
        scenario.pass(.milliseconds(29_999))
        scenario.chunk(worker, call)
        scenario.pass(.milliseconds(29_999))
        #expect(scenario.stream(client).answers.isEmpty)
        scenario.pass(.milliseconds(1))
        let stream = scenario.stream(client)
        #expect(stream.reason == "stream_idle" && stream.code == 1002 && stream.errorReason == "stream_idle")
        #expect(scenario.cancels(on: worker) == 1)
    }

    @Test func mayNotBeginLaterThanStreamIdleAfterItWasSent() throws {
        let scenario = Scenario.streaming(workers: 1) {
            $0.pools[0].maxConcurrency = 1
            $0.loadBalancer.queueTimeout = 0
        }
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2, "rag.stream")
        scenario.pass(.seconds(40))
        try scenario.replyToOpenCall()
        #expect(scenario.take(client).count == 1, "to wait in the queue is no silence of the worker's")
        scenario.pass(.milliseconds(29_999))
        #expect(scenario.take(client).isEmpty)
        scenario.pass(.milliseconds(1))
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.errorReason == "stream_idle")
    }

    @Test func appliesToTheOneWhoWaitsForACacheableCall() throws {
        let scenario = Scenario.caching()
        let client = try scenario.connect()
        scenario.ask(client, 1)
        let worker = try scenario.openCall().worker
        try scenario.chunks(1)
        scenario.pass(.milliseconds(29_999))
        #expect(scenario.stream(client).answers.isEmpty)
        scenario.pass(.milliseconds(1))
        #expect(scenario.stream(client).errorReason == "stream_idle")
        #expect(scenario.cancels(on: worker) == 1)
    }

    @Test func leavesTheWorkerOfALongStreamItsGrace() throws {
        let scenario = Scenario.ready(workers: 1) { $0.health.interval = .seconds(36_000) }
        let client = try scenario.connect()
        scenario.call(client, 1)
        for _ in 0..<4 {
            try scenario.chunks(1)
            scenario.pass(.seconds(25))
        }
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
        scenario.pass(.seconds(1))
        #expect(
            !scenario.effects.events.contains("worker.replaced"), "it streamed longer than timeouts.default")
        scenario.pass(.seconds(500))
        #expect(scenario.effects.events.contains("worker.replaced"))
    }

    // MARK: Slow consumers

    @Test(arguments: [("\"x\"", 256), ("\"" + String(repeating: "x", count: 100_000) + "\"", 10)])
    func endsWhenTooMuchOfItWaits(data: String, chunks: Int) throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        scenario.call(client, 2)
        let (worker, call) = try scenario.openCall()
        scenario.effects.stopTaking(client)
        for _ in 0..<chunks { scenario.chunk(worker, call, data) }
        #expect(scenario.cancels(on: worker) == 0)
        scenario.chunk(worker, call, data)
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == chunks + 1)
        #expect(stream.reason == "slow_consumer" && stream.code == 2003)
        #expect(scenario.cancels(on: worker) == 1)
        scenario.chunk(worker, call, data)
        #expect(scenario.lateReplies == 1)
        let other = try #require(scenario.openCalls().last)
        scenario.reply(other.worker, other.call)
        #expect(try scenario.answer(client)["id"] == 2, "the connection's other calls are answered")
    }

    @Test func passesOnOneLargeChunkWhenNothingElseWaits() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        scenario.effects.stopTaking(client)
        let data = "\"" + String(repeating: "x", count: 2 << 20) + "\""
        try scenario.chunks(1, data)
        #expect(scenario.stream(client).answers.isEmpty)
        try scenario.chunks(1)
        #expect(scenario.stream(client).reason == "slow_consumer")
    }

    @Test func isNoSlowConsumerWhoTakesWhatIsOfferedInABurst() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        scenario.effects.stopTaking(client)
        scenario.effects.takesWhenOffered = [client]
        try scenario.chunks(2000)
        try scenario.replyToOpenCall()
        let stream = scenario.stream(client)
        #expect(stream.isWhole && stream.chunks.count == 2001)
    }

    @Test func countsOnlyWhatWaits() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.call(client, 1, "rag.stream")
        let (worker, call) = try scenario.openCall()
        scenario.chunk(worker, call)
        let bytes = try #require(scenario.effects.toClients[client]?.first?.count)
        scenario.effects.stopTaking(client)
        for round in 0..<40 {
            for _ in 0..<20 { scenario.chunk(worker, call) }
            // A little less than came is taken, until all is taken.
            scenario.effects.take(
                round % 10 == 9 ? scenario.effects.outputBacklog(of: client) : bytes * 19, client)
        }
        #expect(scenario.stream(client).answers.isEmpty)
        #expect(scenario.core.connections[client].chunks.unsent.count <= 256)
    }

    @Test func boundsManyStreamsOfOneConnectionTogether() throws {
        let scenario = Scenario.streaming { $0.limits.bytesPerConnection = 4 << 20 }
        let client = try scenario.connect()
        for id in 0..<256 { scenario.call(client, id, "rag.stream") }
        scenario.effects.stopTaking(client)
        let data = "\"" + String(repeating: "x", count: 50_000) + "\""
        for (worker, call) in scenario.openCalls() { scenario.chunk(worker, call, data) }
        #expect(scenario.effects.outputBacklog(of: client) < 5 << 20)
        #expect(scenario.effects.paused.contains(client), "it is not read from")
        let stream = scenario.stream(client)
        #expect(stream.answers.count > 150)
        #expect(stream.answers.allSatisfy { $0["error"]?["data"]?["reason"] == "slow_consumer" })
    }

    @Test func forgetsWhatWaitedOfAStreamThatIsOver() throws {
        let scenario = Scenario.streaming()
        let client = try scenario.connect()
        scenario.effects.stopTaking(client)
        for id in 1...3 {
            scenario.call(client, id, "rag.stream")
            try scenario.chunks(200)
            try scenario.replyToOpenCall()
        }
        #expect(scenario.stream(client).answers.allSatisfy { $0["result"] != nil })
        scenario.effects.take(scenario.effects.outputBacklog(of: client), client)
        scenario.call(client, 4, "rag.stream")
        try scenario.chunks(1)
        #expect(scenario.core.connections[client].chunks.unsent.count == 1)
    }
}
