import Glibc
import Testing

@testable import Supervisor

@Suite struct LogArchiveTests {
    private let directory: LogDirectory
    init() throws { self.directory = try LogDirectory() }

    private func archive(keep: Int) -> LogArchive { LogArchive(path: self.directory.log, keep: keep) }

    private func write(_ names: String...) throws {
        for name in names { try self.directory.write("was \(name)", to: name) }
    }

    /// What each file was when the test began.
    private var files: [String: String] {
        self.directory.names.reduce(into: [:]) { $0[$1] = String(self.directory.text($1).dropFirst(4)) }
    }

    @Test func movesEveryFileOneUpAndDropsTheOldest() throws {
        try self.write("log", "log.1", "log.2.gz", "log.3.gz")
        try self.archive(keep: 3).push()
        #expect(self.files == ["log.1": "log", "log.2": "log.1", "log.3.gz": "log.2.gz"])
    }

    @Test func keepsNoneWhereNoneIsToBeKept() throws {
        try self.write("log", "log.other")
        try self.archive(keep: 0).push()
        #expect(self.files == ["log.other": "log.other"])
    }

    @Test(arguments: 1...4) func fillsTheNumberThatACrashLeftFree(free: Int) throws {
        for number in 0...4 where number != free { try self.write(number == 0 ? "log" : "log.\(number)") }
        try self.archive(keep: 4).push()
        var expected = ["log.1": "log"]
        for number in 1...4 where number != free {
            expected["log.\(number < free ? number + 1 : number)"] = "log.\(number)"
        }
        #expect(self.files == expected)
    }

    @Test func takesWhatACrashLeftTwiceAsOne() throws {
        try self.write("log", "log.1", "log.1.gz")
        try self.archive(keep: 3).push()
        #expect(self.files == ["log.1": "log", "log.2": "log.1", "log.2.gz": "log.1.gz"])
        #expect(self.archive(keep: 3).nextToCompress == 1)
    }

    @Test func findsWhatIsNotCompressed() throws {
        #expect(self.archive(keep: 3).nextToCompress == nil)
        try self.write("log", "log.1.gz", "log.2", "log.3")
        #expect(self.archive(keep: 3).nextToCompress == 2)
        #expect(self.archive(keep: 1).nextToCompress == nil)
        #expect(self.archive(keep: 0).nextToCompress == nil)
    }

    @Test func knowsAFileByWhatItIsWhateverItsNumber() throws {
        try self.write("log", "log.1")
        let file = try #require(FileStatus(ofPath: "\(self.directory.log).1"))
        #expect(self.archive(keep: 2).number(of: file) == 1)
        try self.archive(keep: 2).push()
        #expect(self.archive(keep: 2).number(of: file) == 2)
        try self.write("log")
        try self.archive(keep: 2).push()
        #expect(self.archive(keep: 2).number(of: file) == nil)
    }

    @Test func removesWhatAnEarlierStartKeptOrLeftUnfinished() throws {
        try self.write(
            "log", "log.1", "log.2.gz", "log.3.gz", "log.4", "log.6", "log.compressing", "log.rotating")
        self.archive(keep: 2).tidy()
        #expect(self.directory.names == ["log", "log.1", "log.2.gz", "log.6"])
    }

    @Test func changesNothingWhereTheOldestCannotBeRemoved() throws {
        try self.write("log", "log.1")
        try #require(mkdir("\(self.directory.log).2", 0o755) == 0)
        #expect(throws: SystemError.self) { try self.archive(keep: 2).push() }
        #expect(self.directory.text() == "was log" && self.directory.text("log.1") == "was log.1")
    }
}
