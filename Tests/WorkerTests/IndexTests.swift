import Glibc
import Protocol
import Testing

@testable import Worker

@Suite struct SearchIndexTests {
    static let texts = [
        "The boundary layer on a flat plate. Heat transfer is high.",
        "Supersonic flow past a cone at an angle of attack.",
        "Buckling of thin cylindrical shells under pressure.",
    ]

    @Test func keepsWhatWasPutIn() throws {
        let small = try SmallIndex([
            SourceDocument(
                id: "x", source: "dir/x.md", title: "A title", format: .markdown,
                text: Array("# A title\n\nOne. Two.".utf8),
                metadata: [.init("year", 1962)]),
            SourceDocument(id: "x", source: "dir/y.txt", format: .plain, text: Array("Three.".utf8)),
        ])
        let chunks = try small.chunks(of: [Hit(chunk: 0, score: 1), Hit(chunk: 1, score: 0.5)])
        #expect(chunks.map(\.id) == ["x#0", "dir/y.txt:x#0"])
        #expect(chunks.map(\.source) == ["dir/x.md", "dir/y.txt"])
        #expect(chunks[0].content == Array("# A title\n\nOne. Two.".utf8))
        #expect(chunks[0].title == "A title")
        #expect(chunks[0].metadata == [.init("year", 1962), .init("format", "markdown")])
        #expect(chunks[1].title.isEmpty)
    }

    @Test func isTheSameForTheSameDocuments() throws {
        let first = try SmallIndex(texts: Self.texts)
        let second = try SmallIndex(texts: Self.texts)
        let other = try SmallIndex(texts: Array(Self.texts.dropLast()))
        #expect(first.index.generation == second.index.generation)
        #expect(first.index.generation != other.index.generation)
        let names = [first, second].map { "index." + $0.index.generation }
        #expect(
            try FileSystem.contents(of: first.directory.file(names[0]))
                == FileSystem.contents(of: second.directory.file(names[1])))
    }

    @Test(arguments: [[], [""], ["the of and"], ["lift"], ["x", "x", "x"]] as [[String]])
    func servesTinyCorpora(texts: [String]) throws {
        let small = try SmallIndex(texts: texts)
        for technique in Technique.allCases {
            let found = try small.search(technique, "lift x the")
            #expect(found.count == texts.filter { $0 == "lift" || $0 == "x" }.count)
            #expect(try small.search(technique, "unknown").isEmpty)
            #expect(try small.search(technique, "").isEmpty)
        }
    }

    @Test func refusesEveryDamagedByte() throws {
        let small = try SmallIndex(texts: Self.texts)
        let path = small.index.path
        let intact = try FileSystem.contents(of: path)
        let copy = small.directory.file("damaged")
        var accepted = 0
        for offset in stride(from: 0, to: intact.count, by: 7) {
            var bytes = intact
            bytes[offset] ^= 0x55
            try FileSystem.write([bytes], to: copy)
            do {
                _ = try SearchIndex(path: copy)
                accepted += 1
            } catch {
                guard case .corrupt = error.reason else {
                    Issue.record("byte \(offset): \(error)")
                    continue
                }
            }
        }
        // The zeros between sections and at the end of the header mean nothing.
        #expect(accepted < 20)
    }

    @Test func refusesEveryTruncation() throws {
        let small = try SmallIndex(texts: Self.texts)
        let intact = try FileSystem.contents(of: small.index.path)
        let copy = small.directory.file("cut")
        for length in stride(from: 0, to: intact.count, by: 61) {
            try FileSystem.write([Array(intact[..<length])], to: copy)
            #expect(throws: IndexError.self) { try SearchIndex(path: copy) }
        }
    }

    /// What stands behind the checksums: every offset out of the file is checked.
    @Test(arguments: 0..<4)
    func neverTrapsOnDamageThatNoChecksumCaught(seed: Int) throws {
        let small = try SmallIndex(texts: Self.texts)
        let intact = try FileSystem.contents(of: small.index.path)
        let copy = small.directory.file("damaged")
        var generator = SplitMix64(state: UInt64(seed))
        var analyzer = TextAnalyzer()
        let terms = analyzer.terms(of: "boundary layer heat flow shells")
        for _ in 0..<150 {
            var bytes = intact
            for _ in 0..<4 {
                let offset = Int(generator.next() % UInt64(bytes.count - 400)) + 400
                bytes[offset] = UInt8(truncatingIfNeeded: generator.next())
            }
            try FileSystem.write([bytes], to: copy)
            guard let index = try? SearchIndex(path: copy, verifiedLength: 0) else { continue }
            for technique in Technique.allCases {
                let parameters = try ExecuteParameters([
                    "technique": .string(technique.rawValue), "query": .string(terms.joined(separator: " ")),
                ])
                // An answer or an error; the point is to get here.
                _ = try? QuestionAnswering(parameters: parameters, index: index).run(since: .now) {}
            }
        }
    }
}

@Suite struct IndexDirectoryTests {
    @Test func isMissingUntilSomethingIsPublished() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("none")
        #expect(throws: IndexError(reason: .missing, path: path)) { try IndexDirectory(path: path).open() }
        #expect(IndexDirectory(path: path).publication() == nil)
    }

    @Test(arguments: ["", "index.../etc/passwd\n", "../x\n", "nonsense"])
    func refusesANonsenseName(name: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write(name, to: "CURRENT")
        #expect(throws: IndexError(reason: .corrupt("CURRENT names no index"), path: directory.path)) {
            try IndexDirectory(path: directory.path).open()
        }
    }

    @Test func removesWhatItReplaced() throws {
        let directory = try TemporaryDirectory()
        try directory.write("First text.", to: "src/a.txt")
        let indexer = CorpusIndexer(
            paths: [directory.file("src")], directory: IndexDirectory(path: directory.file("out")))
        guard case .published(let first) = try indexer.run() else {
            Issue.record("the first run published nothing")
            return
        }
        #expect(try indexer.run() == .unchanged(files: 1))
        let old = try indexer.directory.open()
        try directory.write("Second, longer text.", to: "src/b.txt")
        guard case .published(let second) = try indexer.run() else {
            Issue.record("the second run published nothing")
            return
        }
        #expect(first.generation != second.generation)
        #expect(second.documents == 2)
        #expect(
            try FileSystem.names(in: directory.file("out")) == [
                "CURRENT", "LOCK", "index.\(second.generation)",
            ])
        // Mapped, the old one still answers.
        #expect(try old.string(try old.documents.record(at: 0).id) == directory.file("src/a.txt"))
    }

    @Test func saysWhatCannotBeIndexed() throws {
        let directory = try TemporaryDirectory()
        try directory.write("x", to: "src/.hidden.md")
        try directory.write("x", to: "file")
        func failure(_ path: String, out: String = "out") -> String {
            let indexer = CorpusIndexer(
                paths: [directory.file(path)], directory: IndexDirectory(path: directory.file(out)))
            do {
                _ = try indexer.run()
                return ""
            } catch {
                return error.description
            }
        }
        #expect(failure("none") == "cannot read \(directory.file("none")): No such file or directory")
        #expect(failure("src").hasPrefix("nothing to index in \(directory.file("src")): expected .md"))
        #expect(failure("file").contains("no document could be read"))
        try directory.write("Text.", to: "src/a.txt")
        #expect(failure("src", out: "file").hasSuffix("Not a directory"))
    }

    @Test func leavesOutFilesThatCannotBeRead() throws {
        let directory = try TemporaryDirectory()
        try directory.write("Good text.", to: "src/a.txt")
        try directory.write("{broken", to: "src/b.json")
        let warnings = Locked<[String]>([])
        var indexer = CorpusIndexer(
            paths: [directory.file("src")], directory: IndexDirectory(path: directory.file("out")))
        indexer.warn = { warning in warnings.withLock { $0.append(warning) } }
        guard case .published(let summary) = try indexer.run() else {
            Issue.record("nothing was published")
            return
        }
        #expect(summary.documents == 1)
        let told = warnings.withLock { $0 }
        #expect(told.count == 1 && told[0].contains("b.json: expected JSON"))
    }
}

@Suite struct IndexHolderTests {
    @Test func goesOverToANewIndexWithinASecond() throws {
        let directory = try TemporaryDirectory()
        try directory.write("One text.", to: "src/a.txt")
        let out = IndexDirectory(path: directory.file("out"))
        let indexer = CorpusIndexer(paths: [directory.file("src")], directory: out)
        let holder = IndexHolder(directory: out)
        let start = MonotonicClock.now
        #expect(holder.current(now: start).failure?.reason == .missing)
        _ = try indexer.run()
        let first = try #require(holder.current(now: start).index)
        try directory.write("Another text.", to: "src/b.txt")
        _ = try indexer.run()
        #expect(holder.current(now: start.adding(milliseconds: 900)).index?.generation == first.generation)
        let second = holder.current(now: start.adding(milliseconds: 1_100))
        #expect(second.failure == nil)
        #expect(second.index?.generation != first.generation)
    }

    @Test func keepsTheOldIndexWhenTheNewOneIsDamaged() throws {
        let directory = try TemporaryDirectory()
        try directory.write("One text.", to: "src/a.txt")
        let out = IndexDirectory(path: directory.file("out"))
        _ = try CorpusIndexer(paths: [directory.file("src")], directory: out).run()
        let holder = IndexHolder(directory: out)
        let start = MonotonicClock.now
        let generation = try #require(holder.current(now: start).index?.generation)
        try directory.write("index.0\n", to: "out/CURRENT")
        try directory.write("no index", to: "out/index.0")
        let snapshot = holder.current(now: start.adding(milliseconds: 2_000))
        #expect(snapshot.index?.generation == generation)
        #expect(snapshot.failure?.reason == .corrupt("it does not begin as an index does"))
    }
}
