import Protocol

/// `worker eval DIR`: the quality of every technique on a judged collection.
enum EvaluateCommand {
    static let help = """
        worker eval DIR [--config FILE] [--json]

        Measures every technique on a test collection in BEIR's layout: DIR/corpus.jsonl, DIR/queries.jsonl and
        DIR/qrels/test.tsv. The index is made anew, in $TMPDIR or /tmp,
        and removed. Measures are trec_eval's.

          --config FILE   JSON5; its `embedding` says what makes the vectors (LSI); no file is read without it
          --json          {technique: {ndcg_cut_10, map, recall_100, queries}}
        """

    static func run(_ arguments: [String]) throws -> Int32 {
        let arguments = try CommandArguments(
            arguments, options: [.value("--config", "FILE"), .flag("--json")])
        if arguments.asksForHelp {
            Console.result(self.help)
            return ExitCode.done
        }
        guard arguments.words.count == 1 else {
            throw UsageError("expected one directory: worker eval DIR [--json]")
        }
        let configuration = try arguments["--config"].map { try WorkerConfiguration(file: $0) }
        let settings = try (configuration ?? WorkerConfiguration()).embedding.settings(ProcessEnvironment())
        let evaluation = try Evaluation(
            TestCollection(directory: arguments.words[0]), embedding: WorkerEmbedding(settings))
        let queries = evaluation.collection.queries.count
        var members: [JSONValue.Member] = []
        var lines = ["\(queries) queries  nDCG@10     MAP  R@100"]
        for technique in Technique.allCases {
            let measures = try evaluation.measure(technique)
            members.append(JSONValue.Member(technique.rawValue, self.json(measures, queries: queries)))
            lines.append(self.row(technique, measures))
        }
        Console.result(
            arguments.has("--json") ? JSONValue.object(members).text : lines.joined(separator: "\n"))
        return ExitCode.done
    }

    private static func json(_ measures: RankingMeasures, queries: Int) -> JSONValue {
        [
            "ndcg_cut_10": .double(self.rounded(measures.ndcgCut10)),
            "map": .double(self.rounded(measures.map)),
            "recall_100": .double(self.rounded(measures.recall100)), "queries": .integer(queries),
        ]
    }

    private static func row(_ technique: Technique, _ measures: RankingMeasures) -> String {
        func column(_ value: Double) -> String { ("\(self.rounded(value))" + "0000").prefix(6).description }
        let name = (technique.rawValue + String(repeating: " ", count: 12)).prefix(12)
        return "\(name) \(column(measures.ndcgCut10))  \(column(measures.map))  \(column(measures.recall100))"
    }

    /// Four digits, as trec_eval prints them.
    private static func rounded(_ value: Double) -> Double { (value * 10_000).rounded() / 10_000 }
}
