import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// What goes through the supervisor goes through as it came.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct PassingThrough {
        @Test func passesAnyMethodThrough() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            #expect(try client.call("echo", "{\"a\":[1,2]}")["result"] == ["a": [1, 2]])
            #expect(try client.call("any.name/at-all", "[true]")["result"] == [true])
            #expect(try client.call("echo").text == #"{"jsonrpc":"2.0","id":3,"result":null}"#)
        }

        private static let ids = [
            #""text""#, #""""#, #""with \"escapes\" \u00e9 \ud83d\ude00 é😀\/""#, "0", "-1", "1.50", "1e3",
            "-0.0",
            "123456789012345678901234567890", "null", #""1""#,
        ]

        @Test func bringsBackIDsByteForByte() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            for id in Self.ids {
                try client.send(#"{"jsonrpc":"2.0","id":\#(id),"method":"echo","params":[1]}"#)
                #expect(try client.receiveText() == #"{"jsonrpc":"2.0","id":\#(id),"result":[1]}"#)
                try client.send(#"{"method":"supervisor.nothing", "id" : \#(id) ,"jsonrpc":"2.0"}"#)
                let refusal = try client.receiveText()
                #expect(refusal.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"error":{"code":-32601,"#))
            }
        }

        @Test func bringsBackAResultByteForByte() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let result = #"{ "b" : 1.50 ,"a":[ 1e3,"\u00e9é\/" ],"a":null,"n":12345678901234567890123 }"#
            let text = JSONValue.string(result).text
            try client.send(#"{"jsonrpc":"2.0","id":1,"method":"raw","params":{"text":\#(text)}}"#)
            #expect(try client.receiveText() == #"{"jsonrpc":"2.0","id":1,"result":\#(result)}"#)
        }

        @Test func bringsBackAWorkersErrorByteForByte() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let error = #"{"code": 12345, "message":"caf\u00e9", "data": {"x" : 1.0}}"#
            let text = JSONValue.string(error).text
            try client.send(#"{"jsonrpc":"2.0","id":1,"method":"fail","params":{"text":\#(text)}}"#)
            #expect(try client.receiveText() == #"{"jsonrpc":"2.0","id":1,"error":\#(error)}"#)
        }

        @Test func givesTheWorkerTheParamsByteForByte() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let params = #"{ "z" : 1.50,"z":[ ],"é":"\u00e9\n\/","big":123456789012345678901234567890 }"#
            let message =
                #" { "metadata" : {"request_id":"r-1"}, "extra":1, "params" :  \#(params) , "#
                + #""method":"e\u0063ho" , "id":"x","jsonrpc":"2.0"}"#
            let client = try supervisor.client()
            #expect(try client.ask(message)[path: "metadata.request_id"] == "r-1")
            let line = try #require(Files.lines(supervisor.directory.file("received")).last)
            #expect(line.hasPrefix(#"{"jsonrpc":"2.0","id":"#))
            #expect(
                line.contains(
                    #","method":"echo","params":\#(params),"metadata":{"request_id":"r-1","deadline_ms":"#)
                    || line.contains(
                        #","method":"e\u0063ho","params":\#(params),"metadata":{"request_id":"r-1","deadline_ms":"#
                    ))
            #expect(!line.contains("extra"))
        }

        @Test func answersTwoCallsWithTheSameID() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "2"])
            let client = try supervisor.client()
            try client.send(#"{"jsonrpc":"2.0","id":"same","method":"sleep","params":{"ms":200,"n":1}}"#)
            try client.send(#"{"jsonrpc":"2.0","id":"same","method":"echo","params":{"n":2}}"#)
            let answers = try [client.receiveJSON(), client.receiveJSON()]
            #expect(answers.map { $0[path: "result.n"] } == [2, 1])
            #expect(answers.allSatisfy { $0["id"] == "same" })
        }

        @Test func doesNotAnswerNotifications() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client()
            try client.send(#"{"jsonrpc":"2.0","method":"echo","params":["told"]}"#)
            try client.send(#"{"jsonrpc":"2.0","method":"no.such"}"#)
            try client.send(#"{"jsonrpc":"2.0","method":"supervisor.nothing"}"#)
            try client.send(#"{"jsonrpc":"2.0","method":"ping"}"#)
            #expect(try client.call("echo", "[1]")["result"] == [1])
            try client.expectNothing(for: 0.1)
            let told = Files.lines(supervisor.directory.file("received")).filter { $0.contains("told") }
            #expect(told.count == 1)
            #expect(!told[0].contains("\"id\""))
        }

        @Test func answersWhatWasAskedBeforeTheInputEnded() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "4"])
            let client = try supervisor.client()
            try client.start("sleep", #"{"ms":150}"#)
            try client.start("echo", "[2]")
            // The last line has no line break, as `printf` leaves it.
            try client.sendBytes(Array(#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#.utf8))
            client.endInput()
            #expect(Set(try client.receiveAll(3).keys) == [1, 2, 3])
            try client.expectEnd()
        }

        @Test func answersABrokenLastLineAndAnUnfinishedBatch() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "4"])
            let broken = try supervisor.client()
            try broken.sendBytes(Array(#"{"jsonrpc":"2.0","id":3,"meth"#.utf8))
            broken.endInput()
            #expect(try broken.receiveJSON().errorCode == -32700)
            try broken.expectEnd()
            let batch = try supervisor.client()
            let calls = (1...3).map {
                #"{"jsonrpc":"2.0","id":\#($0),"method":"sleep","params":{"ms":\#($0 * 50)}}"#
            }
            try batch.send("[\(calls.joined(separator: ","))]")
            batch.endInput()
            #expect(try batch.receiveJSON().arrayValue?.count == 3)
            try batch.expectEnd()
        }

        @Test func forgetsABatchWhoseClientIsGone() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "4"])
            for _ in 0..<20 {
                let client = try supervisor.client()
                let calls = (1...8).map {
                    #"{"jsonrpc":"2.0","id":\#($0),"method":"sleep","params":{"ms":\#($0 * 3)}}"#
                }
                try client.send("[\(calls.joined(separator: ","))]")
                usleep(UInt32.random(in: 0...10_000))
            }
            try supervisor.waitForWorker("nothing is in flight") { $0["in_flight"] == 0 }
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }

        @Test func closesAConnectionThatAskedNothing() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            client.endInput()
            try client.expectEnd()
        }

        @Test func tellsAboutACallOnlyToWhoAsks() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let with = try client.call("whoami", metadata: "{}")
            #expect(with[path: "metadata.worker_id"] == with[path: "result.worker_id"])
            #expect(with[path: "metadata.attempts"] == 1)
            #expect(with[path: "metadata.cache"] == "bypass")
            #expect(with[path: "metadata.request_id"].stringValue?.count == 36)
            #expect(with[path: "metadata.queue_time_ms"].doubleValue != nil)
            #expect(with[path: "metadata.processing_time_ms"].doubleValue != nil)
            #expect(try client.call("whoami")["metadata"] == nil)
        }

        // MARK: Batches

        @Test func answersABatchWithOneArray() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8"])
            let client = try supervisor.client()
            let watch = Stopwatch()
            let calls = (1...4).map {
                #"{"jsonrpc":"2.0","id":\#($0),"method":"sleep","params":{"ms":200,"n":\#($0)}}"#
            }
            let notification = #"{"jsonrpc":"2.0","method":"echo"}"#
            let answer = try client.ask("[\((calls + [notification, "1"]).joined(separator: " , "))]")
            let elements = try #require(answer.arrayValue)
            #expect(elements.count == 5)
            for id in 1...4 {
                let element = elements.first { $0["id"] == .integer(id) }
                #expect(element?[path: "result.n"] == .integer(id))
            }
            #expect(elements.count { $0["id"]?.isNull == true && $0.errorCode == -32600 } == 1)
            #expect(watch.seconds < 0.7, "the calls of a batch run at once")
        }

        @Test func answersBatchesOfEveryKind() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let empty = try client.ask("[]")
            #expect(empty.errorCode == -32600 && empty["id"]?.isNull == true)
            try client.send(#"[{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","method":"ping"}]"#)
            try client.expectNothing(for: 0.1)
            let nested = try client.ask(#"[[1],[]]"#).arrayValue
            #expect(nested?.map(\.errorCode) == [-32600, -32600])
            let call = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
            let hundred = try client.ask("[\(Array(repeating: call, count: 100).joined(separator: ","))]")
            #expect(hundred.arrayValue?.count == 100)
            let more = try client.ask("[\(Array(repeating: call, count: 101).joined(separator: ","))]")
            #expect(more.errorCode == -32600 && more.errorReason == "batch_too_large")
            let broken = try client.ask("[\(call),]")
            #expect(broken.errorCode == -32700 && broken["id"]?.isNull == true)
            #expect(try client.call("ping")[path: "result.message"] == "pong")
        }
    }
}
