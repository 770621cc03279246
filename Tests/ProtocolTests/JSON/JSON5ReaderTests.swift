import Protocol
import Testing

@Suite struct JSON5ReaderTests {
    /// Computed: LeakSanitizer takes what a global tree holds for lost.
    static var documents: [(String, JSONValue)] {
        [
            ("null", .null), ("true", true), ("'x'", "x"), ("\"x'y\"", "x'y"), ("'x\"y'", "x\"y"), ("[]", []),
            ("{}", [:]),
            ("[1,]", [1]), ("{a:1,}", ["a": 1]), ("{'a':1,\"b\":2,c:3}", ["a": 1, "b": 2, "c": 3]),
            ("// c\n{a:/* x\n*/1}// end", ["a": 1]), ("/**/[/***/1/* * / **/]/*\n*/", [1]),
            ("\u{FEFF}{}", [:]),
            ("\u{A0}\u{2003}[\u{0B}1\u{0C}]\u{2028}", [1]),
            ("{$_:1,é:2,a\u{301}b:3,x1:4}", ["$_": 1, "é": 2, "a\u{301}b": 3, "x1": 4]),
            (#"{\u0061b:1}"#, ["ab": 1]),
            ("{null:1,true:2,Infinity:3}", ["null": 1, "true": 2, "Infinity": 3]),
            ("0x1F", 31), ("-0XfF", -255), ("+5", 5), (".5", 0.5), ("5.", 5.0), ("-.5e1", -5.0),
            ("1e3", 1000.0),
            ("+1E-2", 0.01), ("0", 0), ("-0", 0), ("9223372036854775807", 9_223_372_036_854_775_807),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("0xFFFFFFFFFFFFFFFF", 18_446_744_073_709_551_615.0),
            ("'a\\\nb\\\r\nc\\\u{2028}d'", "abcd"),
            (#"'\b\f\n\r\t\v\0\x41\u00e9\'\"\\\/\q'"#, "\u{8}\u{C}\n\r\t\u{B}\0Aé'\"\\/q"),
            (#"'\ud83d\ude00'"#, "😀"), ("'\u{2028}'", "\u{2028}"), ("[[],{a:[{}]},]", [[], ["a": [[:]]]]),
        ]
    }

    @Test(arguments: documents)
    func reads(text: String, expected: JSONValue) {
        let (value, errors) = JSON5Reader.read(Array(text.utf8))
        #expect(errors == [])
        #expect(value.map(plain) == expected)
    }

    @Test func knowsTheNumbersThatAreNone() {
        for (text, number) in [
            ("Infinity", Double.infinity), ("-Infinity", -.infinity), ("+Infinity", .infinity),
        ] {
            #expect(JSON5Reader.read(Array(text.utf8)).value?.content == .double(number))
        }
        guard case .double(let number)? = JSON5Reader.read(Array("-NaN".utf8)).value?.content else {
            Issue.record("NaN is no number")
            return
        }
        #expect(number.isNaN)
    }

    @Test(arguments: [
        ("", "1:1: expected a value, found the end of the file"),
        ("\n\n  // only a comment", "3:20: expected a value, found the end of the file"),
        ("{} x", "1:4: expected the end of the document, found 'x'"),
        ("{a:1\n b:2}", "2:2: expected ',' or '}', found 'b'"),
        ("{a 1}", "1:4: expected ':' behind a, found '1'"),
        ("{a:}", "1:4: expected a value, found '}'"),
        ("{a:1,,}", "1:6: expected a key or '}', found ','"),
        ("[,]", "1:2: expected a value, found ','"),
        ("[1 2]", "1:4: expected ',' or ']', found '2'"),
        ("{5:1}", "1:2: expected a key or '}', found '5'"),
        ("{a-b:1}", "1:3: expected ':' behind a, found '-'"),
        ("{level: info}", "1:9: expected a value; text needs quotes: \"info\""),
        ("{t: 5s}", "1:5: expected a number; text such as \"5s\" needs quotes"),
        ("{t: 1.2.3}", "1:5: expected a number; text such as \"5s\" needs quotes"),
        ("01", "1:1: expected a number without leading zero"),
        (".", "1:2: expected a digit, found the end of the file"),
        ("1e", "1:3: expected a digit of the exponent, found the end of the file"),
        ("0x", "1:3: expected a hexadecimal digit, found the end of the file"),
        ("-x", "1:1: expected a number behind the sign"),
        ("1e999", "1:1: expected a number that fits into 64 bits"),
        ("'abc", "1:1: expected the end of this string"),
        ("['abc\n']", "1:2: expected the end of this string on its line"),
        (#"'\u12'"#, "1:6: expected 4 hexadecimal digits, found '''"),
        (#"'\ud83d'"#, "1:2: expected both halves of a surrogate pair"),
        (#"'\1'"#, "1:2: expected no digit behind a backslash"),
        (#"'\01'"#, "1:2: expected no digit behind \\0"),
        ("/* x", "1:1: expected */ at the end of this comment"),
        ("{a:1", "1:5: expected ',' or '}', found the end of the file"),
        ("[1}", "1:3: expected ',' or ']', found '}'"),
        ("\r\n\r{a:\r\n  @}", "4:3: expected a value, found '@'"),
        ("{é: @}", "1:5: expected a value, found '@'"),
        ("\u{1}", #"1:1: expected a value, found '\x01'"#),
    ])
    func saysWhatWasExpectedAndWhere(text: String, error: String) {
        #expect(JSON5Reader.read(Array(text.utf8)).errors.first?.description == error)
    }

    @Test func namesTheFirstByteThatIsNoUTF8() {
        let (value, errors) = JSON5Reader.read(Array("{\n é:'".utf8) + [0xFF])
        #expect(value == nil)
        #expect(errors.map(\.description) == ["2:5: expected UTF-8; the byte ff is none"])
    }

    @Test func goesOnBehindAFault() {
        let text = """
            {
              a: tru,
              b: {c: 01, d: [1 2, @], e: 5},
              'f: 1,
              g: 'unterminated,
              h: 6
              i: 7,
            }
            """
        let (value, errors) = JSON5Reader.read(Array(text.utf8))
        #expect(errors.map(\.location.line) == [2, 3, 3, 3, 4, 5, 7])
        #expect(value.map(plain)?["i"] == 7)
        #expect(value.map(plain)?["b"]?["e"] == 5)
    }

    @Test func stopsReportingAtAReasonableNumber() {
        let text = "[" + String(repeating: "@,", count: 1000) + "]"
        #expect(JSON5Reader.read(Array(text.utf8)).errors.count == JSON5Reader.errorLimit)
    }

    @Test func limitsNesting() {
        let fits = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(JSON5Reader.read(Array(fits.utf8)).errors == [])
        let over = String(repeating: "[", count: 100_000)
        let (_, errors) = JSON5Reader.read(Array(over.utf8))
        #expect(errors.map(\.location) == [SourceLocation(line: 1, column: 65)])
    }

    @Test func knowsWhereEverythingStands() throws {
        let value = try #require(JSON5Reader.read(Array("// é\r\n{ a: [1,\n  'x'] }".utf8)).value)
        #expect(value.location == SourceLocation(line: 2, column: 1))
        guard case .object(let members) = value.content, case .array(let elements) = members[0].value.content
        else {
            Issue.record("not the tree that was written")
            return
        }
        #expect(members[0].location == SourceLocation(line: 2, column: 3))
        #expect(members[0].value.location == SourceLocation(line: 2, column: 6))
        #expect(
            elements.map(\.location) == [
                SourceLocation(line: 2, column: 7), SourceLocation(line: 3, column: 3),
            ])
    }

    @Test func keepsDoubledMembers() throws {
        let value = try #require(JSON5Reader.read(Array("{a:1,'a':2}".utf8)).value)
        #expect(plain(value) == ["a": 1, "a": 2])
    }

    /// JSON is JSON5.
    @Test(.enabled(if: SharedData.jsonTestSuite != nil, "the JSON test suite is not there"))
    func readsEveryJSONDocumentTheSame() throws {
        for file in JSONTestSuiteTests.files where file.name.hasPrefix("y_") {
            let (value, errors) = JSON5Reader.read(file.bytes)
            #expect(errors == [], "\(file.name)")
            #expect(value.map(plain) == (try JSONValue(parsing: file.bytes)), "\(file.name)")
        }
    }
}

/// The tree without its places.
private func plain(_ value: JSON5Value) -> JSONValue {
    switch value.content {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .double(let value): .double(value)
    case .string(let value): .string(value)
    case .array(let elements): .array(elements.map(plain))
    case .object(let members): .object(members.map { .init($0.name, plain($0.value)) })
    }
}
