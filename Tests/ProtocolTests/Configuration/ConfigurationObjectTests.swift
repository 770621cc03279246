import Protocol
import Testing

@Suite struct ConfigurationObjectTests {
    private enum Colour: String, CaseIterable { case red, green }

    private struct Settings: Equatable {
        var count = 1
        var share = 0.5
        var name: String? = "x"
        var wait: Int64 = 0
        var size: Int64 = 0
        var limit: Int64? = 5
        var isOn = false
        var colour = Colour.red
        var list: [String] = []
        var table: [String: Int64] = [:]
        var inner: [Int] = []
    }

    private func read(_ text: String) -> (settings: Settings, errors: [String]) {
        var settings = Settings()
        let (value, faults) = JSON5Reader.read(Array(text.utf8))
        guard let value, faults.isEmpty else { return (settings, faults.map(\.description)) }
        let errors = ConfigurationObject.read(value) { root in
            root.read("count", into: &settings.count, .integer(1...10))
            root.read("share", into: &settings.share, .number(0...1))
            root.read("name", into: &settings.name, .text)
            root.read("wait", into: &settings.wait, .duration())
            root.read("size", into: &settings.size, .bytes(0...1 << 20))
            root.readOrOff("limit", into: &settings.limit, .integer(1...9))
            root.read("is_on", into: &settings.isOn, .bool)
            root.read("colour", into: &settings.colour, .word(synonyms: ["rouge": .red]))
            root.read("list", into: &settings.list, .list(of: .text))
            root.read("table", into: &settings.table, .dictionary(of: .duration()))
            root.objects("inner") { object in
                var number = 0
                object.read("number", into: &number, .integer(0...5))
                settings.inner.append(number)
            }
        }
        return (settings, errors.map(\.description))
    }

    @Test func readsEveryType() {
        let (settings, errors) = self.read(
            """
            {count: 0x5, share: 1, name: 'y', wait: '5s', size: '1KiB', limit: 'off', is_on: true, colour: 'green',
             list: ['a', 'b'], table: {a: '1ms', 'b.c': '1s'}, inner: [{number: 3}, {}]}
            """)
        #expect(errors == [])
        #expect(
            settings
                == Settings(
                    count: 5, share: 1, name: "y", wait: 5_000_000_000, size: 1024, limit: nil, isOn: true,
                    colour: .green, list: ["a", "b"], table: ["a": 1_000_000, "b.c": 1_000_000_000],
                    inner: [3, 0]))
    }

    @Test func keepsDefaultsForWhatIsAbsentOrNull() {
        #expect(self.read("{}").settings == Settings())
        #expect(
            self.read("{count: null, name: null, limit: null, inner: null, table: null}").settings
                == Settings())
        #expect(self.read("{count: null}").errors == [])
    }

    @Test(arguments: [
        ("[]", "1:1: expected an object, found an array"),
        ("{count: 11}", "1:9: count: expected a whole number from 1 to 10, found the number 11"),
        ("{count: 2.5}", "1:9: count: expected a whole number from 1 to 10, found the number 2.5"),
        ("{count: -1e300}", "1:9: count: expected a whole number from 1 to 10, found the number -1e+300"),
        ("{count: NaN}", "1:9: count: expected a whole number from 1 to 10, found the number nan"),
        ("{count: '5'}", "1:9: count: expected a whole number from 1 to 10, found the string \"5\""),
        ("{share: 1.5}", "1:9: share: expected a number from 0 to 1, found the number 1.5"),
        ("{share: NaN}", "1:9: share: expected a number from 0 to 1, found the number nan"),
        ("{name: ''}", "1:8: name: expected a string that is not empty, found the string \"\""),
        ("{name: 'a\\0'}", "1:8: name: expected a string that is not empty, found the string \"a\\x00\""),
        ("{is_on: 1}", "1:9: is_on: expected true or false, found the number 1"),
        (
            "{colour: 'gren'}",
            "1:10: colour: expected one of red, green, found the string \"gren\"; did you mean green?"
        ),
        ("{colour: []}", "1:10: colour: expected one of red, green, found an array"),
        ("{limit: 10}", "1:9: limit: expected a whole number from 1 to 9, found the number 10"),
        ("{list: 'a'}", "1:8: list: expected an array, found the string \"a\""),
        ("{list: ['a', 5]}", "1:14: list[1]: expected a string that is not empty, found the number 5"),
        ("{table: []}", "1:9: table: expected an object, found an array"),
        ("{inner: {}}", "1:9: inner: expected an array, found an object"),
        ("{inner: [{}, 5]}", "1:14: inner[1]: expected an object, found the number 5"),
        ("{inner: [{nummer: 5}]}", "1:11: inner[0].nummer: unknown key; did you mean number?"),
        (
            "{inner: [{number: 6}]}",
            "1:19: inner[0].number: expected a whole number from 0 to 5, found the number 6"
        ),
        ("{qqq: 1}", "1:2: qqq: unknown key"),
        ("{'a b': 1}", "1:2: [\"a b\"]: unknown key"),
        ("{count: 1,\n count: 2}", "2:2: count: the key stands twice (first in line 1)"),
        ("{table: {a: '1s', a: '2s'}}", "1:19: table.a: the key stands twice"),
        (
            "{table: {'': '1s'}}",
            "1:10: table[\"\"]: expected a string that is not empty, found the string \"\""
        ),
    ])
    func namesWhatIsWrongAndWhere(text: String, error: String) {
        #expect(self.read(text).errors == [error])
    }

    @Test(arguments: ["'5'", "5", "'0s'", "0", "'-5s'", "'99999999h'", "'999999999999999999999h'"])
    func refusesABadDuration(text: String) {
        let errors = self.read("{wait: \(text)}").errors
        #expect(errors.count == 1)
        #expect(
            errors[0].hasPrefix(
                "1:8: wait: expected a duration such as \"250ms\", \"5s\", \"10m\" or \"24h\", from 1ms to 8760h, found"
            ))
    }

    @Test(arguments: [("'1MB'", "1MiB"), ("'1m'", "1MiB"), ("'4 kb'", "4KiB")])
    func proposesTheSizeThatWasMeant(text: String, meant: String) {
        let errors = self.read("{size: \(text)}").errors
        #expect(errors.count == 1)
        #expect(errors[0].contains("from 0 to 1MiB, found the string"))
        #expect(errors[0].hasSuffix("; did you mean \"\(meant)\"?"))
    }

    @Test func reportsEverythingAtOnce() {
        let (_, errors) = self.read("{count: 0, shar: 1, list: [1, 2], inner: [{x: 1}, {number: 9}]}")
        #expect(errors.count == 6)
    }

    @Test func writesErrorsForPeopleAndForPrograms() {
        let error = ConfigurationError(
            path: "pools[0].min_worker", "unknown key", suggestion: "min_workers",
            at: SourceLocation(line: 7, column: 13), file: "a.json5")
        #expect(
            error.description == "a.json5:7:13: pools[0].min_worker: unknown key; did you mean min_workers?")
        #expect(
            error.value == [
                "path": "pools[0].min_worker", "message": "unknown key", "suggestion": "min_workers",
            ])
        #expect(ConfigurationError(path: "", "cannot be read", file: "a").description == "a: cannot be read")
        #expect(ConfigurationError(path: "X", "no").value == ["path": "X", "message": "no"])
    }
}
