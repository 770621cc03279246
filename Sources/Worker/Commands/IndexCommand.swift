/// `worker index`: brings an index up to date.
enum IndexCommand {
    static let help = """
        worker index --out DIR PATH…

        Makes an index of the .md, .txt, .html, .json and .jsonl files in or below each PATH and publishes it in
        DIR at once and as a whole; running workers go over to it by themselves. Returns at once when no file
        changed. What it did is said on standard error.

          --out DIR           where the index is published; made when it is not there
          --chunk-bytes N     the size of a chunk, 200 to 100000 (\(Chunker.Options().maximumBytes))
          --overlap N         sentences a chunk repeats of the one before, 0 to 20 (\(Chunker.Options().overlap))
          --dimensions N      dimensions of the vectors, 0 (none) to 1000 (\(IndexSettings().requestedDimensions))
          --force             make it anew even when nothing changed
        """

    private static let options: [CommandArguments.Option] = [
        .value("--out", "DIR"), .value("--chunk-bytes", "N"), .value("--overlap", "N"),
        .value("--dimensions", "N"),
        .flag("--force"),
    ]

    static func run(_ arguments: [String]) throws -> Int32 {
        let arguments = try CommandArguments(arguments, options: self.options)
        if arguments.asksForHelp {
            Console.result(self.help)
            return ExitCode.done
        }
        guard let directory = arguments["--out"] else {
            throw UsageError("--out DIR is missing: worker index --out DIR PATH…")
        }
        guard !arguments.words.isEmpty else {
            throw UsageError("expected at least one file or directory: worker index --out DIR PATH…")
        }
        var settings = IndexSettings()
        settings.maximumChunkBytes =
            try arguments.integer("--chunk-bytes", in: 200...100_000) ?? settings.maximumChunkBytes
        settings.chunkOverlap = try arguments.integer("--overlap", in: 0...20) ?? settings.chunkOverlap
        settings.requestedDimensions =
            try arguments.integer("--dimensions", in: 0...1_000) ?? settings.requestedDimensions
        var indexer = CorpusIndexer(
            paths: arguments.words, directory: IndexDirectory(path: directory), settings: settings)
        indexer.isForced = arguments.has("--force")
        indexer.warn = { Console.message($0) }
        let start = MonotonicClock.now
        let outcome = try indexer.run()
        Console.message(self.report(outcome, directory: directory, milliseconds: start.millisecondsAgo))
        return ExitCode.done
    }

    private static func report(_ outcome: CorpusIndexer.Outcome, directory: String, milliseconds: Double)
        -> String
    {
        switch outcome {
        case .unchanged(let files):
            return "\(directory) is up to date: \(files) files, none changed"
        case .published(let summary):
            return
                "\(directory): \(summary.documents) documents of \(summary.files) files, \(summary.chunks) chunks, "
                + "\(summary.terms) terms, generation \(summary.generation), in \(Int(milliseconds)) ms"
        }
    }
}
