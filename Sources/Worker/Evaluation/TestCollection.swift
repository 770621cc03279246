import Protocol

/// Documents, queries and judgements in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.
struct TestCollection {
    struct Query: Equatable {
        var id: String
        var text: String
    }

    let directory: String
    let documents: [SourceDocument]
    /// Those that have at least one relevant document, as trec_eval counts them.
    let queries: [Query]
    /// Query → document → grade; only grades above 0.
    let judgements: [String: [String: Int]]

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    init(directory: String) throws(Failure) {
        self.directory = directory
        do {
            let corpus = FileSystem.join(directory, "corpus.jsonl")
            self.documents = try DocumentReader.documents(
                source: corpus, bytes: try FileSystem.contents(of: corpus))
            let qrels = FileSystem.join(directory, "qrels/test.tsv")
            let judgements = try Self.judgements(
                String(decoding: try FileSystem.contents(of: qrels), as: UTF8.self), path: qrels)
            self.judgements = judgements
            let queries = FileSystem.join(directory, "queries.jsonl")
            self.queries = try Self.queries(try FileSystem.contents(of: queries), path: queries)
                .filter { judgements[$0.id] != nil }
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure(
                description:
                    "\(error); expected corpus.jsonl, queries.jsonl and qrels/test.tsv in \(directory)")
        }
        guard !self.queries.isEmpty else {
            throw Failure(description: "\(directory): no query of queries.jsonl is judged in qrels/test.tsv")
        }
    }

    private static func queries(_ bytes: [UInt8], path: String) throws -> [Query] {
        try bytes.split(separator: 0x0A).enumerated().map { number, line in
            guard let value = try? JSONValue(parsing: Array(line)), let id = value["_id"]?.stringValue,
                let text = value["text"]?.stringValue
            else { throw Failure(description: "\(path), line \(number + 1): expected {\"_id\", \"text\"}") }
            return Query(id: id, text: text)
        }
    }

    /// `query-id TAB corpus-id TAB score`, with a heading.
    private static func judgements(_ text: String, path: String) throws -> [String: [String: Int]] {
        var judgements: [String: [String: Int]] = [:]
        for (number, line) in text.split(whereSeparator: \.isNewline).enumerated().dropFirst() {
            let fields = line.split(separator: "\t")
            guard fields.count == 3, let grade = Int(fields[2]) else {
                throw Failure(
                    description: "\(path), line \(number + 1): expected query-id, corpus-id and a whole score"
                )
            }
            if grade > 0 { judgements[String(fields[0]), default: [:]][String(fields[1])] = grade }
        }
        return judgements
    }
}
