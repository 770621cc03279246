import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The two framings, side by side, and what tries to slip through between them.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Framing {
        @Test func speaksBothFramingsOnOneSocket() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "4"])
            let lines = try supervisor.client()
            let headers = try supervisor.client(.contentLength)
            for round in 0..<20 {
                try headers.start("echo", "{\"h\":\(round)}")
                try lines.start("echo", "{\"l\":\(round)}")
                #expect(try lines.receiveJSON()[path: "result.l"] == .integer(round))
                #expect(try headers.receiveJSON()[path: "result.h"] == .integer(round))
            }
        }

        /// A large payload is not copied into the output beside it: what stands around it must stay where it is.
        @Test(arguments: [Client.Framing.lines, .contentLength])
        func keepsLargeAndSmallAnswersApart(framing: Client.Framing) throws {
            let supervisor = try SupervisorProcess(workers: 1, fixture: ["--concurrency", "8"])
            let client = try supervisor.client(framing)
            let sizes = [10, 70_000, 0, 65_536, 300_000, 65_535, 1, 1_200_000]
            for size in sizes { try client.start("echo", "[\"\(String(repeating: "x", count: size))\"]") }
            let answers = try client.receiveAll(sizes.count)
            for (index, size) in sizes.enumerated() {
                let result = answers[index + 1]?["result"]?.arrayValue
                let text = try #require(result?.first?.stringValue)
                #expect(text.utf8.count == size && text.utf8.allSatisfy { $0 == UInt8(ascii: "x") })
            }
        }

        @Test func givesTheWorkerABodyWithLineBreaksAsOneLine() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client(.contentLength)
            let body =
                "{\r\n\"jsonrpc\": \"2.0\",\n\"id\": 1,\n\"method\": \"echo\",\n\"params\": {\n \"a\":\r\n [1,\n2]}\n}"
            try client.send(body)
            #expect(try client.receiveJSON()[path: "result.a"] == [1, 2])
            let calls = Files.lines(supervisor.directory.file("received")).filter { $0.contains("echo") }
            #expect(calls.count == 1)
            #expect(calls[0].contains("\"params\":{  \"a\":   [1, 2]}"))
        }

        @Test func smugglesNothingToAWorker() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client(.contentLength)
            let second = #"{"jsonrpc":"2.0","id":1,"method":"smuggled"}"#
            let bodies = [
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n\(second)",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"smuggled\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":\"1\\n\(#"{\"method\":\"smuggled\"}"#)\",\"method\":\"echo\",\"method\":\"smuggled\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[\"a\n\(second)\n\"]}",
            ]
            for body in bodies {
                try client.send(body)
                #expect(
                    [-32700, -32600].contains(try client.receiveJSON().errorCode), Comment(rawValue: body))
            }
            // These are good, and what they hold stays where it is.
            try client.send(
                "{\"jsonrpc\":\"2.0\",\"id\":\"\\n\(#"{\"x\":\"smuggled\"}"#)\",\"method\":\"echo\",\"params\":[1]}"
            )
            #expect(try client.receiveJSON()["result"] == [1])
            try client.send("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\\n\",\"params\":[2]}")
            #expect(try client.receiveJSON().errorCode == -32601)
            let lines = Files.lines(supervisor.directory.file("received"))
            #expect(!lines.contains { $0.contains("smuggled") })
            #expect(lines.allSatisfy { (try? JSONValue(parsing: $0)) != nil }, "each line is one message")
        }

        private static let unreadableHeaders = [
            "Content-Length: abc\r\n\r\n", "Content-Length: -1\r\n\r\n", "Content-Length\r\n\r\n",
            "Content-Type: x\r\n\r\n", "Content-Length: 99999999999999999999\r\n\r\n",
            "C" + String(repeating: "x", count: 5000) + "\r\n\r\n",
        ]

        @Test func closesAfterAHeaderThatCannotBeRead() throws {
            let supervisor = try SupervisorProcess()
            for header in Self.unreadableHeaders {
                let client = try supervisor.client(.contentLength)
                try client.sendBytes(Array(header.utf8))
                let answer = try client.receiveJSON()
                let name = Comment(rawValue: String(header.prefix(40)))
                #expect(answer.errorCode == -32700 && answer["id"]?.isNull == true, name)
                try client.expectEnd()
            }
            #expect(try supervisor.client().call("ping")["result"] != nil)
        }

        @Test func ignoresOtherHeaders() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client(.contentLength)
            let body = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
            let head =
                "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:  \(body.utf8.count)\r\n\r\n"
            try client.sendBytes(Array((head + body).utf8))
            #expect(try client.receiveJSON()["result"] != nil)
        }

        @Test func skipsAnOversizeBodyByItsLength() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client(.contentLength)
            let filler = String(repeating: "x", count: 11 << 20)
            try client.send(#"{"jsonrpc":"2.0","id":9,"method":"echo","params":["\#(filler)"]}"#)
            let answer = try client.receiveJSON()
            #expect(answer.errorReason == "message_too_large" && answer["id"] == 9)
            #expect(try client.call("echo", "[1]")["result"] == [1])
        }
    }
}
