import Glibc
import Protocol
import Testing

@testable import Supervisor

@Suite struct EmbeddingFileTests {
    private struct Entry: Equatable {
        var kind: UInt8 = 1
        var key: [UInt8]
        var value: [UInt8]
        var storedAt: Int64 = 1_700_000_000_123
    }

    private static let entries = [
        Entry(key: Array("a".utf8), value: [1, 2, 3, 4]),
        Entry(kind: 0xFF, key: [], value: [], storedAt: -1),
        Entry(kind: 7, key: Array("a longer key, of more than one stripe".utf8), value: [9]),
    ]

    private static func write(_ entries: [Entry], _ lock: borrowing EmbeddingFileLock) throws {
        var writer = try EmbeddingFileWriter(lock)
        for entry in entries { try Self.append(entry, to: &writer) }
        try writer.commit(durably: true)
    }

    private static func append(_ entry: Entry, to writer: inout EmbeddingFileWriter) throws {
        try entry.key.withUnsafeBytes { key in
            try entry.value.withUnsafeBytes { value in
                try writer.append(kind: entry.kind, key: key, value: value, storedAt: entry.storedAt)
            }
        }
    }

    /// - Returns: why it failed; nil when it did not.
    private static func commit(
        _ writer: consuming EmbeddingFileWriter, durably: Bool = false
    ) -> SystemError? {
        do throws(SystemError) {
            try writer.commit(durably: durably)
            return nil
        } catch {
            return error
        }
    }

    private static func load(
        _ lock: borrowing EmbeddingFileLock, maximumBytes: Int64 = 1 << 30
    ) -> (outcome: EmbeddingFile.Outcome, entries: [Entry]) {
        var entries: [Entry] = []
        let outcome = EmbeddingFile.load(lock, maximumBytes: maximumBytes) {
            entries.append(
                Entry(kind: $0.kind, key: Array($0.key), value: Array($0.value), storedAt: $0.storedAt))
        }
        return (outcome, entries)
    }

    /// Loads a file of these bytes, which must give nothing and be moved out of the way.
    private static func expectRefusal(
        _ bytes: [UInt8], _ comment: Comment? = nil, sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        try TestDirectory.with { directory in
            try directory.write(bytes, to: "e")
            let lock = try EmbeddingFileLock(directory.file("e"))
            let (outcome, entries) = Self.load(lock)
            guard case .refused(_, movedTo: directory.file("e.damaged")) = outcome, entries.isEmpty else {
                Issue.record("\(comment ?? ""): \(outcome)", sourceLocation: sourceLocation)
                return
            }
            #expect(directory.contents("e.damaged") == bytes && !directory.has("e"))
        }
    }

    /// The bytes of a sound file.
    private static func file(_ entries: [Entry]) throws -> [UInt8] {
        try TestDirectory.with { directory in
            try Self.write(entries, EmbeddingFileLock(directory.file("e")))
            return directory.contents("e") ?? []
        }
    }

    /// A file of these records that is as its format says, whatever the records say.
    private static func sealed(_ records: [UInt8], checksums: [UInt8], count: UInt64) -> [UInt8] {
        func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        let header = Array("EMBCACHE".utf8) + [1, 0, 0, 0, 0, 0, 0, 0]
        let figures = bytes(count) + bytes(UInt64(header.count + records.count + 24))
        return header + records + figures + bytes(XXHash64.hash(header + checksums + figures))
    }

    // MARK: What is written is read

    @Test func givesBackWhatWasWritten() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            try Self.write(Self.entries, lock)
            let (outcome, entries) = Self.load(lock)
            #expect(outcome == .loaded(records: 3))
            #expect(entries == Self.entries)
            #expect(directory.mode("e") == 0o600)
            #expect(directory.names == ["e", "e.lock"])
        }
    }

    @Test func isWrittenAsItsFormatSays() throws {
        let file = try Self.file([Entry(kind: 5, key: [0x6B], value: [0x76, 0x77], storedAt: 0x0102)])
        let content: [UInt8] = [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0x6B, 0x76, 0x77]
        let checksum = withUnsafeBytes(of: XXHash64.hash(content).littleEndian) { Array($0) }
        #expect(file == Self.sealed(checksum + content, checksums: checksum, count: 1))
        let empty = try Self.file([])
        #expect(empty == Self.sealed([], checksums: [], count: 0))
        #expect(empty.count == 40)
    }

    @Test func readsAndWritesRecordsOfAnySize() throws {
        var random = SeededGenerator(seed: 7)
        let sizes = [0, 1, 65_510, 65_511, 65_512, 65_536, 262_100, 262_144, 700_000, 3, 131_072, 40]
        let entries = sizes.map { size in
            Entry(
                key: [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: size % 1000),
                value: [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: size))
        }
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            try Self.write(entries, lock)
            let loaded = Self.load(lock)
            #expect(loaded.outcome == .loaded(records: sizes.count))
            #expect(loaded.entries == entries)
        }
    }

    @Test func findsNothingWhereThereIsNoFile() throws {
        try TestDirectory.with { directory in
            let outcome = Self.load(try EmbeddingFileLock(directory.file("e"))).outcome
            #expect(outcome == .missing)
            #expect(directory.names.isEmpty, "the lock is given back")
        }
    }

    // MARK: Damage

    @Test func refusesAFileThatIsCutAnywhere() throws {
        let file = try Self.file(Self.entries)
        for count in 0..<file.count { try Self.expectRefusal(Array(file[..<count]), "\(count) bytes") }
        try Self.expectRefusal(file + [0], "a byte too many")
        try Self.expectRefusal(file + file, "twice")
    }

    @Test func refusesAFileOfWhichAnyByteIsAnother() throws {
        let file = try Self.file(Self.entries)
        for index in file.indices {
            for mask: UInt8 in [0x01, 0x80, 0xFF] {
                var damaged = file
                damaged[index] ^= mask
                try Self.expectRefusal(damaged, "byte \(index) ^ \(mask)")
            }
        }
    }

    @Test func refusesRandomBytes() throws {
        var random = SeededGenerator(seed: 3)
        let header = Array(try Self.file([]).prefix(16))
        for _ in 0..<300 {
            let count = Int.random(in: 0...200, using: &random)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            try Self.expectRefusal(bytes)
            try Self.expectRefusal(header + bytes)
        }
    }

    @Test(
        arguments: [
            (.max, .max), (.max, 0), (0, .max), (3, 0), (0, 3), (1 << 31, 1 << 31),
        ] as [(UInt32, UInt32)])
    func refusesLengthsThatLieUnderARightChecksum(key: UInt32, value: UInt32) throws {
        var content = [UInt8](repeating: 0, count: 8)
        for length in [key, value] { content += withUnsafeBytes(of: length.littleEndian) { Array($0) } }
        content += [1, 0x6B, 0x76]  // kind, and two bytes of three or more
        let checksum = withUnsafeBytes(of: XXHash64.hash(content).littleEndian) { Array($0) }
        try Self.expectRefusal(Self.sealed(checksum + content, checksums: checksum, count: 1))
    }

    @Test func refusesACountThatLies() throws {
        try Self.expectRefusal(Self.sealed([], checksums: [], count: 1))
    }

    @Test func refusesAnotherVersion() throws {
        var file = try Self.file(Self.entries)
        file[8] = 2
        try TestDirectory.with { directory in
            try directory.write(file, to: "e")
            let outcome = Self.load(try EmbeddingFileLock(directory.file("e"))).outcome
            #expect(
                outcome
                    == .refused(
                        reason: "it has version 2, expected 1", movedTo: directory.file("e.damaged")))
        }
    }

    @Test func refusesAFileThatIsTooLong() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            try Self.write(Self.entries, lock)
            let length = Int64(directory.contents("e")?.count ?? 0)
            #expect(Self.load(lock, maximumBytes: length).outcome == .loaded(records: 3))
            let refused = Self.load(lock, maximumBytes: length - 1)
            #expect(refused.entries.isEmpty)
            #expect(
                refused.outcome
                    == .refused(
                        reason: "it has \(length) bytes, expected at most \(length - 1)",
                        movedTo: directory.file("e.damaged")))
        }
    }

    @Test func keepsOnlyTheLastDamagedFile() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            for text in ["first", "second"] {
                try directory.write(Array(text.utf8), to: "e")
                _ = Self.load(lock)
            }
            #expect(directory.contents("e.damaged") == Array("second".utf8))
            #expect(Self.load(lock).outcome == .missing)
        }
    }

    // MARK: What is no file

    @Test func leavesWhatIsNoFileWhereItIs() throws {
        try TestDirectory.with { directory in
            mkdir(directory.file("directory"), 0o700)
            mkfifo(directory.file("fifo"), 0o600)
            for name in ["directory", "fifo"] {
                #expect {
                    _ = try EmbeddingFileLock(directory.file(name))
                } throws: {
                    "\($0)" == "\(directory.file(name)) is no regular file"
                }
            }
            #expect(directory.names == ["directory", "fifo"])
        }
    }

    @Test func neitherReadsNorReplacesWhatBecomesNoFile() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            mkfifo(directory.file("e"), 0o600)
            guard case .refused(let reason, movedTo: nil) = Self.load(lock).outcome else {
                Issue.record("a FIFO was not refused where it is")
                return
            }
            #expect(reason.contains("is no regular file"))
            #expect(throws: SystemError.self) { try Self.write(Self.entries, lock) }
            #expect(directory.names == ["e", "e.lock"])
        }
    }

    @Test func replacesTheFileThatALinkLeadsTo() throws {
        try TestDirectory.with { directory in
            mkdir(directory.file("there"), 0o700)
            symlink("there/far", directory.file("near"))
            symlink("near", directory.file("e"))
            for entries in [Self.entries, [Self.entries[0]]] {
                let lock = try EmbeddingFileLock(directory.file("e"))
                #expect(lock.path.hasSuffix("/there/far"))
                try Self.write(entries, lock)
                #expect(Self.load(lock).entries == entries)
            }
            #expect(directory.names == ["e", "near", "there"])
            #expect(FileStatus(ofPath: directory.file("e"))?.isRegular == false)
            #expect(FileStatus(ofPath: directory.file("there/far"))?.isRegular == true)
        }
    }

    @Test func refusesALinkThatLeadsToItself() throws {
        try TestDirectory.with { directory in
            symlink("e", directory.file("e"))
            #expect(throws: EmbeddingFileLock.Refusal.self) { _ = try EmbeddingFileLock(directory.file("e")) }
        }
    }

    // MARK: Writing that fails

    @Test func leavesTheOldFileWhenItIsAbandoned() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            try Self.write(Self.entries, lock)
            var writer = try EmbeddingFileWriter(lock)
            try Self.append(Entry(key: [1], value: [UInt8](repeating: 0, count: 100_000)), to: &writer)
            #expect(directory.names == ["e", "e.lock", "e.tmp"])
            writer.abandon()
            #expect(directory.names == ["e", "e.lock"])
            #expect(Self.load(lock).entries == Self.entries)
        }
    }

    @Test func makesWayForWhatADeadOneLeft() throws {
        try TestDirectory.with { directory in
            try directory.write([1, 2, 3], to: "e.tmp")
            try directory.write(Array("123\n".utf8), to: "e.lock")
            let lock = try EmbeddingFileLock(directory.file("e"))
            try Self.write(Self.entries, lock)
            #expect(Self.load(lock).entries == Self.entries)
            #expect(directory.names == ["e", "e.lock"])
        }
    }

    @Test func doesNotPublishWhatAnotherOneHasBegun() throws {
        try TestDirectory.with { directory in
            let lock = try EmbeddingFileLock(directory.file("e"))
            let robbed = try EmbeddingFileWriter(lock)
            unlink(directory.file("e.lock"))
            let other = try EmbeddingFileLock(directory.file("e"))
            var writer = try EmbeddingFileWriter(other)
            try Self.append(Self.entries[0], to: &writer)
            #expect(Self.commit(robbed)?.number == ENOENT)
            try writer.commit(durably: false)
            #expect(Self.load(other).entries == [Self.entries[0]])
        }
    }

    @Test func saysSoWhenTheDirectoryIsGone() throws {
        try TestDirectory.with { directory in
            mkdir(directory.file("d"), 0o700)
            let lock = try EmbeddingFileLock(directory.file("d/e"))
            let writer = try EmbeddingFileWriter(lock)
            for name in ["d/e.tmp", "d/e.lock"] { unlink(directory.file(name)) }
            rmdir(directory.file("d"))
            #expect(Self.commit(writer, durably: true) != nil)
            #expect {
                _ = try EmbeddingFileWriter(lock)
            } throws: {
                "\($0)" == "open \(directory.file("d/e.tmp")): No such file or directory"
            }
            #expect(throws: EmbeddingFileLock.Refusal.self) {
                _ = try EmbeddingFileLock(directory.file("d/e"))
            }
        }
    }

    @Test func refusesAFileSystemThatTakesNoFiles() {
        #expect(throws: EmbeddingFileLock.Refusal.self) { _ = try EmbeddingFileLock("/proc/embeddings") }
    }

    /// The limit on the size of a file stands for a full disk: the write fails in the same place.
    @Test func leavesTheOldFileWhenTheDiskIsFull() async {
        await #expect(processExitsWith: .success) {
            SignalQueue.ignoreFailingWrites()
            var limit = rlimit(rlim_cur: 300_000, rlim_max: 300_000)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            try TestDirectory.with { directory in
                let lock = try EmbeddingFileLock(directory.file("e"))
                try Self.write(Self.entries, lock)
                let large = Entry(key: [1], value: [UInt8](repeating: 0, count: 200_000))
                #expect {
                    try Self.write([large, large, large], lock)
                } throws: {
                    "\($0)" == "write \(directory.file("e.tmp")): File too large"
                }
                var writer = try EmbeddingFileWriter(lock)
                try Self.append(large, to: &writer)
                #expect(throws: SystemError.self) { try Self.append(large, to: &writer) }
                #expect(Self.commit(writer) != nil, "a failed one stays failed")
                #expect(directory.names == ["e", "e.lock"])
                #expect(Self.load(lock).entries == Self.entries)
            }
        }
    }

    // MARK: The lock

    @Test func isHeldByOneAtATime() throws {
        try TestDirectory.with { directory in
            symlink("e", directory.file("link"))
            let lock = try EmbeddingFileLock(directory.file("e"))
            for name in ["e", "link"] {
                #expect {
                    _ = try EmbeddingFileLock(directory.file(name))
                } throws: {
                    "\($0)".hasSuffix("/e is in use by pid \(getpid())")
                }
            }
            try Self.write(Self.entries, lock)
        }
    }

    @Test func isGivenBackAtTheEnd() throws {
        try TestDirectory.with { directory in
            for _ in 0..<2 { try Self.write(Self.entries, EmbeddingFileLock(directory.file("e"))) }
            #expect(directory.names == ["e"])
        }
    }
}
