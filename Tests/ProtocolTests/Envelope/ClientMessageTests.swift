import Testing

@testable import Protocol

@Suite struct ClientMessageTests {
    static let members = [
        "\"jsonrpc\":\"2.0\"", "\"id\":7", "\"method\":\"ping\"", "\"params\":{\"a\":[1]}", "\"metadata\":{}",
    ]

    @Test func findsItsPartsInEveryOrder() {
        for order in Self.members.permutations {
            let text = "{" + order.joined(separator: ",") + "}"
            #expect(
                scan(text) == .request(id: "7", method: "ping", params: "{\"a\":[1]}", metadata: "{}"),
                "\(text)")
        }
    }

    @Test func findsItsPartsBetweenAnyWhiteSpace() {
        let text =
            "\t{ \r\n \"jsonrpc\" : \"2.0\" ,\n\"id\"\t:\t7\r, \"method\" : \"ping\" , \"params\" : [ 1 ] } \n"
        #expect(scan(text) == .request(id: "7", method: "ping", params: "[ 1 ]", metadata: nil))
    }

    @Test func comparesNamesAfterUnescaping() {
        let text =
            #"{"\u006asonrpc":"2\u002e0","\u0069d":7,"m\u0065thod":"ping","p\u0061rams":[],"\u006det\u0061data":{}}"#
        #expect(scan(text) == .request(id: "7", method: "ping", params: "[]", metadata: "{}"))
    }

    @Test func ignoresOtherMembers() {
        let text =
            #"{"jsonrpc":"2.0","x":{"id":1,"method":"no"},"ID":9,"result":1,"error":2,"method":"ping","":[]}"#
        #expect(scan(text) == .request(id: nil, method: "ping", params: nil, metadata: nil))
    }

    @Test func isANotificationWithoutAnID() {
        let text = #"{"jsonrpc":"2.0","method":"ping"}"#
        #expect(scan(text) == .request(id: nil, method: "ping", params: nil, metadata: nil))
    }

    @Test(arguments: [
        "0", "7", "-7", "1.50", "1e3", "-0", "null", "\"\"", "\"7\"", #""é\u00e9\"\\\/""#, #""\ud800""#,
        "123456789012345678901234567890",
    ])
    func keepsTheIDByteForByte(id: String) {
        let text = #"{"jsonrpc":"2.0","id":\#(id),"method":"ping"}"#
        #expect(scan(text) == .request(id: id, method: "ping", params: nil, metadata: nil))
    }

    @Test(arguments: ["true", "false", "[]", "{}", "[1]"])
    func refusesAnIDOfAnotherType(id: String) {
        let text = #"{"jsonrpc":"2.0","id":\#(id),"method":"ping"}"#
        #expect(scan(text) == .invalid(.id, id: nil))
    }

    @Test func limitsTheID() {
        let fits = "\"" + String(repeating: "x", count: 254) + "\""
        #expect(
            scan(#"{"jsonrpc":"2.0","id":\#(fits),"method":"ping"}"#)
                == .request(id: fits, method: "ping", params: nil, metadata: nil))
        let over = "\"" + String(repeating: "x", count: 255) + "\""
        #expect(scan(#"{"jsonrpc":"2.0","id":\#(over),"method":"ping"}"#) == .invalid(.idTooLong, id: nil))
        let digits = String(repeating: "1", count: 257)
        #expect(scan(#"{"jsonrpc":"2.0","id":\#(digits),"method":"ping"}"#) == .invalid(.idTooLong, id: nil))
    }

    @Test func limitsTheMethodAfterUnescaping() {
        let fits = String(repeating: #"\u0061"#, count: 128)
        #expect(
            scan(#"{"jsonrpc":"2.0","id":1,"method":"\#(fits)"}"#)
                == .request(id: "1", method: fits, params: nil, metadata: nil))
        let over = String(repeating: "a", count: 129)
        #expect(
            scan(#"{"jsonrpc":"2.0","id":1,"method":"\#(over)"}"#) == .invalid(.methodTooLong, id: "1"))
    }

    @Test func tellsWhetherTheMethodIsEscaped() {
        for (method, isEscaped) in [("ping", false), (#"p\u0069ng"#, true)] {
            let text = #"{"jsonrpc":"2.0","method":"\#(method)"}"#
            Array(text.utf8).withUnsafeBytes {
                guard case .request(let request) = ClientMessage.scan($0, limits: MessageLimits()) else {
                    Issue.record("refused \(text)")
                    return
                }
                #expect(request.methodIsEscaped == isEscaped)
            }
        }
    }

    @Test(arguments: [
        (#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, InvalidRequestReason.version),
        (#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, .version),
        (#"{"id":1,"method":"m"}"#, .version),
        (#"{"jsonrpc":"2.0","id":1}"#, .method),
        (#"{"jsonrpc":"2.0","id":1,"method":5}"#, .method),
        (#"{"jsonrpc":"2.0","id":1,"method":null}"#, .method),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}"#, .params),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":5}"#, .params),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, .params),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":true}"#, .params),
    ])
    func refusesWhatIsNoRequestWithItsID(text: String, reason: InvalidRequestReason) {
        #expect(scan(text) == .invalid(reason, id: "1"))
    }

    @Test(arguments: ["null", "1", "\"x\"", "true", " 5 "])
    func refusesWhatIsNoObject(text: String) {
        #expect(scan(text) == .invalid(.notAnObject, id: nil))
    }

    @Test(arguments: ["jsonrpc", "method", "params", "metadata"])
    func refusesADoubledMemberWithItsID(name: String) throws {
        let escaped = "\\u00" + String(try #require(name.utf8.first), radix: 16) + name.dropFirst()
        for second in [name, escaped] {
            let value =
                name == "params" || name == "metadata" ? "{}" : name == "jsonrpc" ? "\"2.0\"" : "\"m\""
            let text = "{" + Self.members.joined(separator: ",") + ",\"\(second)\":\(value)}"
            #expect(scan(text) == .invalid(.duplicateMember, id: "7"), "\(text)")
        }
    }

    @Test(arguments: ["\"id\":8", "\"id\":7", #""\u0069d":null"#, #""i\u0064":[]"#])
    func refusesADoubledIDWithoutID(second: String) {
        let text = "{" + (Self.members + [second]).joined(separator: ",") + "}"
        #expect(scan(text) == .invalid(.duplicateMember, id: nil))
    }

    /// `result` and `error` mean nothing in a request; doubled, they must not hide another doubled member.
    @Test func refusesADoubledMemberBehindADoubledStranger() {
        let strangers = #"{"result":1,"result":2,"error":1,"error":2,"jsonrpc":"2.0","#
        #expect(
            scan(strangers + #""id":1,"method":"a","method":"b"}"#) == .invalid(.duplicateMember, id: "1"))
        #expect(scan(strangers + #""id":1,"id":2,"method":"a"}"#) == .invalid(.duplicateMember, id: nil))
        #expect(
            scan(strangers + #""id":1,"method":"a"}"#)
                == .request(id: "1", method: "a", params: nil, metadata: nil))
    }

    static let malformed: [[UInt8]] =
        [
            "", " ", "{", "{}}", "{} {}", "[", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "nul", "{'a':1}",
            "{a:1}",
            "{\"a\":01}", "{\"a\":+1}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":0x1}", "{\"a\":NaN}", "{\"a\":-}",
            "{\"a\":Infinity}", "{\"a\":1e}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\" 1}", "{\"a\":1 \"b\":2}", "//\n{}", "{}/**/", "\u{FEFF}{}", "\u{A0}{}", "{\"a\":tru}",
        ].map { Array($0.utf8) } + [
            Array("{\"a\":\"\0\"}".utf8), Array("{}\0".utf8), Array("{\"a\":\"\n\"}".utf8), [0xFF],
            [0xC0, 0x80],
            Array("{\"a\":\"".utf8) + [0xC3] + Array("\"}".utf8),
            Array("{\"a\":\"".utf8) + [0xED, 0xA0, 0x80] + Array("\"}".utf8),
            Array("{\"a\":\"".utf8) + [0xF5, 0x80, 0x80, 0x80] + Array("\"}".utf8),
        ]

    @Test(arguments: malformed)
    func refusesWhatIsNoJSON(bytes: [UInt8]) {
        #expect(scan(bytes) == .malformed)
        let request = Array(#"{"jsonrpc":"2.0","id":1,"method":"m","params":"#.utf8) + bytes + Array("}".utf8)
        #expect(scan(request) == .malformed)
    }

    @Test func checksEveryByteOfAnUnknownMember() {
        #expect(scan(#"{"jsonrpc":"2.0","id":1,"method":"m","x":{"y":[1,2,{"z":tru}]}}"#) == .malformed)
    }

    @Test func countsItsOwnBracesAsDepth() {
        let fits = #"{"jsonrpc":"2.0","id":1,"method":"m","params":\#(nested(63))}"#
        #expect(scan(fits) == .request(id: "1", method: "m", params: nested(63), metadata: nil))
        let over = #"{"jsonrpc":"2.0","id":1,"method":"m","params":\#(nested(64))}"#
        #expect(scan(over) == .invalid(.tooDeep, id: "1"))
        #expect(scan(nested(64)) == .batch([nested(63)]))
        #expect(scan(nested(65)) == .invalid(.tooDeep, id: nil))
    }

    @Test func countsTheBracketOfABatchAsDepth() {
        let fits = #"[{"jsonrpc":"2.0","id":1,"method":"m","params":\#(nested(62))}]"#
        #expect(scanElements(fits) == [.request(id: "1", method: "m", params: nested(62), metadata: nil)])
        let over = #"[{"jsonrpc":"2.0","id":1,"method":"m","params":\#(nested(63))}]"#
        #expect(scan(over) == .invalid(.tooDeep, id: nil))
    }

    /// The rest of a message that is too deep is skipped, not judged.
    @Test func isTooDeepWhateverFollows() {
        let deep = Array((#"{"id":"a","params":"# + String(repeating: "[", count: 64)).utf8)
        for rest in [Array("]]] nonsense".utf8), [], [0xFF, 0xFE], Array("\0\n".utf8), Array("\"\\".utf8)] {
            #expect(scan(deep + rest) == .invalid(.tooDeep, id: "\"a\""))
        }
        #expect(scan([0xFF] + deep) == .malformed)
        #expect(scan(Array("{\"x\":tru,".utf8) + deep.dropFirst()) == .malformed)
    }
}

@Suite struct RecoveredIDTests {
    let deep = String(repeating: "[", count: 70)

    @Test(arguments: ["7", "-1.5e3", "null", "\"a\\u0062\"", "\"é\""])
    func findsTheIDBeforeAndBehindTheDeepPart(id: String) {
        #expect(scan("{\"id\":\(id),\"params\":\(self.deep)") == .invalid(.tooDeep, id: id))
        #expect(scan("{\"params\":\(nested(70)), \"\\u0069d\" : \(id) }") == .invalid(.tooDeep, id: id))
    }

    /// It is echoed byte for byte, so it must be JSON, and UTF-8.
    @Test(arguments: [
        "nonsense", "nullx", "1abc", "-", "01", "1.", "\"\\x\"", "true", "[1]", "{}", "nul\"l\"", "1e",
        "\"\u{1}\"",
    ])
    func leavesAnIDThatIsNoIDBehind(id: String) {
        #expect(scan("{\"params\":\(nested(70)),\"id\":\(id),\"x\":1}") == .invalid(.tooDeep, id: nil))
        let prefix = Array("{\"id\":\(id),\"params\":[1".utf8)
        #expect(self.oversize(prefix) == .invalid(.messageTooLarge, id: nil))
    }

    @Test func leavesAnIDThatIsNoUTF8Behind() {
        let prefix = Array("{\"id\":\"".utf8) + [0xFF] + Array("\",\"params\":[1".utf8)
        #expect(self.oversize(prefix) == .invalid(.messageTooLarge, id: nil))
    }

    @Test func findsAnIDBesideWhatIsNoUTF8() {
        let prefix = Array("{\"x\":\"".utf8) + [0xFF] + Array("\",\"id\":5,\"params\":[1".utf8)
        #expect(self.oversize(prefix) == .invalid(.messageTooLarge, id: 0..<0))
    }

    @Test func leavesAnIDThatStandsTwiceBehind() {
        #expect(scan("{\"id\":1,\"params\":\(nested(70)),\"id\":1}") == .invalid(.tooDeep, id: nil))
        #expect(scan("{\"id\":1,\"params\":\(nested(70)),\"i\\u0064\":2}") == .invalid(.tooDeep, id: nil))
    }

    @Test func leavesTheIDOfAnInnerObjectBehind() {
        #expect(scan("{\"params\":{\"id\":1,\"x\":\(self.deep)") == .invalid(.tooDeep, id: nil))
        #expect(scan("[{\"id\":1,\"x\":\(self.deep)") == .invalid(.tooDeep, id: nil))
    }

    @Test func looksIntoTheFirst4KiBOnly() {
        func message(padding: Int) -> String {
            "{\"x\":\"" + String(repeating: "x", count: padding) + "\",\"id\":77,\"params\":\(nested(70))}"
        }
        // {"x":"…","id":77, are 6 + 7 bytes before the number.
        let lastFit = 4096 - 13 - 2 - 1
        #expect(scan(message(padding: lastFit)) == .invalid(.tooDeep, id: "77"))
        // Here the prefix ends between the digits: half a number must not be taken for the id.
        #expect(scan(message(padding: lastFit + 2)) == .invalid(.tooDeep, id: nil))
        #expect(scan(message(padding: lastFit + 1)) == .invalid(.tooDeep, id: nil))
    }

    @Test func limitsTheID() {
        let over = "\"" + String(repeating: "x", count: 255) + "\""
        #expect(scan("{\"id\":\(over),\"params\":\(self.deep)") == .invalid(.tooDeep, id: nil))
    }

    /// Judges the first bytes of an oversize message; an id that was found is shown as an empty range.
    private func oversize(_ prefix: [UInt8]) -> ClientMessage {
        prefix.withUnsafeBytes {
            guard
                case .invalid(let reason, let id) = ClientMessage.oversize(
                    prefix: $0, limits: MessageLimits())
            else { return .batch([]) }
            return .invalid(reason, id: id.map { _ in 0..<0 })
        }
    }
}

@Suite struct BatchTests {
    @Test func splitsABatchIntoItsElements() {
        let text = #" [ {"jsonrpc":"2.0","id":1,"method":"a"} , 5 ,{"jsonrpc":"2.0","method":"b"},[] ] "#
        #expect(
            scanElements(text) == [
                .request(id: "1", method: "a", params: nil, metadata: nil),
                .invalid(.notAnObject, id: nil),
                .request(id: nil, method: "b", params: nil, metadata: nil),
                .invalid(.notAnObject, id: nil),
            ])
    }

    @Test func judgesEachElementOnItsOwn() {
        let text =
            #"[{"jsonrpc":"1.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"m","id":3},{"id":"x"},{}]"#
        #expect(
            scanElements(text) == [
                .invalid(.version, id: "1"), .invalid(.duplicateMember, id: nil),
                .invalid(.version, id: "\"x\""), .invalid(.version, id: nil),
            ])
    }

    @Test(arguments: ["[]", " [ ] "])
    func refusesAnEmptyBatch(text: String) {
        #expect(scan(text) == .invalid(.emptyBatch, id: nil))
    }

    @Test func takesABatchOfTheLimit() {
        let hundred = "[" + Array(repeating: "1", count: 100).joined(separator: ",") + "]"
        #expect(scan(hundred) == .batch(Array(repeating: "1", count: 100)))
        let more = "[" + Array(repeating: "1", count: 101).joined(separator: ",") + "]"
        #expect(scan(more) == .invalid(.batchTooLarge, id: nil))
    }

    @Test(arguments: ["[1,", "[1", "[1,]", "[,1]", "[1 1]", "[1]]", "[{\"a\":1,}]", "[] []"])
    func refusesABrokenBatchAsAWhole(text: String) {
        #expect(scan(text) == .malformed)
    }

    @Test func refusesAnOversizeBatchThatIsBroken() {
        let more = "[" + Array(repeating: "1", count: 200).joined(separator: ",") + ",]"
        #expect(scan(more) == .malformed)
    }
}
