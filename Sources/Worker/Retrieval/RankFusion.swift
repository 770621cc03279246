/// Reciprocal rank fusion: each ranking gives a chunk weight / (k + rank), ranks from 1.
///
/// Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
/// Methods", SIGIR 2009; k = 60 is theirs. Only ranks count, so that scores of different kinds need no
/// common scale.
struct RankFusion {
    struct Parameters: Equatable {
        var k = 60.0
        /// One weight a ranking, in the order of `fuse`.
        var weights = [1.0, 1.0]
    }

    var parameters = Parameters()

    func fuse(_ rankings: [[Hit]], limit: Int) -> [Hit] {
        var scores: [UInt32: Double] = [:]
        for (ranking, weight) in zip(rankings, self.parameters.weights) where weight > 0 {
            for (position, hit) in ranking.enumerated() {
                scores[hit.chunk, default: 0] += weight / (self.parameters.k + Double(position + 1))
            }
        }
        var hits = TopHits(limit: limit)
        for (chunk, score) in scores { hits.insert(Hit(chunk: chunk, score: Float(score))) }
        return hits.sorted
    }
}
