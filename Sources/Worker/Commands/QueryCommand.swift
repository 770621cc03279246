import Protocol

/// `worker query TECHNIQUE QUERY`: one question, from the command line.
enum QueryCommand {
    static let help = """
        worker query TECHNIQUE QUERY [--index DIR] [--config FILE] [--top-k N] [--json]

        Answers one question. TECHNIQUE is one of:
        \(techniques)

          --index DIR     the index to answer from ($WORKER_INDEX, then index.directory of the configuration)
          --config FILE   JSON5; no file is read without it
          --top-k N       how many chunks to retrieve, 1 to 100 (5)
          --json          the result of rag.execute
        """

    private static let techniques = Technique.allCases
        .map { "  \(($0.rawValue + "          ").prefix(10))\($0.summary)" }.joined(separator: "\n")

    private static let options: [CommandArguments.Option] = [
        .value("--index", "DIR"), .value("--config", "FILE"), .value("--top-k", "N"), .flag("--json"),
    ]

    static func run(_ arguments: [String]) throws -> Int32 {
        let arguments = try CommandArguments(arguments, options: self.options)
        if arguments.asksForHelp {
            Console.result(self.help)
            return ExitCode.done
        }
        guard arguments.words.count == 2 else {
            throw UsageError("expected a technique and a query: worker query TECHNIQUE QUERY")
        }
        let settings = try ServeSettings(arguments, workerID: nil, environment: ProcessEnvironment())
        let topK = try arguments.integer("--top-k", in: 1...100) ?? ExecuteParameters.defaultTopK
        let params: JSONValue = [
            "technique": .string(arguments.words[0]), "query": .string(arguments.words[1]),
            "options": ["top_k": .integer(topK)],
        ]
        do throws(RPCError) {
            let result = try self.answer(ExecuteParameters(params), settings)
            Console.result(arguments.has("--json") ? self.json(result, settings) : self.text(result))
            return ExitCode.done
        } catch {
            Console.message(error.message)
            let isOurs = error.code == .invalidParams || error.code == .pipelineNotFound
            return isOurs ? ExitCode.usage : ExitCode.failed
        }
    }

    private static func answer(
        _ parameters: ExecuteParameters, _ settings: ServeSettings
    ) throws(RPCError) -> ExecuteResult {
        let holder = IndexHolder(directory: settings.indexDirectory.map { IndexDirectory(path: $0) })
        let snapshot = holder.current()
        guard let index = snapshot.index else {
            throw .unusableIndex(snapshot.failure ?? IndexError(reason: .missing, path: ""))
        }
        return try QuestionAnswering(
            parameters: parameters, index: index, embedding: WorkerEmbedding(settings.embedding)
        ).run(since: .now) {}
    }

    private static func json(_ result: ExecuteResult, _ settings: ServeSettings) -> String {
        var bytes: [UInt8] = []
        let timestamp = Timestamp.text(millisecondsSince1970: WallClock.milliseconds)
        result.write(workerID: settings.workerID, timestamp: timestamp, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The answer, then where its sentences stand, then what else was found.
    private static func text(_ result: ExecuteResult) -> String {
        let citations = (result.answer?.citations ?? []).map { citation in
            let chunk = result.chunks[citation.chunk]
            let start = chunk.start + citation.range.lowerBound
            let end = chunk.start + citation.range.upperBound
            return "[\(citation.number)] \(self.place(of: chunk)), bytes \(start) to \(end)"
        }
        let retrieved = result.chunks.map { "\($0.rank). \(self.place(of: $0))  \($0.hit.score)" }
        let paragraphs = [[result.answer?.text ?? ""], citations, retrieved]
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") }.joined(separator: "\n\n")
    }

    private static func place(of chunk: RetrievedChunk) -> String {
        let id = chunk.documentID == chunk.source ? chunk.source : "\(chunk.source) \(chunk.documentID)"
        let headings = [chunk.title, chunk.section].filter { !$0.isEmpty }.joined(separator: " › ")
        return headings.isEmpty ? id : "\(id) (\(headings))"
    }
}
