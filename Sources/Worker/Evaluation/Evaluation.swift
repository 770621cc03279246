import Glibc

/// Measures every technique on a test collection.
struct Evaluation {
    /// As deep as trec_eval's runs usually are.
    static let depth = 1000

    let collection: TestCollection
    private let index: SearchIndex
    private let embedding: WorkerEmbedding
    /// The documents' ids, by number.
    private let identifiers: [String]

    /// Builds an index of the collection in a temporary directory.
    init(_ collection: TestCollection, embedding: WorkerEmbedding = .latentSemantic) throws {
        self.collection = collection
        self.embedding = embedding
        var settings = IndexSettings()
        settings.embeddingModel = embedding.endpointModel
        var builder = IndexBuilder(settings: settings)
        for document in collection.documents { builder.add(document) }
        let manifest = IndexManifest(paths: [collection.directory], files: [], settings: settings)
        let built = builder.finish(manifest: manifest, vectors: try embedding.vectors(of: builder))
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "worker-eval-")
        let temporary = FileSystem.join(directory, "index")
        // The mapping keeps the file's content alive.
        defer {
            unlink(temporary)
            rmdir(directory)
        }
        try FileSystem.write(built.parts, to: temporary)
        let index = try SearchIndex(path: temporary)
        self.index = index
        self.identifiers = try (0..<index.documents.count).map { number in
            try index.string(try index.documents.record(at: number).id)
        }
    }

    func measure(_ technique: Technique) throws -> RankingMeasures {
        var analyzer = TextAnalyzer()
        var retriever = Retriever(index: self.index)
        let measures = try self.collection.queries.map { query in
            if technique.usesVectors {
                retriever.queryVector = try self.embedding.vector(of: query.text, for: self.index) {}
            }
            let hits = try retriever.retrieve(
                technique, terms: analyzer.terms(of: query.text), limit: Self.depth, selection: .all
            ).hits
            return RankingMeasures(
                ranking: try self.documents(of: hits), grades: self.collection.judgements[query.id] ?? [:])
        }
        return RankingMeasures.mean(measures)
    }

    /// The documents of chunks, each where its best chunk stands.
    private func documents(of hits: [Hit]) throws -> [String] {
        var seen: Set<Int> = []
        return try hits.compactMap { hit in
            let document = Int(try self.index.chunks.record(at: Int(hit.chunk)).document)
            return seen.insert(document).inserted ? self.identifiers[document] : nil
        }
    }
}
