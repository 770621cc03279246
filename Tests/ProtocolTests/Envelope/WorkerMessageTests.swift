import Protocol
import Testing

@Suite struct WorkerMessageTests {
    @Test func readsAResultInEveryOrderOfItsMembers() {
        for order in ["\"jsonrpc\":\"2.0\"", "\"id\":42", "\"result\":{\"a\":1}"].permutations {
            #expect(scanReply("{" + order.joined(separator: ",") + "}") == .result(42, "{\"a\":1}"))
        }
    }

    @Test(arguments: ["null", "0", "\"x\"", "[]", "{}", "false"])
    func takesAnyValueForAResult(value: String) {
        #expect(scanReply(#"{"jsonrpc":"2.0","id":1,"result":\#(value)}"#) == .result(1, value))
    }

    @Test func readsAnError() {
        let error = #"{"code":-32601,"message":"no","data":[1]}"#
        #expect(scanReply(#"{"jsonrpc":"2.0","id":9,"error":\#(error)}"#) == .error(9, error))
    }

    @Test func ignoresOtherMembersOfAReply() {
        #expect(scanReply(#"{"jsonrpc":"2.0","took":5,"id":1,"result":2,"log":["x"]}"#) == .result(1, "2"))
    }

    @Test func readsTheLargestOfOurNumbers() {
        #expect(
            scanReply(#"{"jsonrpc":"2.0","id":9999999999999999,"result":1}"#)
                == .result(9_999_999_999_999_999, "1"))
    }

    @Test(arguments: ["\"1\"", "null", "-1", "1.0", "1e0", "12345678901234567", "[1]", "true"])
    func takesAResponseToAnotherIDForForeign(id: String) {
        #expect(scanReply(#"{"jsonrpc":"2.0","id":\#(id),"result":1}"#) == .foreign)
        #expect(scanReply(#"{"jsonrpc":"2.0","id":\#(id),"error":{}}"#) == .foreign)
    }

    @Test(arguments: [
        #"{"jsonrpc":"2.0","id":5}"#, #"{"id":5,"result":1}"#, #"{"jsonrpc":"1.0","id":5,"result":1}"#,
        #"{"jsonrpc":"2.0","id":5,"result":1,"error":{}}"#, #"{"jsonrpc":"2.0","id":5,"error":"no"}"#,
        #"{"jsonrpc":"2.0","id":5,"result":1,"result":2}"#,
        #"{"jsonrpc":"2.0","jsonrpc":"2.0","id":5,"result":1}"#,
    ])
    func failsTheCallOfWhatIsNoResponse(line: String) {
        #expect(scanReply(line) == .unreadable(5, .notAResponse))
    }

    @Test(arguments: [
        #"{"jsonrpc":"2.0","id":5,"result":NaN}"#, #"{"jsonrpc":"2.0","id":5,"result":[1,]}"#,
        #"{"jsonrpc":"2.0","id":5,"result":1}{"#, #"{"jsonrpc":"2.0","id":5,"result":"cut o"#,
    ])
    func failsTheCallOfABrokenLine(line: String) {
        #expect(scanReply(line) == .unreadable(5, .notJSON))
    }

    @Test func failsTheCallOfAReplyThatIsNoUTF8() {
        let line = Array(#"{"jsonrpc":"2.0","id":5,"result":""#.utf8) + [0xE2, 0x82] + Array("\"}".utf8)
        #expect(scanReply(line) == .unreadable(5, .notJSON))
    }

    @Test func failsTheCallOfAReplyThatIsTooDeep() {
        let fits = #"{"jsonrpc":"2.0","id":5,"result":\#(nested(63))}"#
        #expect(scanReply(fits) == .result(5, nested(63)))
        let over = #"{"jsonrpc":"2.0","id":5,"result":\#(nested(64))}"#
        #expect(scanReply(over) == .unreadable(5, .tooDeep))
        #expect(scanReply(Array(over.utf8) + [0xFF]) == .unreadable(5, .tooDeep))
    }

    @Test func failsTheCallOfAReplyThatIsTooLarge() {
        let prefix = Array(#"{"jsonrpc":"2.0","id":5,"result":"xxx"#.utf8)
        prefix.withUnsafeBytes {
            #expect(
                WorkerMessage.oversize(prefix: $0, limits: MessageLimits()) == .unreadable(call: 5, .tooLarge)
            )
        }
        let noise = Array(repeating: UInt8(ascii: "x"), count: 4096)
        noise.withUnsafeBytes {
            #expect(WorkerMessage.oversize(prefix: $0, limits: MessageLimits()) == .noise)
        }
    }

    @Test(arguments: [
        "Loading model…", "[INFO] ready", "5", "null", "\"x\"", "[]", "{", "{}", "{id: 5}", "{'id': 5}",
        #"{"id":5,"id":6,"result":1}"#, #"{"level":"info","msg":"hi"}"#, #"{"jsonrpc":"2.0","result":1}"#,
        #"{"jsonrpc":"2.0","method":5}"#, #"{"jsonrpc":"1.0","method":"x"}"#,
        #"[{"jsonrpc":"2.0","id":5,"result":1}]"#, "\u{FEFF}{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":1}",
    ])
    func takesAnythingElseForNoise(line: String) {
        #expect(scanReply(line) == .noise)
    }

    @Test func readsWhatAWorkerAsksAndTells() {
        #expect(
            scanReply(#"{"jsonrpc":"2.0","id":"a","method":"embedding_cache.get","params":{}}"#)
                == .request(id: "\"a\"", method: "embedding_cache.get"))
        #expect(
            scanReply(#"{"jsonrpc":"2.0","method":"stream_chunk","params":{}}"#)
                == .notification(method: "stream_chunk"))
    }
}
