import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The examples of the JSON-RPC 2.0 Specification (jsonrpc.org, 2013-01-04), section 7, word for word, answered by a
    /// worker that subtracts.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Specification {
        private static let worker = #"""
            import json, sys
            for line in sys.stdin:
                call = json.loads(line)
                if "id" not in call:
                    continue
                method, params = call["method"], call.get("params")
                answer = {"jsonrpc": "2.0", "id": call["id"]}
                if method == "subtract":
                    answer["result"] = params[0] - params[1] if isinstance(params, list) else params["minuend"] - params["subtrahend"]
                elif method == "sum":
                    answer["result"] = sum(params)
                elif method == "get_data":
                    answer["result"] = ["hello", 5]
                elif method == "health.check":
                    answer["result"] = {"status": "healthy", "capabilities": {"max_concurrency": 1}}
                else:
                    answer["error"] = {"code": -32601, "message": "Method not found"}
                print(json.dumps(answer), flush=True)
            """#

        private func serve() throws -> SupervisorProcess {
            let directory = try TestDirectory()
            try directory.write(Self.worker, to: "subtract.py")
            return try SupervisorProcess(worker: ["python3", directory.file("subtract.py")], in: directory)
        }

        /// What the page shows for an error of ours: code and message; `data` may say more, and the message go on.
        private func expect(_ answer: JSONValue, _ code: Int64, _ message: String, id: JSONValue) {
            #expect(answer["jsonrpc"] == "2.0" && answer["id"] == id, "\(answer.text)")
            #expect(answer["error"]?["code"]?.integerValue == code, "\(answer.text)")
            #expect(answer["error"]?["message"]?.stringValue?.hasPrefix(message) == true, "\(answer.text)")
        }

        @Test(arguments: [
            (
                #"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
                #"{"jsonrpc": "2.0", "result": 19, "id": 1}"#
            ),
            (
                #"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
                #"{"jsonrpc": "2.0", "result": -19, "id": 2}"#
            ),
            (
                #"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
                #"{"jsonrpc": "2.0", "result": 19, "id": 3}"#
            ),
            (
                #"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
                #"{"jsonrpc": "2.0", "result": 19, "id": 4}"#
            ),
        ]) func positionalAndNamedParameters(request: String, response: String) throws {
            let supervisor = try self.serve()
            let answer = try supervisor.client().ask(request)
            let expected = try JSONValue(parsing: Array(response.utf8))
            for name in ["jsonrpc", "result", "id"] { #expect(answer[name] == expected[name]) }
            #expect(answer.objectValue?.count == 3)
        }

        @Test func notifications() throws {
            let client = try self.serve().client()
            try client.send(#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#)
            try client.send(#"{"jsonrpc": "2.0", "method": "foobar"}"#)
            // Nothing comes before the answer to what is asked next.
            let answer = try client.ask(
                #"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 9}"#)
            #expect(answer["id"] == 9 && answer["result"] == 19)
        }

        @Test func errors() throws {
            let client = try self.serve().client()
            self.expect(
                try client.ask(#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#), -32601,
                "Method not found", id: "1")
            self.expect(
                try client.ask(#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#), -32700,
                "Parse error",
                id: .null)
            self.expect(
                try client.ask(#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#), -32600,
                "Invalid Request", id: .null)
        }

        @Test func batchesThatAreNone() throws {
            let client = try self.serve().client()
            self.expect(
                try client.ask(
                    #"[ {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method" ]"#
                ),
                -32700, "Parse error", id: .null)
            self.expect(try client.ask("[]"), -32600, "Invalid Request", id: .null)
            let one = try client.ask("[1]").arrayValue ?? []
            #expect(one.count == 1)
            let three = try client.ask("[1,2,3]").arrayValue ?? []
            #expect(three.count == 3)
            for answer in one + three { self.expect(answer, -32600, "Invalid Request", id: .null) }
        }

        @Test func batches() throws {
            let client = try self.serve().client()
            let answers =
                try client.ask(
                    #"""
                    [ {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}, {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"}, {"foo": "boo"}, {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"}, {"jsonrpc": "2.0", "method": "get_data", "id": "9"} ]
                    """#
                ).arrayValue ?? []
            #expect(answers.count == 5)
            func answer(_ id: JSONValue) throws -> JSONValue {
                try #require(answers.first { $0["id"] == id })
            }
            #expect(try answer("1")["result"] == 7)
            #expect(try answer("2")["result"] == 19)
            #expect(try answer("9")["result"] == ["hello", 5])
            self.expect(try answer(.null), -32600, "Invalid Request", id: .null)
            self.expect(try answer("5"), -32601, "Method not found", id: "5")
            try client.send(
                #"[ {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]} ]"#
            )
            try client.expectNothing(for: 0.1)
        }

        /// A vscode-jsonrpc style client and one that writes lines, at once, on one socket.
        @Test func bothFramingsAtOnce() throws {
            let supervisor = try self.serve()
            let (lines, headers) = (try supervisor.client(), try supervisor.client(.contentLength))
            for number in 0..<50 {
                try lines.send(
                    #"{"jsonrpc":"2.0","id":\#(number),"method":"subtract","params":[\#(number),1]}"#)
                try headers.send(
                    "{\r\n  \"jsonrpc\": \"2.0\",\n  \"id\": \(number),\n  \"method\": \"subtract\",\n  \"params\": [\(number), 2]\n}"
                )
            }
            let (one, other) = (try lines.receiveAll(50), try headers.receiveAll(50))
            for number in 0..<50 {
                #expect(one[number]?["result"]?.integerValue == Int64(number - 1))
                #expect(other[number]?["result"]?.integerValue == Int64(number - 2))
            }
        }
    }
}
