import Protocol

/// The one way in which a worker makes vectors.
enum WorkerEmbedding: Sendable {
    /// By the model that stands in the index; the default.
    case latentSemantic
    /// By a model server, through the supervisor's cache where there is one.
    case endpoint(EndpointEmbedder, cache: SupervisorEmbeddingCache?)

    /// - Parameter calls: by which the supervisor can be asked; nil: it cannot.
    init(_ settings: EmbeddingSettings, calls: SupervisorCalls? = nil) {
        switch settings {
        case .latentSemantic: self = .latentSemantic
        case .endpoint(let settings):
            self = .endpoint(
                EndpointEmbedder(settings), cache: calls.map { SupervisorEmbeddingCache($0) })
        }
    }

    /// Whether making a vector waits for somebody else.
    var isRemote: Bool {
        switch self {
        case .latentSemantic: false
        case .endpoint: true
        }
    }

    /// What `embedding.create` embeds with; nil when that is an index's model and there is no index with one.
    func provider(_ index: SearchIndex?) -> (any EmbeddingProvider)? {
        switch self {
        case .latentSemantic: index.flatMap { LatentSemanticEmbedder(index: $0) }
        case .endpoint(let embedder, _): embedder
        }
    }

    /// The name that indexes made with it bear; nil for LSI, whose model comes with each index.
    var endpointModel: String? {
        switch self {
        case .latentSemantic: nil
        case .endpoint(let embedder, _): embedder.model
        }
    }

    /// The vectors of an index in the making; nil when it makes them itself, by LSI.
    func vectors(of builder: IndexBuilder) throws(EmbeddingFailure) -> ChunkVectors? {
        guard case .endpoint(let embedder, let cache) = self else { return nil }
        return try ChunkVectors.embed(builder, by: embedder, cache)
    }

    /// Embeds through the cache: looks all texts up, embeds those that are missing, and has them kept.
    ///
    /// The texts that come from the supervisor's own `embedding.create` were looked up already: not for them.
    ///
    /// - Parameter dimensions: how long the vectors must be for the caller; nil: as they come.
    static func embed(
        _ texts: [String], by embedder: EndpointEmbedder, _ cache: SupervisorEmbeddingCache?,
        dimensions: Int? = nil, isCancelled: () -> Bool
    ) throws(EmbeddingFailure) -> [[Float]] {
        guard let cache else { return try embedder.embed(texts, isCancelled: isCancelled) }
        let findings = cache.vectors(
            of: texts, model: embedder.model, dimensions: dimensions ?? embedder.dimensions)
        let missing = texts.indices.filter { findings.vectors[$0] == nil }
        guard !missing.isEmpty else { return findings.vectors.compactMap { $0 } }
        let missingTexts = missing.map { texts[$0] }
        let embedded = try embedder.embed(missingTexts, isCancelled: isCancelled)
        if findings.isAnswered { cache.store(embedded, of: missingTexts, model: embedder.model) }
        var vectors = findings.vectors
        for (position, vector) in zip(missing, embedded) { vectors[position] = vector }
        return vectors.compactMap { $0 }
    }
}

// MARK: - Queries

extension WorkerEmbedding {
    /// The unit vector of a query.
    ///
    /// - Returns: nil when the index has no vectors, or folds queries in itself.
    func vector(
        of query: String, for index: SearchIndex, checkpoint: () throws(RPCError) -> Void
    ) throws(RPCError) -> [Float]? {
        guard index.settings.dimensions > 0 else { return nil }
        if let mismatch = self.mismatch(with: index) { throw mismatch }
        guard case .endpoint(let embedder, let cache) = self else { return nil }
        var vector: [Float]
        do throws(EmbeddingFailure) {
            vector = try Self.embed(
                [query], by: embedder, cache, dimensions: index.settings.dimensions,
                isCancelled: { Self.isOver(checkpoint) })[0]
        } catch {
            // Whoever gave up is told by the checkpoint that it was so.
            try checkpoint()
            throw error.rpcError
        }
        guard vector.count == index.settings.dimensions else {
            throw EmbeddingFailure(
                .unusable,
                "The embedding endpoint \(embedder.url) gives vectors of \(vector.count) numbers, those of the index "
                    + "have \(index.settings.dimensions)",
                url: embedder.url
            ).rpcError
        }
        DenseVector.normalize(&vector[...])
        return vector
    }

    static func isOver(_ checkpoint: () throws(RPCError) -> Void) -> Bool {
        do throws(RPCError) {
            try checkpoint()
            return false
        } catch {
            return true
        }
    }

    /// Why the vectors of an index cannot be searched with ours; nil when they can, or when it has none.
    func mismatch(with index: SearchIndex) -> RPCError? {
        guard index.settings.dimensions > 0, index.settings.embeddingModel != self.endpointModel else {
            return nil
        }
        let made = index.settings.embeddingModel.map { "the model \($0)" } ?? "latent semantic indexing"
        let ours = self.endpointModel.map { "the model \($0)" } ?? "latent semantic indexing"
        return RPCError(
            .missingDependencies, reason: "embedding_model_mismatch",
            "The index was made with \(made), and this worker embeds with \(ours): give both the same `embedding`, by "
                + "`worker index --config FILE` and `worker serve --config FILE`",
            recovery: .fallbackTechnique)
    }
}

// MARK: - Health

extension WorkerEmbedding {
    /// How long a health check waits for the very first answer of an endpoint.
    private static let firstAnswerMilliseconds: Int64 = 250

    /// Why vectors cannot be made, as far as anybody knows; nil when they can.
    ///
    /// An endpoint that nobody has called yet, or that failed, is tried with a word, on a thread of its own: a worker
    /// without calls is to learn as well that its endpoint is there again.
    func complaint(now: MonotonicClock = .now) -> String? {
        guard case .endpoint(let embedder, _) = self else { return nil }
        let probe = embedder.health.claimProbe(now: now)
        if probe != .notNeeded {
            let done = Signal()
            let isStarted = DetachedThread.start {
                _ = try? embedder.embed(["hello"], isCancelled: { false })
                done.raise()
            }
            if isStarted, probe == .first { done.wait(milliseconds: Self.firstAnswerMilliseconds) }
        }
        return embedder.health.complaint
    }
}
