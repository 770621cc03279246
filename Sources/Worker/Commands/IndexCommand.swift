import Glibc

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
          --dimensions N      dimensions of LSI's vectors, 0 (none) to 1000 (\(IndexSettings().requestedDimensions))
          --config FILE       JSON5; its `embedding` says what makes the vectors (LSI); no file is read without it
          --force             make it anew even when nothing changed
        """

    private static let options: [CommandArguments.Option] = [
        .value("--out", "DIR"), .value("--chunk-bytes", "N"), .value("--overlap", "N"),
        .value("--dimensions", "N"), .value("--config", "FILE"),
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
        let embedding = try self.embedding(arguments)
        if embedding.isRemote, arguments.has("--dimensions") {
            throw UsageError("--dimensions is for LSI: the model that `embedding` names has its own")
        }
        var indexer = CorpusIndexer(
            paths: arguments.words, directory: IndexDirectory(path: directory), settings: settings)
        indexer.isForced = arguments.has("--force")
        indexer.embedding = embedding
        indexer.warn = { Console.message($0) }
        let start = MonotonicClock.now
        let outcome = try indexer.run()
        Console.message(self.report(outcome, directory: directory, milliseconds: start.millisecondsAgo))
        return ExitCode.done
    }

    /// What makes the vectors: an endpoint's are kept in the supervisor's cache when one can be asked, which is so when
    /// this is the `prepare` of a pool.
    private static func embedding(_ arguments: CommandArguments) throws -> WorkerEmbedding {
        let environment = ProcessEnvironment()
        let configuration =
            if let file = arguments["--config"] { try WorkerConfiguration(file: file) } else {
                WorkerConfiguration()
            }
        let settings = try configuration.embedding.settings(environment)
        guard case .endpoint = settings,
            SupervisorCalls.isPossible(input: STDIN_FILENO, output: STDOUT_FILENO, environment: environment)
        else { return WorkerEmbedding(settings) }
        let descriptors = try StandardDescriptors()
        // Without a reader there are no answers, and without answers no more questions.
        let calls = SupervisorCalls(output: OutputBuffer(descriptor: descriptors.output) {})
        let isStarted = DetachedThread.start { calls.readAnswers(from: descriptors.input) }
        return WorkerEmbedding(settings, calls: isStarted ? calls : nil)
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
