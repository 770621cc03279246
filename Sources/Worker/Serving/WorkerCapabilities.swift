import Protocol

/// What a worker declares about itself in `health.check`, and tells when it changes.
struct WorkerCapabilities {
    static let methods = [
        "rag.execute", "rag.stream", "embedding.create", "health.check", "metrics.get", "ping",
        "pipeline.initialize", "pipeline.destroy", "cache.clear",
    ]

    var maxConcurrency: Int
    /// The model of the endpoint that makes vectors; nil: the index's own makes them.
    var endpointModel: String?

    /// - Parameter index: the one in force; nil when there is none.
    func json(_ index: SearchIndex?) -> JSONValue {
        let methods = JSONValue.array(Self.methods.map { .string($0) })
        var members: [JSONValue.Member] = [
            .init("methods", methods),
            .init("techniques", .array(Technique.names.map { .string($0) })),
            .init("max_concurrency", .integer(self.maxConcurrency)),
            .init("cacheable", ["rag.execute"]),
            .init("idempotent", methods),
            .init("streaming", true),
            .init("cancel", true),
            .init("cache_epoch", .string(self.cacheEpoch(index))),
        ]
        if let model = self.embeddingModel(index) {
            members.append(.init("embedding_model", .string(model)))
        }
        return .object(members)
    }

    /// What `embedding.create` serves; nil when that is an index's model and there is none.
    func embeddingModel(_ index: SearchIndex?) -> String? {
        if let model = self.endpointModel { return model }
        return index.flatMap { LatentSemanticEmbedder(index: $0) }?.model
    }

    /// Changes with everything that an answer depends on: the index, the program that reads it, and what makes the
    /// vectors of queries.
    private func cacheEpoch(_ index: SearchIndex?) -> String {
        guard let index else { return "no-index" }
        let embedder = self.endpointModel.map { "-\($0)" } ?? ""
        return "index-\(index.generation)-\(ProductVersion.text)\(embedder)"
    }

    /// The notification `worker.capabilities`, without its line end.
    func notification(_ index: SearchIndex?) -> [UInt8] {
        let message: JSONValue = [
            "jsonrpc": "2.0", "method": "worker.capabilities", "params": self.json(index),
        ]
        return message.bytes
    }
}

/// The capabilities as JSON text, made anew when the index is another: a health check is answered every few seconds,
/// and most of what it says stays as it was.
final class CapabilitiesText: Sendable {
    private struct Made {
        var hasIndex: Bool
        /// Weak: an index that was replaced goes when the last request has let go of it.
        weak var index: SearchIndex?
        var bytes: [UInt8]
    }

    private let capabilities: WorkerCapabilities
    private let made = Locked<Made?>(nil)

    init(_ capabilities: WorkerCapabilities) { self.capabilities = capabilities }

    /// - Parameter index: the one in force; nil when there is none.
    func bytes(for index: SearchIndex?) -> [UInt8] {
        self.made.withLock { made in
            if let made, made.hasIndex == (index != nil), made.index === index { return made.bytes }
            let bytes = self.capabilities.json(index).bytes
            made = Made(hasIndex: index != nil, index: index, bytes: bytes)
            return bytes
        }
    }
}
