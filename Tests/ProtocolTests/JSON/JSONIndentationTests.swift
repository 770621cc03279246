import Testing

@testable import Protocol

@Suite struct JSONIndentationTests {
    private static func indented(_ json: String) -> String {
        Array(json.utf8).withUnsafeBytes { JSONIndentation.text($0) }
    }

    @Test func keepsEveryTokenAsItWasWritten() {
        let json = #"{"a" :[ 1.50 ,12345678901234567890, {},[ ] ],"b\"{":"x,y:[z]"}"#
        let expected = #"""
            {
              "a": [
                1.50,
                12345678901234567890,
                {},
                []
              ],
              "b\"{": "x,y:[z]"
            }
            """#
        #expect(Self.indented(json) == expected)
    }

    @Test(arguments: ["null", "-0.0e+1", "\"\"", "[]", "{}", "true"])
    func leavesAScalarAlone(json: String) {
        #expect(Self.indented(json) == json)
    }
}
