/// The vectors of an index's chunks, made by an endpoint.
struct ChunkVectors {
    let dimensions: Int
    /// Chunks × dimensions, each vector of length one or zero.
    private(set) var values: [Float] = []

    init(dimensions: Int) { self.dimensions = dimensions }

    mutating func append(_ vector: [Float]) {
        precondition(vector.count == self.dimensions, "\(vector.count) numbers instead of \(self.dimensions)")
        var vector = vector[...]
        DenseVector.normalize(&vector)
        self.values += vector
    }

    /// Embeds the chunks of an index in the making, batch by batch: what is embedded is in the cache at once, and is not
    /// lost when a later batch fails.
    ///
    /// - Returns: nil when there are no chunks.
    static func embed(
        _ builder: IndexBuilder, by embedder: EndpointEmbedder, _ cache: SupervisorEmbeddingCache?
    ) throws(EmbeddingFailure) -> ChunkVectors? {
        var result: ChunkVectors?
        let batchSize = embedder.settings.batchSize
        for start in stride(from: 0, to: builder.chunkCount, by: batchSize) {
            let texts = (start..<min(start + batchSize, builder.chunkCount)).map { builder.text(ofChunk: $0) }
            let vectors = try WorkerEmbedding.embed(
                texts, by: embedder, cache, dimensions: result?.dimensions, isCancelled: { false })
            for vector in vectors {
                var all = result ?? ChunkVectors(dimensions: vector.count)
                result = nil  // so that appending does not copy
                guard vector.count == all.dimensions else {
                    throw EmbeddingFailure(
                        .unusable,
                        "The model \(embedder.model) has vectors of \(all.dimensions) and of \(vector.count) numbers: "
                            + "was it replaced by another of the same name? Then clear the embedding cache",
                        url: embedder.url)
                }
                all.append(vector)
                result = all
            }
        }
        return result
    }
}
