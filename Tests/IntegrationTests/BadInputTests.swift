import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Garbage gets the answer that the protocol names, and the next good line on the connection is answered.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct BadInput {
        private struct Case {
            var input: [UInt8]
            var code: Int
            var reason: String?
            var id: String

            init(_ input: String, _ code: Int, _ reason: String? = nil, id: String = "null") {
                self.init(Array(input.utf8), code, reason, id: id)
            }

            init(_ input: [UInt8], _ code: Int, _ reason: String? = nil, id: String = "null") {
                (self.input, self.code, self.reason, self.id) = (input, code, reason, id)
            }
        }

        private static let cases = [
            Case("{", -32700), Case("nonsense", -32700), Case(#"{"jsonrpc":"2.0","id":1"#, -32700),
            Case(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[NaN]}"#, -32700),
            Case(#"{"jsonrpc":"2.0","id":1,"method":"echo"} x"#, -32700),
            Case(#"{'jsonrpc':'2.0','id':1,'method':'echo'}"#, -32700),
            Case([0xFF, 0xFE, 0xC0, 0x80], -32700),
            Case(
                Array(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[""#.utf8) + [0xC3]
                    + Array(#""]}"#.utf8), -32700),
            Case(
                Array(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[""#.utf8) + [0]
                    + Array(#""]}"#.utf8), -32700),
            Case([0], -32700),
            Case([0xEF, 0xBB, 0xBF] + Array(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.utf8), -32700),
            Case("1", -32600), Case("null", -32600), Case(#""text""#, -32600), Case("{}", -32600),
            Case(#"{"jsonrpc":"2.0","id":7}"#, -32600, id: "7"),
            Case(#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, -32600, id: "7"),
            Case(#"{"id":7,"method":"ping"}"#, -32600, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":1}"#, -32600, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"echo","params":1}"#, -32600, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"echo","params":null}"#, -32600, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":{},"method":"echo"}"#, -32600),
            Case(#"{"jsonrpc":"2.0","id":true,"method":"echo"}"#, -32600),
            Case(#"{"jsonrpc":"2.0","id":7,"id":8,"method":"echo"}"#, -32600, "duplicate_member"),
            Case(#"{"jsonrpc":"2.0","id":7,"i\u0064":8,"method":"echo"}"#, -32600, "duplicate_member"),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"echo","method":"echo"}"#, -32600, "duplicate_member",
                id: "7"),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"echo","params":{},"p\u0061rams":{}}"#, -32600,
                "duplicate_member", id: "7"),
            Case(#"{"jsonrpc":"2.0","id":"\#(String(repeating: "i", count: 300))","method":"echo"}"#, -32600),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"\#(String(repeating: "m", count: 129))"}"#, -32600,
                id: "7"),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"supervisor.nothing"}"#, -32601, "method_not_found",
                id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"config.nothing"}"#, -32601, "method_not_found", id: "7"),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"embedding_cache.get"}"#, -32601, "method_not_found",
                id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"$/nothing"}"#, -32601, "method_not_found", id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"rpc.nothing"}"#, -32601, "method_not_found", id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"no_such_method"}"#, -32601, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"echo","metadata":[]}"#, -32602, id: "7"),
            Case(#"{"jsonrpc":"2.0","id":7,"method":"echo","metadata":{"timeout_ms":0}}"#, -32602, id: "7"),
            Case(
                #"{"jsonrpc":"2.0","id":7,"method":"echo","metadata":{"priority":"urgent"}}"#, -32602, id: "7"
            ),
            Case(nested(65), -32600, "too_deep", id: "7"),
            Case(nested(100_000), -32600, "too_deep", id: "7"),
            Case(String(repeating: "[", count: 100_000), -32600, "too_deep"),
        ]

        /// A call nested that deep, its own object counted.
        private static func nested(_ depth: Int) -> String {
            let (open, close) = (
                String(repeating: "[", count: depth - 1), String(repeating: "]", count: depth - 1)
            )
            return #"{"jsonrpc":"2.0","id":7,"method":"echo","params":\#(open)\#(close)}"#
        }

        @Test func answersGarbageAndGoesOn() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client()
            for one in Self.cases {
                let input = Comment(rawValue: String(decoding: one.input.prefix(100), as: UTF8.self))
                try client.send(one.input)
                let answer = try client.receiveJSON()
                #expect(answer.errorCode == one.code, input)
                #expect(answer["id"]?.text == one.id, input)
                if let reason = one.reason { #expect(answer.errorReason == reason, input) }
                #expect(answer.text.utf8.count < 1000, input)
                #expect(try client.call("echo", "[1]")["result"] == [1], input)
            }
            let strange = Files.lines(supervisor.directory.file("received")).filter {
                !$0.contains("health.check") && !$0.contains(#""params":[1]"#)
                    && !$0.contains("no_such_method")
            }
            #expect(strange == [], "nothing of it reached a worker")
        }

        @Test func toleratesBlankLinesAndCarriageReturns() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            try client.sendBytes(Array("\n\r\n  \n\n".utf8))
            try client.sendBytes(
                Array("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"echo\",\"params\":[1]}\r\n".utf8))
            #expect(try client.receiveText() == #"{"jsonrpc":"2.0","id":5,"result":[1]}"#)
            try client.expectNothing(for: 0.05)
        }

        @Test func passesOnWhatIsNestedAsDeepAsAllowed() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            #expect(try client.ask(Self.nested(64))["error"] == nil)
        }

        @Test func skipsAnOversizeLineToItsEnd() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client()
            let filler = [UInt8](repeating: UInt8(ascii: "x"), count: 20 << 20)
            try client.sendBytes(Array(#"{"jsonrpc":"2.0","id":"huge","method":"echo","params":[""#.utf8))
            try client.sendBytes(filler)
            try client.send(Array(#""]}"#.utf8))
            let answer = try client.receiveJSON()
            #expect(answer.errorCode == -32600 && answer.errorReason == "message_too_large")
            #expect(answer["id"] == "huge")
            #expect(try client.call("echo", "[1]")["result"] == [1])
            #expect(Files.bytes(supervisor.directory.file("received")).count < 10_000)
        }

        @Test func passesOnAMessageOfAlmostTenMebibytes() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let text = String(repeating: "x", count: (10 << 20) - 200)
            try client.start("echo", "[\"\(text)\"]")
            let head = #"{"jsonrpc":"2.0","id":1,"result":[""#
            #expect(try client.receive(within: 30).count == head.utf8.count + text.utf8.count + 3)
        }

        @Test func refusesEveryBrokenFileOfTheJSONTestSuite() throws {
            guard let directory = Programs.sharedData("json-test-suite/test_parsing") else {
                print("skipped: the JSON test suite is not there (../shared/data/json-test-suite)")
                return
            }
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            var count = 0
            for name in names where name.hasPrefix("n_") {
                let content = Files.bytes("\(directory)/\(name)")
                // A line break ends a message here: what has one is two.
                guard !content.isEmpty, !content.contains(0x0A), content.contains(where: { $0 > 0x20 }) else {
                    continue
                }
                try client.send(content)
                let answer = try client.receiveJSON()
                #expect([-32700, -32600].contains(answer.errorCode), Comment(rawValue: name))
                #expect(answer["id"]?.isNull == true, Comment(rawValue: name))
                count += 1
            }
            #expect(count > 150)
            #expect(try client.call("ping")[path: "result.message"] == "pong")
        }
    }

    /// Our worker as a plain filter.
    @Suite(.timeLimit(.minutes(1)))
    struct WorkerAlone {
        @Test func printsOneLineAndExits() throws {
            let run = try Command.run(
                [Programs.worker], input: #"{"jsonrpc":"2.0","id":1,"method":"health.check"}"# + "\n")
            #expect(run.exitCode == 0)
            #expect(run.output.split(separator: "\n").count == 1)
            let answer = try JSONValue(parsing: run.output.trimmingCharacters(in: .newlines))
            #expect(answer["id"] == 1)
            #expect(["healthy", "degraded"].contains(answer[path: "result.status"].stringValue))
            for member in [
                "worker_id", "pid", "uptime_seconds", "request_count", "error_count", "error_rate",
                "active_requests", "memory_usage", "pipelines_loaded", "capabilities",
            ] {
                #expect(answer["result"]?[member] != nil, Comment(rawValue: member))
            }
        }

        @Test func answersGarbageAndGoesOn() throws {
            let deep = String(repeating: "[", count: 100_000)
            let lines: [(input: String, code: Int, id: String)] = [
                ("{", -32700, "null"), ("nonsense", -32700, "null"), ("\0", -32700, "null"),
                ("\u{FEFF}{}", -32700, "null"), ("1", -32600, "null"), ("{}", -32600, "null"),
                (#"{"jsonrpc":"2.0","id":7}"#, -32600, "7"),
                (#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#, -32600, "null"),
                (#"{"jsonrpc":"2.0","id":7,"method":"no.such"}"#, -32601, "7"),
                (#"{"jsonrpc":"2.0","id":7,"method":"rag.execute"}"#, -32602, "7"),
                (
                    #"{"jsonrpc":"2.0","id":7,"method":"rag.execute","params":{"technique":"bm25"}}"#, -32602,
                    "7"
                ),
                (deep, -32600, "null"),
                (
                    #"{"jsonrpc":"2.0","id":7,"method":"ping","params":["\#(String(repeating: "x", count: 11 << 20))"]}"#,
                    -32600, "7"
                ),
            ]
            for line in lines {
                let good = #"{"jsonrpc":"2.0","id":"good","method":"ping"}"#
                let run = try Command.run([Programs.worker], input: "\n\(line.input)\n\n\(good)\n")
                let name = Comment(rawValue: String(line.input.prefix(80)))
                #expect(run.exitCode == 0, name)
                let answers = try run.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
                #expect(answers.count == 2, name)
                let bad = answers.first { $0["error"] != nil }
                #expect(bad?.errorCode == line.code, name)
                #expect(bad?["id"]?.text == line.id, name)
                #expect(answers.contains { $0["id"] == "good" && $0["result"] != nil }, name)
            }
        }

        @Test func refusesEveryBrokenFileOfTheJSONTestSuite() throws {
            guard let directory = Programs.sharedData("json-test-suite/test_parsing") else {
                print("skipped: the JSON test suite is not there (../shared/data/json-test-suite)")
                return
            }
            var input: [UInt8] = []
            var count = 0
            for name in try FileManager.default.contentsOfDirectory(atPath: directory)
            where name.hasPrefix("n_") {
                let content = Files.bytes("\(directory)/\(name)")
                guard !content.contains(0x0A), content.contains(where: { $0 > 0x20 }) else { continue }
                input += content + [0x0A]
                count += 1
            }
            input += Array(#"{"jsonrpc":"2.0","id":"good","method":"ping"}"#.utf8)
            let worker = try ChildProcess([Programs.worker], input: input)
            #expect(try worker.exit() == .exited(code: 0))
            let answers = try worker.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            #expect(answers.count == count + 1)
            #expect(answers.count { [-32700, -32600].contains($0.errorCode) && $0["id"] == .null } == count)
            #expect(answers.contains { $0["id"] == "good" && $0["result"] != nil })
        }
    }
}
