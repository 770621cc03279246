import Protocol

/// How an index was made, written into it: whoever searches must do the same to a query.
struct IndexSettings: Equatable {
    var analyzer = TextAnalyzer.version
    /// What one occurrence in a title or heading counts in occurrences in the text.
    var titleWeight = 2
    var maximumChunkBytes = Chunker.Options().maximumBytes
    var chunkOverlap = Chunker.Options().overlap
    /// The dimensions asked for of LSI; small corpora have fewer.
    var requestedDimensions = 200
    /// The model of an endpoint that made the vectors; nil: latent semantic indexing did.
    var embeddingModel: String?
    /// The dimensions of the vectors; 0 without an embedding.
    var dimensions = 0
    /// The mean of the chunks' lengths.
    var averageLength = 0.0

    init() {}

    var chunking: Chunker.Options {
        Chunker.Options(maximumBytes: self.maximumChunkBytes, overlap: self.chunkOverlap)
    }

    /// What decides on the content of an index, the documents apart.
    var identity: JSONValue {
        var members: [JSONValue.Member] = [
            .init("analyzer", .integer(self.analyzer)), .init("title_weight", .integer(self.titleWeight)),
            .init("maximum_chunk_bytes", .integer(self.maximumChunkBytes)),
            .init("chunk_overlap", .integer(self.chunkOverlap)),
        ]
        if let model = self.embeddingModel {
            members.append(.init("embedding_model", .string(model)))
        } else {
            members.append(.init("requested_dimensions", .integer(self.requestedDimensions)))
        }
        return .object(members)
    }

    var json: JSONValue {
        .object(
            (self.identity.objectValue ?? []) + [
                JSONValue.Member("dimensions", .integer(self.dimensions)),
                JSONValue.Member("average_length", .double(self.averageLength)),
            ])
    }

    /// nil when a member is missing or makes no sense.
    init?(json: JSONValue) {
        func number(_ name: String, _ range: ClosedRange<Int64>) -> Int? {
            json[name]?.integerValue.flatMap { range.contains($0) ? Int($0) : nil }
        }
        guard let analyzer = number("analyzer", 0...1_000),
            let titleWeight = number("title_weight", 0...1_000),
            let maximumChunkBytes = number("maximum_chunk_bytes", 1...(1 << 20)),
            let chunkOverlap = number("chunk_overlap", 0...1_000),
            let dimensions = number("dimensions", 0...Int64(EmbeddingLimits.dimensions)),
            let averageLength = json["average_length"]?.doubleValue
        else { return nil }
        if let model = json["embedding_model"] {
            guard let name = model.stringValue else { return nil }
            self.embeddingModel = name
        } else {
            guard let requested = number("requested_dimensions", 0...4_096) else { return nil }
            self.requestedDimensions = requested
        }
        self.analyzer = analyzer
        self.titleWeight = titleWeight
        self.maximumChunkBytes = maximumChunkBytes
        self.chunkOverlap = chunkOverlap
        self.dimensions = dimensions
        self.averageLength = averageLength
    }
}

/// What an index was made from: enough to see in a few file look-ups that nothing changed.
struct IndexManifest: Equatable {
    var paths: [String]
    var files: [SourceFile]
    /// `IndexSettings.identity` as text.
    var identity: String

    var json: JSONValue {
        [
            "paths": .array(self.paths.map { .string($0) }), "identity": .string(self.identity),
            "files": .array(
                self.files.map { [.string($0.path), .integer($0.size), .integer($0.modified)] as JSONValue }),
        ]
    }

    init(paths: [String], files: [SourceFile], settings: IndexSettings) {
        self.paths = paths
        self.files = files
        self.identity = settings.identity.text
    }

    init?(json: JSONValue) {
        guard let paths = json["paths"]?.arrayValue, let files = json["files"]?.arrayValue,
            let identity = json["identity"]?.stringValue
        else { return nil }
        self.paths = paths.compactMap(\.stringValue)
        self.files = files.compactMap { file in
            guard let parts = file.arrayValue, parts.count == 3, let path = parts[0].stringValue,
                let size = parts[1].integerValue, let modified = parts[2].integerValue
            else { return nil }
            return SourceFile(path: path, size: Int(size), modified: modified)
        }
        self.identity = identity
    }
}
