import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    @Suite(
        "§1 Framing and limits", .timeLimit(.minutes(1)),
        .sharing {
            try SupervisorProcess(
                fixture: ["--concurrency", "8", "--techniques", "bm25"], language: .swift)
        })
    struct FramingClauses {
        private static let batch =
            #"[{"jsonrpc":"2.0","id":"s","method":"rag.stream","params":{"action":"stream","chunks":2}},"#
            + #"{"jsonrpc":"2.0","id":"e","method":"echo","params":[1]}]"#

        @Test(
            "Content-Length framing from then on, in both directions: batches, chunks and events, beside lines"
        )
        func bothDirections() throws {
            let supervisor = try SharedSupervisor.current
            let clients = [try supervisor.client(.contentLength), try supervisor.client()]
            for client in clients {
                let answer = try client.call("events.subscribe", #"{"topics":["cache.*"]}"#)
                #expect(answer[path: "result.topics"] == ["cache.*"])
                try client.send(Self.batch)
            }
            for client in clients {
                let messages = try (0..<4).map { _ in try client.receiveJSON() }
                #expect(messages.prefix(3).map { $0[path: "params.sequence"] } == [0, 1, 2])
                #expect(messages.map { $0[path: "params.is_final"] } == [false, false, true, .null])
                #expect(messages[3].arrayValue?.count == 2)
            }
            #expect(try supervisor.client().call("cache.clear")["result"] != nil)
            for client in clients {
                let event = try client.receiveJSON()
                #expect(event["method"] == "event" && event[path: "params.topic"] == "cache.cleared")
            }
        }

        @Test("A body may be followed by the next header at once, and hold a message over several lines")
        func bodiesWithoutBreak() throws {
            let client = try SharedSupervisor.current.client(.contentLength)
            let bodies = (1...3).map {
                "{\r\n \"jsonrpc\": \"2.0\",\r\n \"id\": \($0),\n\"method\": \"ping\"}\r\n"
            }
            let frames = bodies.map { "Content-Length: \($0.utf8.count)\r\n\r\n\($0)" }
            try client.sendBytes(Array(frames.joined().utf8))
            #expect(Set(try client.receiveAll(3).keys) == [1, 2, 3])
        }

        @Test(
            "What breaks a limit gets an error and the connection stays usable", arguments: Client.Framing.all
        )
        func limits(framing: Client.Framing) throws {
            let client = try SharedSupervisor.current.client(framing)
            func call(_ id: String, _ method: String = "ping", params: String = "{}", more: String = "")
                -> String
            {
                #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)\#(more)}"#
            }
            func text(_ count: Int) -> String { String(repeating: "x", count: count) }
            let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
            let breaches: [(message: String, code: Int, reason: String, id: JSONValue)] = [
                (call("\"\(text(255))\""), -32600, "id_too_long", .null),
                (call("1", text(129)), -32600, "method_too_long", 1),
                (call("2", params: deep), -32600, "too_deep", 2),
                (
                    "[\(Array(repeating: call("3"), count: 101).joined(separator: ","))]", -32600,
                    "batch_too_large", .null
                ),
                (
                    call("4", more: #","metadata":{"request_id":"\#(text(129))"}"#), -32602, "invalid_params",
                    4
                ),
                (
                    call("5", more: #","metadata":{"traceparent":"\#(text(129))"}"#), -32602,
                    "invalid_params", 5
                ),
                (call("6", params: #"["\#(text(10 << 20))"]"#), -32600, "message_too_large", 6),
            ]
            for breach in breaches {
                let answer = try client.ask(breach.message)
                let name = Comment(rawValue: breach.reason)
                #expect(answer.errorCode == breach.code && answer.errorReason == breach.reason, name)
                #expect(answer["id"] == breach.id, name)
                #expect(try client.call("ping")["result"] != nil, name)
            }
            let longest = "\"\(text(254))\""
            #expect(try client.ask(call(longest))["id"]?.text == longest)
            let deepest = String(deep.dropFirst().dropLast())
            #expect(try client.ask(call("7", "echo", params: deepest))["result"]?.text == deepest)
        }

        // MARK: Bad input

        private struct Case {
            var input: String
            var code: Int
            var reason: String
            var id: JSONValue

            init(_ input: String, _ code: Int, _ reason: String, id: JSONValue = 1) {
                (self.input, self.code, self.reason, self.id) = (input, code, reason, id)
            }
        }

        private static let badInput: [Case] = [
            Case(
                "[\(Array(repeating: #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, count: 10_000).joined(separator: ","))]",
                -32600, "batch_too_large", id: .null),
            Case(#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#, -32600, "invalid_id", id: .null),
            Case(#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600, "wrong_version"),
            Case(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":"text"}"#, -32600, "invalid_params_type"),
            Case(#"{"jsonrpc":"2.0","id":1,"method":"rpc.describe"}"#, -32601, "method_not_found"),
            Case(#"{"jsonrpc":"2.0","id":1,"method":"rpc."}"#, -32601, "method_not_found"),
            Case(
                #"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"topics":["worker.*","no.such"]}}"#,
                -32602, "invalid_params"),
            Case(
                #"{"jsonrpc":"2.0","id":1,"method":"pipeline.initialize","params":{"technique":"bm25\u0000\u001b[31m"}}"#,
                1001, "no_worker_for_technique"),
            Case(
                #"{"jsonrpc":"2.0","id":1,"method":"pipeline.destroy","params":{"pipeline_id":"\u0007\r\n"}}"#,
                3001,
                "unknown_pipeline"),
            Case(
                #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"\u0007\u009b","query":"q"}}"#,
                1001, "no_worker_for_technique"),
        ]

        @Test("Bad input is answered by the table, logged once, and the connection lives")
        func badInputIsAnswered() throws {
            let supervisor = try SharedSupervisor.current
            let client = try supervisor.client()
            let logged = supervisor.records("client.bad_message").count
            let nested = try client.ask(#"[[{"jsonrpc":"2.0","id":1,"method":"ping"}],[[]]]"#)
            #expect(nested.arrayValue?.map(\.errorReason) == ["not_an_object", "not_an_object"])
            for one in Self.badInput {
                let answer = try client.ask(one.input)
                let name = Comment(rawValue: "\(one.input.prefix(100)): \(answer.text.prefix(300))")
                #expect(answer.errorCode == one.code && answer.errorReason == one.reason, name)
                #expect(answer["id"] == one.id, name)
                let message = try #require(answer[path: "error.message"].stringValue)
                #expect(message.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }, name)
                #expect(message.utf8.count < 200, name)
            }
            // A stream on a method that does not stream: without chunks a plain answer, for rag.stream the final chunk.
            #expect(try client.call("echo", "[1]")["result"] == [1])
            try client.start("rag.stream", #"{"action":"echo"}"#)
            #expect(try client.receiveJSON()[path: "params.data"] == ["reason": "done"])
            #expect(try client.receiveJSON()["result"] == ["action": "echo"])
            try client.start("rag.stream", #"{"action":"no_such"}"#)
            #expect(try client.receiveJSON().errorCode == -32601)
            #expect(try client.call("ping")[path: "result.message"] == "pong")
            try eventually("it is logged") { supervisor.records("client.bad_message").count == logged + 1 }
        }
    }
}

extension Client.Framing {
    static let all: [Self] = [.lines, .contentLength]
}
