import Protocol

/// What a worker declares about itself in `health.check`, and tells when it changes.
struct WorkerCapabilities {
    static let methods = ["rag.execute", "health.check", "metrics.get", "ping"]

    var maxConcurrency: Int

    /// - Parameter index: the one in force; nil when there is none.
    func json(_ index: SearchIndex?) -> JSONValue {
        let methods = JSONValue.array(Self.methods.map { .string($0) })
        var members: [JSONValue.Member] = [
            .init("methods", methods),
            .init("techniques", .array(Technique.names.map { .string($0) })),
            .init("max_concurrency", .integer(self.maxConcurrency)),
            .init("cacheable", ["rag.execute"]),
            .init("idempotent", methods),
            .init("streaming", false),
            .init("cancel", true),
            .init("cache_epoch", .string(Self.cacheEpoch(index))),
        ]
        if let embedder = index?.settings.embedder {
            members.append(.init("embedding_model", .string(embedder)))
        }
        return .object(members)
    }

    /// Changes with everything that an answer depends on: the index, and the program that reads it.
    private static func cacheEpoch(_ index: SearchIndex?) -> String {
        guard let index else { return "no-index" }
        return "index-\(index.generation)-\(ProductVersion.text)"
    }

    /// The notification `worker.capabilities`, without its line end.
    func notification(_ index: SearchIndex?) -> [UInt8] {
        let message: JSONValue = [
            "jsonrpc": "2.0", "method": "worker.capabilities", "params": self.json(index),
        ]
        return message.bytes
    }
}
