/// How good a ranking is, by trec_eval's definitions.
struct RankingMeasures: Equatable {
    var ndcgCut10 = 0.0
    var map = 0.0
    var recall100 = 0.0

    init() {}

    /// - Parameters:
    ///   - ranking: documents, the best first.
    ///   - grades: the relevant ones; each above 0.
    init(ranking: [String], grades: [String: Int]) {
        guard !grades.isEmpty else { return }
        self.ndcgCut10 = Self.discountedGain(ranking.prefix(10).map { grades[$0] ?? 0 })
        let ideal = Self.discountedGain(Array(grades.values.sorted(by: >).prefix(10)))
        self.ndcgCut10 /= ideal
        var found = 0
        for (position, document) in ranking.enumerated() where grades[document] != nil {
            found += 1
            self.map += Double(found) / Double(position + 1)
            if position < 100 { self.recall100 += 1 }
        }
        self.map /= Double(grades.count)
        self.recall100 /= Double(grades.count)
    }

    /// Σ grade / log2(rank + 1) (Järvelin & Kekäläinen 2002, as trec_eval computes it).
    private static func discountedGain(_ grades: [Int]) -> Double {
        grades.enumerated().reduce(0) { $0 + Double($1.element) / MathFunctions.log2(Double($1.offset + 2)) }
    }

    /// The mean over queries.
    static func mean(_ measures: [RankingMeasures]) -> RankingMeasures {
        var mean = RankingMeasures()
        let count = Double(max(measures.count, 1))
        for measure in measures {
            mean.ndcgCut10 += measure.ndcgCut10 / count
            mean.map += measure.map / count
            mean.recall100 += measure.recall100 / count
        }
        return mean
    }
}
