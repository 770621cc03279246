import Protocol
import Testing

@testable import Supervisor

@Suite struct LogFormatTests {
    private static let record = LogRecord(
        level: .warning, event: "worker.noise",
        fields: [
            ("line", .string("\u{1b}[31m\n\"x\" = 1")), ("plain", "abc"), ("empty", ""), ("count", 7),
            ("share", .number(0.5)), ("flag", .bool(true)),
        ])

    private static func json(_ record: LogRecord) -> [UInt8] {
        var output: [UInt8] = []
        LogFormat.appendJSON(record, time: "2026-01-31T12:00:00.000Z", to: &output)
        return output
    }

    private static func text(_ record: LogRecord, colours: Bool = false) -> [UInt8] {
        var output: [UInt8] = []
        LogFormat.appendText(record, time: "2026-01-31T12:00:00.000Z", colours: colours, to: &output)
        return output
    }

    @Test func writesOneLineForPeopleWithoutControlCharacters() {
        #expect(
            String(decoding: Self.text(Self.record), as: UTF8.self)
                == #"2026-01-31T12:00:00.000Z warning worker.noise line="\x1b[31m\x0a\"x\" = 1" plain=abc "#
                + #"empty="" count=7 share=0.5 flag=true"# + "\n")
    }

    @Test func coloursOnlyTheLevel() {
        let plain = String(decoding: Self.text(Self.record), as: UTF8.self)
        let coloured = String(decoding: Self.text(Self.record, colours: true), as: UTF8.self)
        #expect(coloured != plain)
        #expect(coloured.replacing("\u{1b}[33mwarning\u{1b}[0m", with: "warning") == plain)
    }

    @Test func writesValidJSONOnOneLineWithTheSameEscapes() throws {
        let output = Self.json(Self.record)
        #expect(output.count { $0 == 0x0A } == 1 && output.last == 0x0A)
        let value = try JSONValue(parsing: Array(output.dropLast()))
        #expect(value["time"] == "2026-01-31T12:00:00.000Z")
        #expect(value["level"] == "warning")
        #expect(value["event"] == "worker.noise")
        #expect(value["line"] == #"\x1b[31m\x0a"x" = 1"#)
        #expect(value["count"] == 7 && value["share"] == 0.5 && value["flag"] == true)
    }

    @Test func cutsTheLongTextAndKeepsTheShortOnesWhole() throws {
        let long = String(repeating: "é\"", count: 10_000)
        let record = LogRecord(
            level: .info, event: "worker.stderr",
            fields: [("worker_id", "worker_1"), ("line", .string(long))])
        let value = try JSONValue(parsing: Self.json(record))
        #expect(value["worker_id"] == "worker_1")
        let line = try #require(value["line"]?.stringValue)
        #expect(line.hasPrefix("é\"é\"") && line.hasSuffix("…"))
        #expect((7900...8192).contains(Self.json(record).count), "no more is cut than must be")
    }

    @Test func keepsTheEndOfWhatAProcessWroteLast() throws {
        let tail = String(repeating: "x\n", count: 40_000) + "last words"
        let record = LogRecord(
            level: .error, event: "worker.quarantined",
            fields: [("how", "exited"), ("stderr_tail", .tail(tail)), ("next_try_ms", 5)])
        let value = try JSONValue(parsing: Self.json(record))
        #expect(value["stderr_tail"]?.stringValue?.hasSuffix(#"x\x0alast words"#) == true)
        #expect(value["stderr_tail"]?.stringValue?.hasPrefix("…") == true)
        #expect(value["how"] == "exited" && value["next_try_ms"] == 5)
    }

    @Test func neverWritesMoreThan8KiBNorAnythingButOneLine() throws {
        var random = SeededGenerator(seed: 7)
        let pieces = [
            "a", " ", "\"", "\\", "\n", "\u{0}", "\u{9b}", "\u{202e}", "\u{2028}", "\u{fffd}", "ß", "😀", "=",
        ]
        for _ in 0..<40 {
            let fields = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                let count = Int.random(in: 0...4, using: &random) == 0 ? 9000 : 30
                let text = (0..<count).reduce(into: "") { text, _ in
                    text += pieces[Int.random(in: 0..<pieces.count, using: &random)]
                }
                let isTail = Bool.random(using: &random)
                return (key: StaticString("field"), value: isTail ? LogValue.tail(text) : .string(text))
            }
            let record = LogRecord(level: .warning, event: "request.slow", fields: fields)
            for line in [Self.json(record), Self.text(record, colours: true)] {
                #expect(line.count <= 8192)
                #expect(line.count { $0 == 0x0A } == 1 && line.last == 0x0A)
                #expect(String(validating: line, as: UTF8.self) != nil)
            }
            #expect(throws: Never.self) { try JSONValue(parsing: Self.json(record)) }
        }
    }
}
