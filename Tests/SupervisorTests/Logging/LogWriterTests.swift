import Glibc
import Protocol
import Testing

@testable import Supervisor

@Suite struct LogWriterTests {
    private let directory: LogDirectory
    init() throws { self.directory = try LogDirectory() }

    private func settings(_ path: String? = nil, rotateBytes: Int64 = 64 << 20) -> Configuration.Logging {
        .init(format: .json, file: path ?? self.directory.log, rotateBytes: rotateBytes)
    }

    /// A line of 8 KiB of a worker of its own.
    private static func long(_ number: Int) -> LogRecord {
        LogRecord(
            level: .info, event: "worker.stderr",
            fields: [
                ("worker_id", .string("worker_\(number)")), ("number", .integer(number)),
                ("line", .string(String(repeating: "x", count: 10_000))),
            ])
    }

    private static func parse(_ lines: [some StringProtocol]) throws -> [JSONValue] {
        try lines.map { try JSONValue(parsing: String($0)) }
    }

    @Test func writesTheContractsTimesAndLevels() throws {
        let log = try LogWriter(self.settings())
        log.write(LogRecord(level: .debug, event: "not.logged", fields: []))
        log.write(LogRecord(level: .info, event: "is.logged", fields: [("a", 1)]))
        log.flush()
        let records = try Self.parse(self.directory.lines())
        #expect(records.map { $0["event"] } == ["is.logged"])
        let time = try #require(records[0]["time"]?.stringValue)
        #expect(Timestamp.isRFC3339(Array(time.utf8)) && time.utf8.count == 24 && time.hasSuffix("Z"))
    }

    @Test func dropsAndCountsWhatAPipeThatNobodyReadsDoesNotTake() throws {
        let path = "\(self.directory.path)/pipe"
        try #require(mkfifo(path, 0o600) == 0)
        let reader = FileDescriptor(owning: open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
        let log = try LogWriter(self.settings(path))
        for number in 0..<250 {
            log.write(Self.long(number))
            log.flush()
        }
        #expect(log.isWaiting)
        var text = ""
        for _ in 0..<100 where log.isWaiting {
            text += reader.text
            log.flush()
        }
        #expect(!log.isWaiting)
        let records = try Self.parse((text + reader.text).split(separator: "\n"))
        let numbers = records.compactMap { $0["number"]?.integerValue }
        #expect(numbers == Array(0..<Int64(numbers.count)), "the first ones, in order")
        let dropped = records.compactMap { $0["event"] == "log.dropped" ? $0["lines"]?.integerValue : nil }
        #expect(dropped == [250 - Int64(numbers.count)], "told once")
    }

    @Test func goesOnWithAFullDisk() throws {
        let log = try LogWriter(self.settings("/dev/full"))
        for number in 0..<150 {
            log.write(Self.long(number))
            log.flush()
        }
        #expect(log.isWaiting)
    }

    @Test func rotatesAndSaysWhyItCannot() throws {
        try #require(mkdir("\(self.directory.log).1", 0o755) == 0)
        var settings = self.settings(rotateBytes: 20_000)
        settings.keep = 1
        let log = try LogWriter(settings)
        for number in 0..<3 { log.write(Self.long(number)) }
        log.flush()
        let events = try Self.parse(self.directory.lines()).map { $0["event"] }
        #expect(events == ["worker.stderr", "worker.stderr", "worker.stderr", "log.rotation_failed"])
    }

    @Test func reopensTheFileThatWasMovedAway() throws {
        let log = try LogWriter(self.settings())
        log.write(LogRecord(level: .info, event: "before", fields: []))
        log.flush()
        rename(self.directory.log, "\(self.directory.path)/moved")
        log.write(LogRecord(level: .info, event: "meanwhile", fields: []))
        log.reopen()
        log.write(LogRecord(level: .info, event: "after", fields: []))
        log.flush()
        #expect(try Self.parse(self.directory.lines("moved")).map { $0["event"] } == ["before", "meanwhile"])
        #expect(try Self.parse(self.directory.lines()).map { $0["event"] } == ["log.reopened", "after"])
    }

    @Test func goesOnWithTheOldFileWhereTheNewOneCannotBeOpened() throws {
        let log = try LogWriter(self.settings())
        rename(self.directory.log, "\(self.directory.path)/moved")
        try #require(mkdir(self.directory.log, 0o755) == 0)
        log.reopen()
        log.write(LogRecord(level: .info, event: "after", fields: []))
        log.flush()
        #expect(
            try Self.parse(self.directory.lines("moved")).map { $0["event"] } == [
                "log.reopen_failed", "after",
            ])
    }

    @Test func beginsNoFileInTheMiddleOfALine() throws {
        let path = "\(self.directory.path)/pipe"
        try #require(mkfifo(path, 0o600) == 0)
        let reader = FileDescriptor(owning: open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
        let log = try LogWriter(self.settings(path))
        for number in 0..<20 { log.write(Self.long(number)) }
        log.flush()
        #expect(log.isWaiting, "the pipe is full, probably within a line")
        unlink(path)
        log.reopen()
        log.flush()
        for line in self.directory.lines("pipe") { _ = try JSONValue(parsing: line) }
        let last = try Self.parse(self.directory.lines("pipe").suffix(2)).map { $0["event"] }
        #expect(last.contains("log.reopened"))
        _ = reader.text
    }

    // MARK: Terminals

    /// TIOCSPTLCK and TIOCGPTN.
    private static let unlockTerminal = UInt(0x4004_5431)
    private static let terminalNumber = UInt(0x8004_5430)

    /// What is written to a new terminal.
    private static func onTerminal(_ environment: [String: String]) throws -> String {
        let master = FileDescriptor(owning: open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC))
        try master.setNonBlocking()
        var (unlock, number): (Int32, Int32) = (0, 0)
        guard ioctl(master.raw, Self.unlockTerminal, &unlock) == 0,
            ioctl(master.raw, Self.terminalNumber, &number) == 0
        else { throw SystemError("ioctl") }
        let log = try LogWriter(.init(file: "/dev/pts/\(number)"), environment: environment)
        log.write(LogRecord(level: .error, event: "x", fields: [("a", 1)]))
        log.flush()
        return master.text
    }

    @Test func writesColouredTextOnATerminal() throws {
        let text = try Self.onTerminal(["TERM": "xterm", "NO_COLOR": ""])
        #expect(text.contains("\u{1b}[31merror\u{1b}[0m   x a=1"), "\(text)")
    }

    @Test(arguments: [["NO_COLOR": "1", "TERM": "xterm"], ["TERM": "dumb"]])
    func leavesColoursOutWhereTheyAreNotWanted(environment: [String: String]) throws {
        let text = try Self.onTerminal(environment)
        #expect(text.contains("Z error   x a=1"), "\(text)")
    }
}
