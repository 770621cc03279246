import Testing

@testable import Protocol

/// Strings are searched in blocks of 64, 16 and 8 bytes: every length, at every distance from the end of the bytes.
@Suite("JSON scanner")
struct JSONScannerTests {
    private static func isAccepted(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes {
            (try? JSONScanner.validateDocument($0, depthLimit: JSONScanner.defaultDepthLimit)) != nil
        }
    }

    private static func error(_ bytes: [UInt8]) -> JSONError? {
        bytes.withUnsafeBytes { bytes in
            do throws(JSONError) {
                try JSONScanner.validateDocument(bytes, depthLimit: JSONScanner.defaultDepthLimit)
                return nil
            } catch {
                return error
            }
        }
    }

    @Test("strings of every length end where their quote is, whatever follows", arguments: 0...140)
    func plainStrings(length: Int) {
        for following in 0...20 {
            let string = [UInt8](repeating: UInt8(ascii: "a"), count: length)
            let bytes = [UInt8(ascii: "\"")] + string + [UInt8(ascii: "\"")]
            #expect(Self.isAccepted(bytes + [UInt8](repeating: 0x20, count: following)))
            // Without its quote it has no end, and the document none.
            let open = [UInt8(ascii: "\"")] + string
            #expect(Self.error(open) == JSONError(.expected("the end of a string"), at: open.count))
        }
    }

    @Test("what may not stand in a string is found at every place", arguments: 0...140)
    func badBytes(place: Int) {
        for following in 0...20 {
            var content = [UInt8](repeating: UInt8(ascii: "a"), count: place + 1 + following)
            for (bad, reason) in [
                (0x00, JSONError.Reason.expected("a string without control characters")),
                (0x1F, .expected("a string without control characters")), (0x80, .invalidUTF8),
                (0xFF, .invalidUTF8),
            ] {
                content[place] = UInt8(bad)
                let bytes = Array("[1,\"".utf8) + content + Array("\"]".utf8)
                #expect(Self.error(bytes) == JSONError(reason, at: 4 + place))
            }
        }
    }

    @Test("a string may have escapes and letters of several bytes at every place", arguments: 0...140)
    func escapesAndLetters(place: Int) {
        for following in 0...20 {
            for inserted in ["\\\"", "\\\\", "\\u00e4", "ä", "€", "😀", "\\n", "\u{7F}"] {
                let content =
                    String(repeating: "a", count: place) + inserted + String(repeating: "b", count: following)
                #expect(Self.isAccepted(Array("{\"\(content)\":\"\(content)\"}".utf8)))
            }
        }
    }

    @Test("half a letter at the end of a string is no UTF-8, wherever it stands", arguments: 0...140)
    func halfLetters(place: Int) {
        let content = [UInt8](repeating: UInt8(ascii: "a"), count: place) + [0xC3]
        let bytes = [UInt8(ascii: "\"")] + content + [UInt8(ascii: "\"")]
        #expect(Self.error(bytes) == JSONError(.invalidUTF8, at: place + 1))
        #expect(Self.error(bytes + [0x20]) == JSONError(.invalidUTF8, at: place + 1))
    }

    @Test("bytes that are no UTF-8 are the fault, though the grammar has one before them")
    func faultsOfUTF8ComeFirst() {
        #expect(Self.error([0x5B, 0x2C, 0x22, 0xFF, 0x22, 0x5D]) == JSONError(.invalidUTF8, at: 3))
    }

    @Test("brackets that do not match, and commas that nothing follows, are told with their place")
    func containers() {
        for (json, what, offset) in [
            ("[1}", "',' or ']'", 2), ("{\"a\":1]", "',' or '}'", 6), ("[1,]", "a value", 3),
            ("{\"a\":1,}", "a string", 7), ("{\"a\" 1}", "':'", 5), ("[", "a value", 1),
            ("[[]", "',' or ']'", 3),
            ("{", "a string", 1), ("[01]", "',' or ']'", 2), ("[1.]", "a digit", 3), ("[-]", "a digit", 2),
            ("[1e]", "a digit", 3), ("[tru]", "a value", 1), ("[1] 2", "the end of the document", 4),
        ] {
            #expect(Self.error(Array(json.utf8)) == JSONError(.expected(what), at: offset), "\(json)")
        }
    }
}

@Suite("Members of an envelope")
struct EnvelopeMemberTests {
    private static func members(_ json: String) throws -> [Envelope.Member: String] {
        var found: [Envelope.Member: String] = [:]
        let bytes = Array(json.utf8)
        let envelope = try bytes.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            return try Envelope(scanning: &scanner, insideContainers: 0)
        }
        for member in Envelope.Member.allCases {
            if let range = envelope[member] { found[member] = String(decoding: bytes[range], as: UTF8.self) }
        }
        return found
    }

    @Test("each is known by its name, with escapes as well", arguments: Envelope.Member.allCases)
    func names(member: Envelope.Member) throws {
        let name = member.name.description
        let escaped = name.unicodeScalars.map { "\\u00" + String($0.value, radix: 16) }.joined()
        for padding in 0...12 {
            let rest = String(repeating: " ", count: padding) + "}"
            #expect(try Self.members("{\"\(name)\":17\(rest)") == [member: "17"])
            #expect(try Self.members("{\"\(escaped)\": \"x\"\(rest)") == [member: "\"x\""])
            #expect(try Self.members("{\"\(name)\":[{}]\(rest)") == [member: "[{}]"])
        }
    }

    @Test(
        "names that are longer, shorter or written otherwise are not known",
        arguments: Envelope.Member.allCases)
    func otherNames(member: Envelope.Member) throws {
        let name = member.name.description
        for other in [
            name + "s", String(name.dropLast()), "x" + name, name.uppercased(), name + "\\n", "", name + " ",
        ] {
            #expect(try Self.members("{\"\(other)\":17,\"more\":\"and more of it\"}").isEmpty, "\(other)")
        }
    }

    @Test("the second of two is doubled, the first one counts")
    func doubled() throws {
        let bytes = Array(#"{"id":1,"id":2,"method":"a\n","method":"b","params":[]}"#.utf8)
        try bytes.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            let envelope = try Envelope(scanning: &scanner, insideContainers: 0)
            #expect(envelope.doubled == [.id, Envelope.Members(.method)])
            #expect(envelope.id == 6..<7)
            #expect(envelope.params == 52..<54)
        }
    }
}
