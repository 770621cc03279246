import Glibc
import Testing

@testable import Supervisor

@Suite struct LogFileTests {
    private static let now = Instant(nanoseconds: .seconds(1000))
    private let directory: LogDirectory
    init() throws { self.directory = try LogDirectory() }

    private func open(_ limit: Int64 = 100, keep: Int = 3) throws -> LogFile {
        try LogFile(self.directory.log, rotatingAt: limit, keep: keep)
    }

    /// Writes as the log does: what is not taken is offered again.
    ///
    /// - Returns: how many bytes were taken.
    @discardableResult
    private func write(_ text: String, to file: LogFile, at now: Instant = now) -> Int {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                file.write(UnsafeRawBufferPointer(rebasing: $0[written...]), at: now)
            }
            guard count > 0 else { break }
            written += count
        }
        return written
    }

    private static func lines(_ numbers: Range<Int>) -> String { numbers.map { "line \($0)\n" }.joined() }

    @Test func makesPlaceForANewFileAtItsSize() throws {
        let file = try self.open(24)  // three lines of seven bytes
        self.write(Self.lines(0..<10), to: file)
        #expect(self.directory.names == ["log", "log.1", "log.2", "log.3"])
        #expect(self.directory.text() == Self.lines(9..<10))
        #expect(self.directory.text("log.1") == Self.lines(6..<9))
        #expect(self.directory.text("log.3") == Self.lines(0..<3))
    }

    @Test func countsWhatIsInTheFileAlready() throws {
        try self.directory.write(Self.lines(0..<3), to: "log")
        let file = try self.open(24)
        self.write(Self.lines(3..<4), to: file)
        #expect(self.directory.text("log.1") == Self.lines(0..<3))
        #expect(self.directory.text() == Self.lines(3..<4))
    }

    @Test func losesNoLineAndCutsNoneInTwo() throws {
        var random = SeededGenerator(seed: 3)
        let file = try self.open(200, keep: 1000)
        var all = ""
        for number in 0..<300 {
            let count =
                Int.random(in: 0...20, using: &random) == 0 ? 300 : Int.random(in: 1...60, using: &random)
            let line = String(repeating: Character("\(number % 10)"), count: count) + "\n"
            all += line
            #expect(self.write(line + line, to: file) == 2 * line.utf8.count)
            all += line
        }
        let archive = try #require(file.archive)
        let count = self.directory.names.count
        var read = self.directory.text()
        for number in 1..<count {
            let text = self.directory.text("log.\(number)")
            #expect(
                text.utf8.count <= 200 || text.utf8.count { $0 == 0x0A } == 1, "but for a line that is longer"
            )
            #expect(text.hasSuffix("\n"))
            read = text + read
        }
        #expect(
            archive.number(of: try #require(FileStatus(ofPath: archive.plain(count - 1)))) == count
                - 1)
        #expect(read == all)
    }

    @Test func growsToTwiceItsSizeWhileItCannotBeRotatedAndSaysSoOnce() throws {
        let file = try self.open(70, keep: 1)
        let obstacle = "\(self.directory.log).1"
        try #require(mkdir(obstacle, 0o755) == 0)
        #expect(self.write(Self.lines(0..<30), to: file) == 134, "18 lines, then no more")
        #expect(file.takeFailure()?.number == EISDIR)
        #expect(self.write(Self.lines(18..<19), to: file, at: Self.now.advanced(by: .seconds(10))) == 0)
        #expect(file.takeFailure() == nil)
        rmdir(obstacle)
        #expect(
            self.write("line 20\n", to: file, at: Self.now.advanced(by: .seconds(11))) == 0, "not at once")
        #expect(self.write("line 20\n", to: file, at: Self.now.advanced(by: .seconds(20))) == 8)
        #expect(self.directory.text("log.1").split(separator: "\n").count == 18)
        #expect(self.directory.text() == "line 20\n")
        // It failed anew: it is said anew.
        unlink(obstacle)
        try #require(mkdir(obstacle, 0o755) == 0)
        self.write(Self.lines(0..<30), to: file, at: Self.now.advanced(by: .seconds(30)))
        #expect(file.takeFailure() != nil)
    }

    @Test func goesOnWhereItsDirectoryIsGone() throws {
        let path = "\(self.directory.path)/gone"
        try #require(mkdir(path, 0o755) == 0)
        let file = try LogFile("\(path)/log", rotatingAt: 70, keep: 1)
        self.write(Self.lines(0..<3), to: file)
        unlink("\(path)/log")
        rmdir(path)
        #expect(self.write(Self.lines(0..<10), to: file) == 70)
        #expect(file.takeFailure()?.number == ENOENT)
        try #require(mkdir(path, 0o755) == 0)
        let later = Self.now.advanced(by: .seconds(10))
        self.write(Self.lines(0..<10), to: file, at: later)
        #expect(self.directory.text("gone/log").hasSuffix("line 9\n"))
        for name in ["log", "log.1"] { unlink("\(path)/\(name)") }
    }

    @Test func followsAFileThatSomebodyHasMoved() throws {
        let file = try self.open(24)
        self.write(Self.lines(0..<3), to: file)
        rename(self.directory.log, "\(self.directory.path)/elsewhere")
        self.write(Self.lines(3..<4), to: file)
        #expect(self.directory.text("elsewhere") == Self.lines(0..<3))
        #expect(self.directory.names == ["elsewhere", "log"])
        #expect(self.directory.text() == Self.lines(3..<4))
    }

    @Test func givesTheNewFileThePermissionsOfTheOld() throws {
        try self.directory.write(Self.lines(0..<3), to: "log")
        chmod(self.directory.log, 0o604)
        let file = try self.open(24)
        self.write(Self.lines(3..<4), to: file)
        #expect(FileStatus(ofPath: self.directory.log)?.permissions == 0o604)
    }

    @Test func rotatesTheFileThatALinkLeadsTo() throws {
        try self.directory.write("", to: "target")
        try #require(symlink("\(self.directory.path)/target", self.directory.log) == 0)
        let file = try self.open(24)
        self.write(Self.lines(0..<4), to: file)
        #expect(self.directory.names == ["log", "target", "target.1"])
        #expect(self.directory.text() == Self.lines(3..<4))
    }

    @Test func endsALineThatACrashCutOff() throws {
        try self.directory.write("line 0\nlin", to: "log")
        let file = try self.open()
        self.write("line 1\n", to: file)
        #expect(self.directory.text() == "line 0\nlin\nline 1\n")
    }

    @Test func neverRotatesWhatIsNoRegularFile() throws {
        let pipe = "\(self.directory.path)/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        for path in ["/dev/null", "/dev/full", pipe] {
            let file = try LogFile(path, rotatingAt: 10, keep: 3)
            #expect(file.archive == nil && !file.mayCompress, "\(path)")
            self.write(Self.lines(0..<100), to: file)
        }
        #expect(self.directory.names == ["pipe"])
    }

    @Test func neverRotatesWhatStandardErrorGoesToAsWell() throws {
        #expect(try LogFile("/dev/stderr", rotatingAt: 10, keep: 3).archive == nil)
    }
}
