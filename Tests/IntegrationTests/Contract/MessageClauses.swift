import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    @Suite(
        "§2 Messages", .timeLimit(.minutes(1)),
        .sharing {
            try SupervisorProcess(
                fixture: ["--concurrency", "8", "--cancel", "honour", "--log", "DIR/received"],
                language: .swift)
        })
    struct MessageClauses {
        // MARK: Cancel

        private static let cancels: [(id: String, notification: String, isMeant: Bool)] = [
            (#""a\u0062""#, #""$/cancelRequest","params":{"id":"ab"}"#, true),
            (#""ab""#, #""notifications/cancelled","params":{"requestId":"\u0061b","reason":"why"}"#, true),
            ("1.0", #""notifications/cancelled","params":{"requestId":1.0}"#, true),
            ("1.0", #""$/cancelRequest","params":{"id":1}"#, false),
            (#""1""#, #""$/cancelRequest","params":{"id":1}"#, false),
            ("null", #""$/cancelRequest","params":{"id":null}"#, true),
            ("7", #""$/cancelRequest","params":{"requestId":7}"#, false),
            ("7", #""$/cancelRequest","params":[7]"#, false),
        ]

        @Test(
            "Cancel: strings are compared after unescaping, numbers byte for byte",
            arguments: Client.Framing.all)
        func cancel(framing: Client.Framing) throws {
            let client = try SharedSupervisor.current.client(framing)
            for one in Self.cancels {
                let name = Comment(rawValue: "\(one.id) by \(one.notification)")
                let milliseconds = one.isMeant ? 5000 : 100
                try client.send(
                    #"{"jsonrpc":"2.0","id":\#(one.id),"method":"sleep","params":{"ms":\#(milliseconds)}}"#)
                try client.send(#"{"jsonrpc":"2.0","method":\#(one.notification)}"#)
                let answer = try client.receiveJSON(within: 4)
                #expect(try answer["id"] == JSONValue(parsing: one.id), name)
                #expect(answer.errorCode == (one.isMeant ? -32800 : nil), name)
            }
        }

        @Test("Cancel: the oldest such call; also one of a batch, whose other calls are answered")
        func cancelInABatch() throws {
            let client = try SharedSupervisor.current.client()
            func sleep(_ id: Int, _ milliseconds: Int, _ number: Int) -> String {
                #"{"jsonrpc":"2.0","id":\#(id),"method":"sleep","params":{"ms":\#(milliseconds),"n":\#(number)}}"#
            }
            try client.send("[\(sleep(5, 5000, 1)),\(sleep(6, 50, 2)),\(sleep(5, 50, 3))]")
            try client.send(#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":5}}"#)
            let elements = try #require(try client.receiveJSON(within: 4).arrayValue)
            #expect(elements.count == 3)
            #expect(elements.count { $0.errorCode == -32800 && $0["id"] == 5 } == 1)
            #expect(Set(elements.compactMap { $0[path: "result.n"].integerValue }) == [2, 3])
        }

        // MARK: Streams

        @Test(
            "Stream: request_id is metadata.request_id, else the id: a string's value, else the JSON text",
            arguments: [
                (#""s\u0031""#, "", "s1"), ("1.50", "", "1.50"), ("null", "", "null"), (#""""#, "", ""),
                ("3", #","metadata":{"request_id":"m\u0065"}"#, "me"), ("4", #","metadata":{}"#, "4"),
            ])
        func streamName(id: String, metadata: String, name: String) throws {
            let client = try SharedSupervisor.current.client()
            try client.send(
                #"{"jsonrpc":"2.0","id":\#(id),"method":"rag.stream","params":{"action":"stream","chunks":2}\#(metadata)}"#
            )
            let chunks = try (0..<3).map { _ in try client.receiveJSON() }
            #expect(chunks.allSatisfy { $0[path: "params.request_id"].stringValue == name })
            #expect(chunks.map { $0[path: "params.sequence"] } == [0, 1, 2])
            #expect(
                chunks[0]["params"]?.objectValue?.map(\.name) == [
                    "request_id", "sequence", "chunk_type", "data", "is_final",
                ])
            #expect(try client.receiveText().hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"result":"#))
        }

        private static let endings:
            [(params: String, metadata: String, cancels: Bool, reason: String, code: Int?)] =
                [
                    (#"{"action":"echo"}"#, "{}", false, "done", nil),
                    (
                        #"{"action":"fail","text":"{\"code\":3003,\"message\":\"m\"}"}"#, "{}", false,
                        "error", 3003
                    ),
                    (
                        #"{"action":"stream","chunks":500,"ms":20}"#, #"{"timeout_ms":80}"#, false, "timeout",
                        1002
                    ),
                    (#"{"action":"stream","chunks":500,"ms":20}"#, "{}", true, "cancelled", -32800),
                    (#"{"action":"unreadable"}"#, "{}", false, "reply_not_a_response", 1003),
                    (#"{"action":"echo"}"#, #"{"priority":"urgent"}"#, false, "invalid_params", -32602),
                    (#"{"action":"echo"}"#, #"{"request_id":"a\nb"}"#, false, "invalid_params", -32602),
                    (#"{"action":"crash"}"#, "{}", false, "worker_crashed", 2001),
                ]

        @Test("Stream: always ends with exactly one chunk with is_final, then its response or error")
        func streamEndings() throws {
            let supervisor = try SharedSupervisor.current
            for one in Self.endings {
                let client = try supervisor.client()
                let name = Comment(rawValue: "\(one.params) \(one.metadata)")
                let id = try client.start("rag.stream", one.params, metadata: one.metadata)
                if one.cancels {
                    try client.send(#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(id)}}"#)
                }
                var chunks: [JSONValue] = []
                var message = try client.receiveJSON()
                while message["method"] == "stream_chunk" {
                    chunks.append(message)
                    message = try client.receiveJSON()
                }
                #expect(message["id"] == .integer(id) && message.errorCode == one.code, name)
                #expect(chunks.count { $0[path: "params.is_final"] == true } == 1, name)
                let last = chunks.last?["params"] ?? .null
                #expect(last["is_final"] == true && last["chunk_type"] == "metadata", name)
                #expect(last[path: "data.reason"].stringValue == one.reason, name)
                #expect(
                    chunks.map { $0[path: "params.sequence"] } == chunks.indices.map { .integer($0) }, name)
            }
            try supervisor.waitUntilReady(1)
        }

        // MARK: What a worker gets

        @Test("What a worker gets is always built anew: members in this order, without space between them")
        func builtAnew() throws {
            let supervisor = try SharedSupervisor.current
            let client = try supervisor.client(.contentLength)
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            try client.send(
                "{ \"metadata\" : {\"traceparent\":\"\(trace)\", \"timeout_ms\":5000, \"request_id\":\"built-anew\","
                    + "\"cache\":\"bypass\", \"own\":1},\r\n \"other\":[1],\n\"params\":\r\n{ \"a\":\r\n1,\n\"b\":\"\\r\\n\" },"
                    + " \"id\" : null, \"method\":\"echo\", \"jsonrpc\":\"2.0\" }")
            #expect(try client.receiveJSON()["id"] == .null)
            try client.send(#"{"jsonrpc":"2.0","method":"echo","metadata":{"request_id":"told-anew"}}"#)
            #expect(try client.call("echo", "{}")["result"] == [:])
            let lines = Files.lines(supervisor.directory.file("received"))
            let call = try #require(lines.first { $0.contains("built-anew") })
            let pattern =
                #"^\{"jsonrpc":"2.0","id":[0-9]+,"method":"echo","params":\{ "a":  1, "b":"\\r\\n" \},"#
                + #""metadata":\{"request_id":"built-anew","deadline_ms":[0-9]+,"traceparent":"\#(trace)"\}\}$"#
            #expect(try Regex(pattern).wholeMatch(in: call) != nil, "\(call)")
            let told = try #require(lines.first { $0.contains("told-anew") })
            let notification =
                #"^\{"jsonrpc":"2.0","method":"echo","metadata":\{"request_id":"told-anew","deadline_ms":[0-9]+\}\}$"#
            #expect(try Regex(notification).wholeMatch(in: told) != nil, "\(told)")
        }

        private static let reserved = [
            "supervisor.", "config.", "events.", "cache.", "embedding_cache.", "rpc.", "$/", "notifications/",
        ]

        @Test("Never passed to workers, −32601 when not named above", arguments: Client.Framing.all)
        func reservedNames(framing: Client.Framing) throws {
            let supervisor = try SharedSupervisor.current
            let client = try supervisor.client(framing)
            for prefix in Self.reserved {
                for method in [prefix, "\(prefix)reserved", "\(prefix)reserved.status"] {
                    let answer = try client.call(method, "[1]")
                    #expect(
                        answer.errorCode == -32601 && answer.errorReason == "method_not_found", "\(method)")
                    try client.send(#"{"jsonrpc":"2.0","method":"\#(method)"}"#)
                }
                let escaped = prefix.unicodeScalars.map { "\\u00" + String($0.value, radix: 16) }.joined()
                #expect(try client.call("\(escaped)reserved").errorCode == -32601)
            }
            #expect(try client.call("rpcs.like_any_other", "[1]")["result"] == [1])
            let received = Files.lines(supervisor.directory.file("received"))
            #expect(!received.contains { $0.contains("reserved") })
        }

        // MARK: Metadata

        @Test(
            "metadata: another word or type is −32602 with its path",
            arguments: [
                ("request_id", ["1", "null", #""""#, #""a\u0007""#]),
                ("timestamp", ["1", #""yesterday""#, #""2026-01-31""#, #""2026-02-30T12:00:00Z""#]),
                ("priority", ["1", #""urgent""#, #""High""#]),
                ("timeout_ms", ["0", "-1", "1.5", #""5""#, "true", "null"]),
                ("cache", [#""stale""#, "true"]), ("cache_scope", [#""public""#, "[]"]),
                ("traceparent", ["1", #""""#, #""a\nb""#]),
            ])
        func badMetadata(member: String, values: [String]) throws {
            let client = try SharedSupervisor.current.client()
            for value in values {
                for method in ["echo", "ping", "rag.execute"] {
                    let answer = try client.call(method, metadata: "{\"\(member)\":\(value)}")
                    let name = Comment(rawValue: "\(method) \(member) \(value)")
                    #expect(answer.errorCode == -32602, name)
                    #expect(answer[path: "error.data.path"].stringValue == "metadata.\(member)", name)
                }
            }
        }

        @Test(
            "A response carries metadata only if the request had the member, also an error of the supervisor's"
        )
        func metadataOut() throws {
            let client = try SharedSupervisor.current.client()
            let members: Set = [
                "request_id", "worker_id", "cache", "attempts", "queue_time_ms", "processing_time_ms",
            ]
            for method in ["echo", "ping", "supervisor.nothing", "no_such_method", "rag.execute"] {
                let with = try client.call(method, metadata: #"{"request_id":"mine"}"#)
                let told = Set((with["metadata"]?.objectValue ?? []).map(\.name))
                #expect(told.isSuperset(of: members), "\(method)")
                #expect(with[path: "metadata.request_id"] == "mine", "\(method)")
                let without = try client.call(method)
                #expect(without.objectValue?.count == 3 && without["metadata"] == nil, "\(method)")
            }
        }
    }
}
