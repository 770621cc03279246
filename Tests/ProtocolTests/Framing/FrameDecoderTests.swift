import Protocol
import Testing

@Suite struct FrameDecoderLineTests {
    @Test func cutsAtLineFeeds() {
        #expect(decode("{\"a\":1}\n[2]\n") == [.message("{\"a\":1}"), .message("[2]")])
    }

    @Test func takesCarriageReturnsAsPartOfTheLineEnd() {
        #expect(decode("{}\r\n[]\r\n") == [.message("{}"), .message("[]")])
    }

    @Test func keepsACarriageReturnInsideALine() {
        #expect(decode("{\r}\n") == [.message("{\r}")])
    }

    @Test(arguments: ["\n{}\n", "\r\n\r\n{}\n", "  \t \n{}\n", " \r\n{}\r\n", "\n\n\n{}\n\n\n", "{}\n   "])
    func skipsBlankLines(stream: String) {
        #expect(decode(stream) == [.message("{}")])
    }

    @Test(arguments: ["{}", "{}\r", "[1]\n{}", "\n{}"])
    func countsAnUnterminatedLastLine(stream: String) {
        #expect(decode(stream).last == .message("{}"))
    }

    @Test func keepsWhiteSpaceAroundAMessage() {
        #expect(decode("  {} \n") == [.message("  {} ")])
    }

    @Test func takesContentLengthForALineWhenTheFirstByteWasNoC() {
        #expect(decode("{}\nContent-Length: 2\n") == [.message("{}"), .message("Content-Length: 2")])
    }

    @Test func takesCForALineWhenTheFramingIsFixed() {
        #expect(decode("Connecting…\n{}\n", framing: .lines) == [.message("Connecting…"), .message("{}")])
    }

    @Test func handsOutALineOfOneReadWithoutCopyingIt() {
        var decoder = FrameDecoder(framing: nil)
        let stream = Array("{}\n{\"a\":1}\n".utf8)
        stream.withUnsafeBytes { bytes in
            var offset = 0
            #expect(decoder.next(in: bytes, from: &offset) == .input(0..<2))
            #expect(offset == 3)
            #expect(decoder.next(in: bytes, from: &offset) == .input(3..<10))
            #expect(decoder.next(in: bytes, from: &offset) == nil)
        }
    }

    @Test func tellsHowManyBytesItHolds() {
        var decoder = FrameDecoder(framing: nil)
        _ = Array("{\"a".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(decoder.heldBytes == 3)
        #expect(decoder.isInsideMessage)
        _ = Array("\":1".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(decoder.heldBytes == 6)
        let rest = Array("}\n".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(rest == [.message("{\"a\":1}")])
        #expect(decoder.heldBytes == 0)
        #expect(!decoder.isInsideMessage)
    }

    @Test func endsOnceOnly() {
        var decoder = FrameDecoder(framing: nil)
        _ = Array("{}".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(decoder.finish() == .assembled)
        #expect(decoder.finish() == nil)
    }

    @Test func findsNothingInAnEmptyStream() {
        #expect(decode([]) == [])
        #expect(decode([[]]) == [])
        #expect(decode([[]], framing: .contentLength) == [])
    }
}

@Suite struct FrameDecoderContentLengthTests {
    @Test func cutsByLength() {
        #expect(decode(contentLength("{}") + contentLength("[1]\n")) == [.message("{}"), .message("[1]\n")])
    }

    @Test(arguments: [
        "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n", "X-Empty:\r\n", "x: y: z\r\n",
    ])
    func ignoresOtherHeaders(header: String) {
        #expect(decode(contentLength("{}", headers: header)) == [.message("{}")])
        #expect(decode(contentLength("{}") + header + contentLength("[]")).last == .message("[]"))
    }

    @Test(arguments: [
        "CONTENT-LENGTH: 2\r\n\r\n{}", "Content-length:2\r\n\r\n{}", "Content-Length: \t 2 \t\r\n\r\n{}",
        "Content-Length: 0002\r\n\r\n{}", "Content-Length: 2\n\n{}",
    ])
    func readsTheHeaderHoweverItIsWritten(stream: String) {
        #expect(decode(stream) == [.message("{}")])
    }

    @Test func takesAnEmptyBodyForNoMessage() {
        #expect(decode(contentLength("") + contentLength("{}")) == [.message("{}")])
    }

    @Test func keepsLineBreaksInABody() {
        #expect(decode(contentLength("{\n\r\n}")) == [.message("{\n\r\n}")])
    }

    @Test(arguments: [
        ("Content-Length: abc\r\n\r\n{}", FrameDecoder.HeaderFault.badLength),
        ("Content-Length: -2\r\n\r\n{}", .badLength),
        ("Content-Length: +2\r\n\r\n{}", .badLength),
        ("Content-Length: 2.0\r\n\r\n{}", .badLength),
        ("Content-Length: 2 2\r\n\r\n{}", .badLength),
        ("Content-Length:\r\n\r\n{}", .badLength),
        ("Content-Length: 99999999999999999999\r\n\r\n{}", .badLength),
        ("Content-Length: ٢\r\n\r\n{}", .badLength),
        ("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", .conflictingLengths),
        ("Content-Length: 2\r\ncontent-length: 3\r\n\r\n{}", .conflictingLengths),
        ("Content-Type: x\r\n\r\n{}", .missingLength),
        ("Content-Length : 2\r\n\r\n{}", .missingLength),
        ("Content\r\n\r\n{}", .notAHeader),
        ("Content-Length: 2\r\n: 2\r\n\r\n{}", .notAHeader),
        ("Content-Length: 2\r\n\r\n{", .truncated),
        ("Content-Length: 2\r\n\r\n", .truncated),
        ("Content-Length: 2\r\n", .truncated),
        ("Content-Le", .truncated),
    ])
    func refusesAnUnreadableHeaderAtEveryCut(stream: String, fault: FrameDecoder.HeaderFault) {
        let bytes = Array(stream.utf8)
        for cut in 0...bytes.count {
            #expect(decode(bytes.cut(at: [cut])) == [.unreadable(fault)], "cut at \(cut)")
        }
    }

    @Test func decodesNothingAfterAFault() {
        let stream = "Content-Length: x\r\n\r\n" + contentLength("{}")
        #expect(decode(stream) == [.unreadable(.badLength)])
    }

    @Test func refusesAHeaderLineOverTheLimit() {
        var limits = MessageLimits()
        limits.headerLineBytes = 32
        let fits = "Content-Length: 2\r\nX: " + String(repeating: "x", count: 29) + "\n\r\n{}"
        #expect(decode(fits, limits: limits) == [.message("{}")])
        let tooLong = Array(
            ("Content-Length: 2\r\nX: " + String(repeating: "x", count: 30) + "\n\r\n{}").utf8)
        for cut in 0...tooLong.count {
            #expect(decode(tooLong.cut(at: [cut]), limits: limits) == [.unreadable(.lineTooLong)])
        }
    }

    @Test func refusesAnEndlessHeaderBeforeItEnds() {
        let stream = "C" + String(repeating: "x", count: 5000)
        #expect(decode(stream) == [.unreadable(.lineTooLong)])
    }

    @Test func isInsideAMessageFromItsFirstHeaderByteToItsLastBodyByte() {
        let stream = Array(contentLength("{}").utf8)
        for cut in 1..<stream.count {
            var decoder = FrameDecoder(framing: nil)
            _ = stream[..<cut].withUnsafeBytes { frames(of: &decoder, in: $0) }
            #expect(decoder.isInsideMessage, "cut at \(cut)")
        }
        var decoder = FrameDecoder(framing: nil)
        _ = stream.withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(!decoder.isInsideMessage)
    }
}

@Suite struct FrameDecoderSplitTests {
    static let streams = [
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"é€😀\"}\n",
        "{}\r\n\r\n  \r\n[1,2]\r\n{\"a\":\"\\n\"}",
        "\n\n{}\r\r\n \r{}\n\r",
        contentLength("{\"id\":1}") + contentLength("[]", headers: "Content-Type: text\r\n")
            + contentLength(""),
        contentLength("{}") + "Content-Length: 4\n\n{\r\n}",
        contentLength("{}") + "nonsense\r\n\r\n{}",
    ]

    @Test(arguments: streams)
    func decodesTheSameAtEveryPairOfCuts(stream: String) {
        let bytes = Array(stream.utf8)
        let whole = decode([bytes])
        #expect(!whole.isEmpty)
        for first in 0...bytes.count {
            for second in first...bytes.count where decode(bytes.cut(at: [first, second])) != whole {
                Issue.record("cut at \(first) and \(second): \(decode(bytes.cut(at: [first, second])))")
            }
        }
    }

    @Test(arguments: streams)
    func decodesTheSameByteByByte(stream: String) {
        let bytes = Array(stream.utf8)
        #expect(decode(bytes.map { [$0] }) == decode([bytes]))
    }

    /// Messages around the limit, whole and in every split of two.
    @Test(arguments: [8, 4096, 5000], ["\n", "\r\n", " \r\n"])
    func decodesLinesAroundTheLimitTheSameAtEveryCut(limit: Int, ending: String) {
        var limits = MessageLimits()
        limits.messageBytes = limit
        for count in (limit - 2)...(limit + 2) {
            let line = String(repeating: "x", count: count)
            let bytes = Array((line + ending + "{}\n").utf8)
            let isOver = count + (ending.hasPrefix(" ") ? 1 : 0) > limit
            let text = ending.hasPrefix(" ") ? line + " " : line
            let expected: [Decoded] = [
                isOver ? .oversize(prefix: Array(text.utf8.prefix(4096))) : .message(text), .message("{}"),
            ]
            for cut in [0, 1, limit - 1, limit, limit + 1] + (count...bytes.count) {
                #expect(decode(bytes.cut(at: [cut]), limits: limits) == expected, "\(count) cut at \(cut)")
            }
            #expect(decode(bytes.map { [$0] }, limits: limits) == expected)
            #expect(decode([Array((line + ending.dropLast()).utf8)], limits: limits) == [expected[0]])
        }
    }

    @Test(arguments: [8, 4096, 5000])
    func decodesBodiesAroundTheLimitTheSameAtEveryCut(limit: Int) {
        var limits = MessageLimits()
        limits.messageBytes = limit
        for count in (limit - 1)...(limit + 2) {
            let body = String(repeating: "x", count: count)
            let bytes = Array((contentLength(body) + contentLength("{}")).utf8)
            let expected: [Decoded] = [
                count > limit ? .oversize(prefix: Array(body.utf8.prefix(4096))) : .message(body),
                .message("{}"),
            ]
            let header = contentLength(body).utf8.count - count
            for cut in [0, 1, header, header + 1, header + limit, header + count, bytes.count] {
                #expect(decode(bytes.cut(at: [cut]), limits: limits) == expected, "\(count) cut at \(cut)")
            }
            #expect(decode(bytes.map { [$0] }, limits: limits) == expected)
        }
    }
}

@Suite struct FrameDecoderOversizeTests {
    let limits: MessageLimits = {
        var limits = MessageLimits()
        limits.messageBytes = 10_000
        return limits
    }()

    @Test func reportsAnEndlessLineOnceAndHoldsNothingOfIt() {
        var decoder = FrameDecoder(framing: nil, limits: self.limits)
        let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 3000)
        var output: [Decoded] = []
        for _ in 0..<100 {
            output += piece.withUnsafeBytes { frames(of: &decoder, in: $0) }
            #expect(decoder.heldBytes <= 10_001)
        }
        #expect(output == [.oversize(prefix: Array(repeating: UInt8(ascii: "x"), count: 4096))])
        #expect(decoder.heldBytes == 0)
        output = Array("\n{}\n".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(output == [.message("{}")])
    }

    @Test func reportsAnOversizeBodyAsSoonAsItsFirstBytesAreThere() {
        var decoder = FrameDecoder(framing: nil, limits: self.limits)
        let start = Array(("Content-Length: 1000000\r\n\r\n" + String(repeating: "x", count: 4096)).utf8)
        let output = start.withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(output == [.oversize(prefix: Array(repeating: UInt8(ascii: "x"), count: 4096))])
        #expect(decoder.heldBytes == 0)
        #expect(decoder.isInsideMessage)
    }

    @Test func recoversBehindEveryOversizeMessageOfMany() {
        let long = String(repeating: "x", count: 20_000)
        let lines = (0..<5).map { "\(long)\n{\"n\":\($0)}\n" }.joined()
        let messages = decode(lines, limits: self.limits).filter {
            if case .message = $0 { true } else { false }
        }
        #expect(messages == (0..<5).map { .message("{\"n\":\($0)}") })
        let bodies = (0..<5).map { contentLength(long) + contentLength("{\"n\":\($0)}") }.joined()
        #expect(decode(bodies, limits: self.limits) == decode(lines, limits: self.limits))
    }

    @Test func takesALengthNearTheLargestIntegerForOversize() {
        let stream = "Content-Length: \(Int.max)\r\n\r\n" + String(repeating: "x", count: 9000)
        #expect(
            decode(stream, limits: self.limits) == [
                .oversize(prefix: Array(repeating: UInt8(ascii: "x"), count: 4096))
            ])
    }

    @Test func givesBackTheMemoryOfALargeMessage() {
        var decoder = FrameDecoder(framing: .lines)
        let half = [UInt8](repeating: UInt8(ascii: "x"), count: 100_000)
        _ = half.withUnsafeBytes { frames(of: &decoder, in: $0) }
        let end = Array("\n".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(end == [.message(half)])
        #expect(decoder.heldBytes == 0)
        _ = Array("{".utf8).withUnsafeBytes { frames(of: &decoder, in: $0) }
        #expect(decoder.assembled.capacity < 100_000)
    }
}
