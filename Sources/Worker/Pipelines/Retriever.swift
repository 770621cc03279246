/// Runs a technique over an index.
struct Retriever {
    let index: SearchIndex
    var parameters = TechniqueParameters()
    /// The unit vector of the query where an endpoint makes vectors; nil: the index folds its terms in.
    var queryVector: [Float]?
    /// How deep the rankings are that hybrid fuses: what stands lower adds too little to matter.
    var fusionDepth = 100

    /// What a technique found.
    struct Outcome {
        var hits: [Hit]
        /// What the technique could not do as it should, in a word; empty when all is well.
        var degraded: [String] = []
    }

    /// - Parameter terms: the query as the analyzer gives it.
    func retrieve(
        _ technique: Technique, terms: [String], limit: Int, selection: DocumentSelection
    ) throws(IndexError) -> Outcome {
        switch technique {
        case .bm25:
            return Outcome(hits: try self.lexical(terms, limit: limit, selection))
        case .basic:
            guard self.index.settings.dimensions > 0 else {
                return Outcome(
                    hits: try self.lexical(terms, limit: limit, selection), degraded: ["no_vectors_in_index"])
            }
            return Outcome(hits: try self.dense(terms, limit: limit, selection))
        case .hybrid:
            let depth = max(limit, self.fusionDepth)
            let rankings = [
                try self.lexical(terms, limit: depth, selection),
                try self.dense(terms, limit: depth, selection),
            ]
            let hits = RankFusion(parameters: self.parameters.fusion).fuse(rankings, limit: limit)
            return Outcome(
                hits: hits, degraded: self.index.settings.dimensions > 0 ? [] : ["no_vectors_in_index"])
        }
    }

    private func lexical(
        _ terms: [String], limit: Int, _ selection: DocumentSelection
    ) throws(IndexError) -> [Hit] {
        try BM25(index: self.index, parameters: self.parameters.bm25)
            .search(terms, limit: limit, selection: selection)
    }

    private func dense(
        _ terms: [String], limit: Int, _ selection: DocumentSelection
    ) throws(IndexError) -> [Hit] {
        let search = DenseSearch(index: self.index)
        let folded = self.queryVector == nil ? try search.vector(of: terms) : nil
        guard let vector = self.queryVector ?? folded else { return [] }
        return try search.search(vector, limit: limit, selection: selection)
    }
}
