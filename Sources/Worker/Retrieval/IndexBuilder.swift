import Protocol

/// Makes an index out of documents, in memory.
struct IndexBuilder {
    private var settings: IndexSettings
    private var strings = StringPool()
    private var documents: [DocumentRecord] = []
    private var chunks: [ChunkRecord] = []
    private var vocabulary = Vocabulary()
    private var identifiers: Set<String> = []
    private var hashes: [UInt64]
    private var analyzer = TextAnalyzer()

    init(settings: IndexSettings) {
        self.settings = settings
        self.hashes = [
            UInt64(Self.version(of: settings)), XXHash64.hash(settings.identity.bytes),
        ]
    }

    private static func version(of settings: IndexSettings) -> UInt32 {
        settings.embeddingModel == nil ? IndexFormat.version : IndexFormat.modelVersion
    }

    var documentCount: Int { self.documents.count }
    var chunkCount: Int { self.chunks.count }
    var termCount: Int { self.vocabulary.count }

    /// Adds a document's chunks. A second document of the same id is told apart by its source.
    mutating func add(_ document: SourceDocument) {
        var id = document.id
        if !self.identifiers.insert(id).inserted {
            id = "\(document.source):\(document.id)"
            var number = 2
            while !self.identifiers.insert(id).inserted {
                id = "\(document.source):\(document.id):\(number)"
                number += 1
            }
        }
        let chunks = Chunker.chunks(of: document, options: self.settings.chunking)
        let metadata = JSONValue.object(document.metadata).bytes
        self.documents.append(
            DocumentRecord(
                id: self.strings.add(id), source: self.strings.addShared(document.source),
                title: self.strings.add(document.title ?? ""), metadata: self.strings.addShared(metadata),
                format: document.format.storedIndex, chunkCount: UInt32(chunks.count)))
        for (index, chunk) in chunks.enumerated() { self.add(chunk, index: index, of: document) }
        for part in [
            Array(id.utf8), Array(document.source.utf8), Array((document.title ?? "").utf8), metadata,
        ] {
            self.hashes.append(XXHash64.hash(part))
        }
        self.hashes.append(XXHash64.hash(document.text))
    }

    private mutating func add(_ chunk: Chunk, index: Int, of document: SourceDocument) {
        var frequencies: [String: UInt32] = [:]
        var length: UInt32 = 0
        self.analyzer.forEachTerm(in: document.text, range: chunk.range) { term, _ in
            frequencies[term, default: 0] += 1
            length += 1
        }
        let weight = UInt32(self.settings.titleWeight)
        let headings = [document.title ?? ""] + chunk.section
        self.analyzer.forEachTerm(in: Array(headings.joined(separator: "\n").utf8)) { term, _ in
            frequencies[term, default: 0] += weight
            length += weight
        }
        self.vocabulary.add(frequencies, chunk: UInt32(self.chunks.count))
        self.chunks.append(
            ChunkRecord(
                content: self.strings.add(Array(document.text[chunk.range])),
                section: self.strings.addShared(Array(chunk.section.joined(separator: " › ").utf8)),
                start: UInt64(chunk.range.lowerBound), document: UInt32(self.documents.count - 1),
                index: UInt32(index), length: length))
    }

    /// What is embedded of a chunk: the headings it stands under, and its text.
    func text(ofChunk number: Int) -> String {
        let chunk = self.chunks[number]
        let parts = [self.documents[Int(chunk.document)].title, chunk.section, chunk.content]
        let texts = parts.filter { $0.length > 0 }.map { self.strings.text($0) }
        return String(decoding: Array(texts.joined(separator: [0x0A])), as: UTF8.self)
    }

    /// The vectors of the index, by LSI unless they were made elsewhere.
    private func model(_ vectors: ChunkVectors?) -> LatentSemanticModel {
        guard let vectors else {
            return LatentSemanticModel.build(
                self.vocabulary.terms.map(\.postings), chunkCount: self.chunks.count,
                dimensions: self.settings.requestedDimensions)
        }
        precondition(
            vectors.values.count == self.chunks.count * vectors.dimensions,
            "\(vectors.values.count) numbers for \(self.chunks.count) chunks")
        return LatentSemanticModel(vectors, termCount: self.vocabulary.count)
    }

    /// The file's parts, to be written in a row.
    ///
    /// - Parameter vectors: one a chunk, where `settings` name the model that made them; nil: LSI makes them.
    /// - Complexity: dominated by the embedding, see `LatentSemanticModel`.
    consuming func finish(
        manifest: IndexManifest, vectors: ChunkVectors? = nil
    ) -> (generation: String, parts: [[UInt8]]) {
        let model = self.model(vectors)
        self.settings.dimensions = model.dimensions
        // The same words to an endpoint may give other vectors one day: LSI's follow from the documents.
        if let vectors { self.hashes.append(vectors.values.withUnsafeBytes { XXHash64.hash($0) }) }
        let total = self.chunks.reduce(0) { $0 + Int($1.length) }
        self.settings.averageLength = self.chunks.isEmpty ? 0 : Double(total) / Double(self.chunks.count)

        var terms: [TermRecord] = []
        var postings: [Posting] = []
        for (number, term) in self.vocabulary.terms.enumerated() {
            terms.append(
                TermRecord(
                    text: self.strings.add(term.text), firstPosting: UInt32(postings.count),
                    postingCount: UInt32(term.postings.count), row: model.rows[number]))
            postings += term.postings
        }
        let generation = self.hashes.withUnsafeBytes { XXHash64.hash($0) }
        let sections: [(IndexFormat.Section, [UInt8])] = [
            (.settings, self.settings.json.bytes), (.manifest, manifest.json.bytes),
            (.strings, self.strings.bytes),
            (.documents, Self.bytes(self.documents)), (.chunks, Self.bytes(self.chunks)),
            (.terms, Self.bytes(terms)), (.postings, Self.bytes(postings)),
            (.vectors, Self.bytes(model.vectors)), (.projection, Self.bytes(model.projection)),
        ]
        let parts = IndexLayout.assemble(
            version: Self.version(of: self.settings), generation: generation,
            sections: sections.map { (section: $0.0, bytes: $0.1) })
        return (SearchIndex.hexadecimal(generation), parts)
    }

    private static func bytes(_ records: [some BitwiseCopyable]) -> [UInt8] {
        records.withUnsafeBytes { Array($0) }
    }
}

/// The texts of an index, one behind the other.
private struct StringPool {
    private(set) var bytes: [UInt8] = []
    private var shared: [[UInt8]: TextReference] = [:]

    func text(_ reference: TextReference) -> ArraySlice<UInt8> {
        self.bytes[reference.offset..<reference.offset + reference.length]
    }

    /// Texts beyond 16 MiB are cut; chunks and names are far below.
    mutating func add(_ text: [UInt8]) -> TextReference {
        guard !text.isEmpty else { return .empty }
        let reference = TextReference(
            offset: self.bytes.count, length: min(text.count, TextReference.longest))
        self.bytes.append(contentsOf: text.prefix(reference.length))
        return reference
    }

    mutating func add(_ text: String) -> TextReference { self.add(Array(text.utf8)) }

    /// Adds a text that may have been added before.
    mutating func addShared(_ text: [UInt8]) -> TextReference {
        if let reference = self.shared[text] { return reference }
        let reference = self.add(text)
        self.shared[text] = reference
        return reference
    }

    mutating func addShared(_ text: String) -> TextReference { self.addShared(Array(text.utf8)) }
}

/// The terms of an index and where they occur.
private struct Vocabulary {
    private var numbers: [String: Int] = [:]
    private var postings: [[Posting]] = []

    var count: Int { self.numbers.count }

    mutating func add(_ frequencies: [String: UInt32], chunk: UInt32) {
        for (term, frequency) in frequencies {
            let posting = Posting(chunk: chunk, frequency: frequency)
            if let number = self.numbers[term] {
                self.postings[number].append(posting)
            } else {
                self.numbers[term] = self.postings.count
                self.postings.append([posting])
            }
        }
    }

    /// In the order of their bytes, so that the same documents always give the same file.
    var terms: [(text: String, postings: [Posting])] {
        self.numbers.map { (text: $0.key, postings: self.postings[$0.value]) }
            .sorted { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }
    }
}
