import Protocol
import Testing

@Suite struct JSONValueTests {
    /// Computed: LeakSanitizer takes what a global tree holds for lost.
    static var documents: [(String, JSONValue)] {
        [
            ("null", JSONValue.null), ("true", true), ("false", false), ("0", 0), ("-0", 0), ("-12", -12),
            ("9223372036854775807", .integer(Int64.max)), ("-9223372036854775808", .integer(Int64.min)),
            ("9223372036854775808", .double(9_223_372_036_854_775_808)), ("1.5", .double(1.5)),
            ("1e2", .double(100)),
            ("1E-2", .double(0.01)), ("\"\"", ""), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
            (#""\u00e9\u20AC\ud83d\ude00""#, "é€😀"), (#""\ud83d""#, "\u{FFFD}"),
            (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"),
            (#""\ud83dx""#, "\u{FFFD}x"), (#""\ud83d\u0041""#, "\u{FFFD}A"), ("[]", []),
            ("[1,[2]]", [1, [2]]),
            ("{}", [:]), (" { \"a\" : { \"b\" : [ ] } } ", ["a": ["b": []]]),
        ]
    }

    @Test(arguments: documents)
    func parses(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
        #expect(try JSONValue(parsing: value.bytes) == value)
    }

    @Test(arguments: ["1e309", "-1e309", "[1e99999]"])
    func refusesWhatADoubleCannotHold(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test(arguments: [
        ("{\"a\":1,}", 7), ("[1 2]", 3), ("", 0), ("\"\n\"", 1), ("01", 1), ("[1,\n tru]", 5),
    ])
    func saysWhereTheFaultIs(text: String, offset: Int) {
        #expect { try JSONValue(parsing: text) } throws: { ($0 as? JSONError)?.offset == offset }
    }

    @Test func keepsDoubledMembersInOrder() throws {
        let value = try JSONValue(parsing: "{\"b\":1,\"a\":2,\"b\":3}")
        #expect(value.objectValue?.map(\.name) == ["b", "a", "b"])
        #expect(value["b"] == 1)
        #expect(value["c"] == nil)
    }

    @Test func writesOneLine() throws {
        let value: JSONValue = ["a": ["x\ny\r\u{2028}", 1.5, .null, true], "é\"\\\u{1}": [:]]
        #expect(
            value.text == "{\"a\":[\"x\\ny\\r\u{2028}\",1.5,null,true],\"é\\\"\\\\\\u0001\":{}}")
    }

    @Test func writesWhatJSONCannotSayAsNull() {
        #expect(JSONValue.double(.nan).text == "null")
        #expect(JSONValue.double(-.infinity).text == "null")
    }

    @Test func writesIntegersOfEverySize() {
        for value: Int64 in [0, 9, 10, -10, 99, 100, .max, .min] {
            #expect(JSONValue.integer(value).text == String(value))
        }
        var output: [UInt8] = []
        JSONText.append(unsigned: .max, to: &output)
        #expect(String(decoding: output, as: UTF8.self) == String(UInt64.max))
    }

    @Test func knowsAWholeNumberHoweverItIsWritten() throws {
        for text in ["5", "5.0", "5e0", "0.5e1"] {
            #expect(try JSONValue(parsing: text).integerValue == 5)
        }
        #expect(JSONValue.double(5.5).integerValue == nil)
        #expect(JSONValue.double(1e300).integerValue == nil)
    }
}
