import Glibc
import Testing

@testable import Worker

@Suite(.timeLimit(.minutes(1)))
struct IndexWatchTests {
    /// Looks until it is so; the suite's time limit is the only one.
    private static func wait(until isSo: () -> Bool) {
        while !isSo() { usleep(2_000) }
    }

    @Test func seesAnIndexThatIsPublished() throws {
        let directory = try TemporaryDirectory()
        try directory.write("One text.", to: "src/a.txt")
        let out = IndexDirectory(path: directory.file("out"))
        let indexer = CorpusIndexer(paths: [directory.file("src")], directory: out)
        _ = try indexer.run()
        let told = Locked<[String]>([])
        let holder = IndexHolder(directory: out) { index in
            told.withLock { $0.append(index?.generation ?? "none") }
        }
        let first = try #require(holder.current().index?.generation)
        #expect(IndexWatch.start(out) { holder.current(isDue: true) })
        try directory.write("Another text.", to: "src/b.txt")
        _ = try indexer.run()
        Self.wait { told.withLock { !$0.isEmpty } }
        let second = holder.current().index?.generation
        #expect(second != first && told.withLock { $0 } == [second ?? "none"])
    }

    @Test func waitsForADirectoryThatIsNotThereYet() throws {
        let directory = try TemporaryDirectory()
        let out = IndexDirectory(path: directory.file("out"))
        let looks = Locked(0)
        #expect(IndexWatch.start(out) { looks.withLock { $0 += 1 } })
        try directory.write("One text.", to: "src/a.txt")
        _ = try CorpusIndexer(paths: [directory.file("src")], directory: out).run()
        Self.wait { looks.withLock { $0 > 0 } }
    }
}
