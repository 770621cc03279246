import Testing

@testable import Worker

@Suite(.timeLimit(.minutes(1)))
struct IndexWatchTests {
    /// More than any machine needs; a wait that ends by it has failed.
    private static let patience: Int64 = 30_000

    @Test func seesAnIndexThatIsPublished() throws {
        let directory = try TemporaryDirectory()
        try directory.write("One text.", to: "src/a.txt")
        let out = IndexDirectory(path: directory.file("out"))
        let indexer = CorpusIndexer(paths: [directory.file("src")], directory: out)
        _ = try indexer.run()
        let told = Locked<[String]>([])
        let isTold = Signal()
        let holder = IndexHolder(directory: out) { index in
            told.withLock { $0.append(index?.generation ?? "none") }
            isTold.raise()
        }
        let first = try #require(holder.current().index?.generation)
        #expect(IndexWatch.start(out) { holder.current(isDue: true) })
        try directory.write("Another text.", to: "src/b.txt")
        _ = try indexer.run()
        try #require(isTold.wait(milliseconds: Self.patience))
        let second = holder.current().index?.generation
        #expect(second != first && told.withLock { $0 } == [second ?? "none"])
    }

    @Test func waitsForADirectoryThatIsNotThereYet() throws {
        let directory = try TemporaryDirectory()
        let out = IndexDirectory(path: directory.file("out"))
        let looks = Signal()
        #expect(IndexWatch.start(out) { looks.raise() })
        try directory.write("One text.", to: "src/a.txt")
        _ = try CorpusIndexer(paths: [directory.file("src")], directory: out).run()
        #expect(looks.wait(milliseconds: Self.patience))
    }
}
