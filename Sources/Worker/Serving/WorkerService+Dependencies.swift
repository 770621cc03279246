import Protocol

/// What a worker needs and is not: its index, and what makes its vectors.
extension WorkerService {
    /// `{index: {status, generation?, error?}, embedding: {status, model?, error?}}`, each status `healthy`,
    /// `degraded` (in service, but not as it should be) or `unavailable`.
    func dependencies(_ snapshot: IndexHolder.Snapshot) -> JSONValue {
        let error = snapshot.failure.map { RPCError.unusableIndex($0).message }
        var index = Self.entry(isThere: snapshot.index != nil, error)
        if let present = snapshot.index {
            index.insert(.init("generation", .string("\(present.generation)")), at: 1)
        }
        return ["index": .object(index), "embedding": .object(self.embeddingEntry(snapshot.index))]
    }

    private func embeddingEntry(_ index: SearchIndex?) -> [JSONValue.Member] {
        let mismatch = index.flatMap { self.embedding.mismatch(with: $0)?.message }
        let complaint = self.embedding.complaint()
        // Without a server the model is the index's own.
        let isThere = self.embedding.endpointModel != nil ? complaint == nil : index != nil
        var entry = Self.entry(isThere: isThere, complaint ?? mismatch)
        if let model = self.capabilities.embeddingModel(index) {
            entry.insert(.init("model", .string(model)), at: 1)
        }
        return entry
    }

    private static func entry(isThere: Bool, _ error: String?) -> [JSONValue.Member] {
        let status = !isThere ? "unavailable" : error == nil ? "healthy" : "degraded"
        return [.init("status", .string(status))] + (error.map { [.init("error", .string($0))] } ?? [])
    }
}
