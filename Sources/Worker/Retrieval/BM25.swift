/// Lexical ranking.
///
/// S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009. For each term
/// of the query,
///
///     idf · tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / average length))
///
/// is added to the score of every chunk that holds it. tf and length count a word of the title several
/// times (`titleWeight`), which is their way of weighting fields (§3.6): before tf is saturated, not after.
struct BM25 {
    struct Parameters: Equatable {
        /// How soon further occurrences stop to count.
        var k1 = 1.5
        /// How much long chunks are held back: 0 not at all, 1 in full proportion.
        var b = 0.6
    }

    let index: SearchIndex
    var parameters = Parameters()

    /// The best chunks for some terms.
    ///
    /// - Parameters:
    ///   - terms: as the analyzer gives them; a repeated term counts as often.
    ///   - selection: the documents that may be found.
    /// - Complexity: O(postings of the terms + chunks).
    func search(
        _ terms: [String], limit: Int, selection: DocumentSelection
    ) throws(IndexError) -> [Hit] {
        var scores = [Float](repeating: 0, count: self.index.chunks.count)
        var counts: [String: Int] = [:]
        for term in terms { counts[term, default: 0] += 1 }
        // A fixed order, so that rounding is the same in every run.
        for (term, count) in counts.sorted(by: { $0.key < $1.key }) {
            guard let record = try self.index.term(term) else { continue }
            try self.add(record, weight: Double(count), to: &scores)
        }
        var hits = TopHits(limit: limit)
        for (chunk, score) in scores.enumerated() where score > 0 {
            guard try selection.contains(chunk: chunk, of: self.index) else { continue }
            hits.insert(Hit(chunk: UInt32(chunk), score: score))
        }
        return hits.sorted
    }

    private func add(_ term: TermRecord, weight: Double, to scores: inout [Float]) throws(IndexError) {
        let count = Int(term.postingCount)
        let postings = try self.index.postings.slice(Int(term.firstPosting), count: count)
        let idf = self.index.inverseDocumentFrequency(chunksWithTerm: count)
        let factor = Float(idf * weight * (self.parameters.k1 + 1))
        let base = Float(self.parameters.k1 * (1 - self.parameters.b))
        let slope = Float(self.parameters.k1 * self.parameters.b / max(self.index.settings.averageLength, 1))
        for position in 0..<count {
            let posting = postings.loadUnaligned(
                fromByteOffset: position * MemoryLayout<Posting>.stride, as: Posting.self)
            let chunk = try self.index.chunks.record(at: Int(posting.chunk))
            let frequency = Float(posting.frequency)
            scores[Int(posting.chunk)] +=
                factor * frequency / (frequency + base + slope * Float(chunk.length))
        }
    }
}
