import Protocol

/// Retrieves and answers: the work behind `rag.execute`.
struct QuestionAnswering {
    let parameters: ExecuteParameters
    let index: SearchIndex
    var embedding = WorkerEmbedding.latentSemantic

    /// - Parameters:
    ///   - start: when the call was read, for the total time.
    ///   - checkpoint: asked between the steps; throws when the caller has given up.
    ///   - onRetrieved: is given what was found, before an answer is made of it.
    func run(
        since start: MonotonicClock, checkpoint: () throws(RPCError) -> Void,
        onRetrieved: ([RetrievedChunk]) throws(RPCError) -> Void = { (_) throws(RPCError) in }
    ) throws(RPCError) -> ExecuteResult {
        var analyzer = TextAnalyzer()
        let terms = analyzer.terms(of: self.parameters.query)
        try checkpoint()
        let retrievalStart = MonotonicClock.now
        let vector = try self.queryVector(checkpoint)
        let (chunks, degraded, weights) = try self.retrieve(terms, vector)
        let retrieved = MonotonicClock.now
        try checkpoint()
        try onRetrieved(chunks)
        let answer = self.parameters.generate ? self.answer(chunks, weights) : nil
        // Not `?:` with nil, which JSONValue would read as null.
        var explanation: JSONValue?
        if self.parameters.explain { explanation = self.explanation(weights) }
        let end = MonotonicClock.now
        return ExecuteResult(
            parameters: self.parameters, chunks: chunks, answer: answer, degraded: degraded,
            index: self.index,
            explanation: explanation,
            retrievalMilliseconds: retrieved.milliseconds(since: retrievalStart),
            generationMilliseconds: end.milliseconds(since: retrieved),
            totalMilliseconds: end.milliseconds(since: start))
    }

    private func queryVector(_ checkpoint: () throws(RPCError) -> Void) throws(RPCError) -> [Float]? {
        guard self.parameters.technique.usesVectors else { return nil }
        let vector = try self.embedding.vector(
            of: self.parameters.query, for: self.index, checkpoint: checkpoint)
        try checkpoint()
        return vector
    }

    private func retrieve(
        _ terms: [String], _ vector: [Float]?
    ) throws(RPCError) -> (chunks: [RetrievedChunk], degraded: [String], weights: [String: Double]) {
        do throws(IndexError) {
            let selection = try DocumentSelection(self.parameters.filter, in: self.index)
            let retriever = Retriever(
                index: self.index, parameters: self.parameters.techniqueParameters, queryVector: vector)
            let outcome = try retriever.retrieve(
                self.parameters.technique, terms: terms, limit: self.parameters.topK, selection: selection)
            let minimum = self.parameters.minimumScore.map { Float($0) } ?? -.infinity
            var chunks: [RetrievedChunk] = []
            for hit in outcome.hits where hit.score >= minimum {
                chunks.append(try RetrievedChunk(hit, rank: chunks.count + 1, in: self.index))
            }
            return (chunks, outcome.degraded, try self.weights(of: terms))
        } catch {
            throw .unusableIndex(error)
        }
    }

    /// What each term of the query is worth: terms that no chunk holds, most of all.
    private func weights(of terms: [String]) throws(IndexError) -> [String: Double] {
        var weights: [String: Double] = [:]
        for term in terms where weights[term] == nil {
            let count = try self.index.term(term).map { Int($0.postingCount) } ?? 0
            weights[term] = self.index.inverseDocumentFrequency(chunksWithTerm: count)
        }
        return weights
    }

    private func answer(_ chunks: [RetrievedChunk], _ weights: [String: Double]) -> ExtractiveAnswer {
        var options = ExtractiveAnswer.Options()
        options.maximumWords = self.parameters.maximumTokens
        return ExtractiveAnswer(chunks, weights: weights, options: options)
    }

    private func explanation(_ weights: [String: Double]) -> JSONValue {
        let terms = weights.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map { term, weight in
            ["term": .string(term), "weight": .milliseconds(weight)] as JSONValue
        }
        let parameters = self.parameters.techniqueParameters
        var members: [JSONValue.Member] = [.init("terms", .array(terms))]
        if self.parameters.technique != .basic {
            members += [.init("k1", .double(parameters.bm25.k1)), .init("b", .double(parameters.bm25.b))]
        }
        if self.parameters.technique == .hybrid {
            members += [
                .init("k", .double(parameters.fusion.k)),
                .init("weights", .array(parameters.fusion.weights.map { .double($0) })),
            ]
        }
        return .object(members)
    }
}

extension RPCError {
    /// 5001, with the path and the command that makes the index anew.
    static func unusableIndex(_ error: IndexError) -> RPCError {
        guard !error.path.isEmpty else {
            return RPCError(
                .databaseConnectionError, reason: "no_index_configured",
                "No index is configured: make one with `worker index --out DIR PATH…` and name DIR by --index, "
                    + "WORKER_INDEX or index.directory in the configuration")
        }
        let reason =
            switch error.reason {
            case .missing: "index_missing"
            case .unreadable: "index_unreadable"
            case .corrupt: "index_corrupt"
            }
        // A file in the directory is named; the command is for the directory.
        let directory = error.directory
        let command = "worker index --force --out \(directory) PATH…"
        return RPCError(
            .databaseConnectionError, reason: reason, "\(error); make it anew with `\(command)`",
            details: [.init("path", .string(error.path)), .init("rebuild", .string(command))])
    }
}

extension IndexError {
    /// The directory of the index, whether the path names it or a file in it.
    fileprivate var directory: String {
        guard let slash = self.path.lastIndex(of: "/"), self.path[slash...].hasPrefix("/index.") else {
            return self.path
        }
        return String(self.path[..<slash])
    }
}
