/// Rates the sentences of retrieved chunks by how much of a query they hold.
struct SentenceScorer {
    /// A sentence that may be part of an answer.
    struct Candidate {
        var chunk: Int
        var range: Range<Int>
        /// The share of the query's weight that the sentence and its headings hold.
        var coverage: Double
        var score: Double
        /// The query's terms in it.
        var matched: Set<String>
        /// All its terms.
        var terms: Set<String>

        /// Whether the other says the same: most of its terms stand here, too.
        func repeats(_ other: Candidate) -> Bool {
            if self.chunk == other.chunk, self.range.overlaps(other.range) { return true }
            let shared = self.terms.intersection(other.terms).count
            return Double(shared) > 0.7 * Double(min(self.terms.count, other.terms.count))
        }
    }

    /// What a term of the query is worth when it stands in the title or a heading only.
    private static let headingShare = 0.5
    /// What each rank below the first takes from a sentence.
    private static let rankPenalty = 0.06
    /// A sentence much longer than this, in terms, is diluted.
    private static let usualLength = 18.0

    private let weights: [String: Double]
    private let total: Double
    private var analyzer = TextAnalyzer()

    init(weights: [String: Double]) {
        self.weights = weights
        self.total = weights.values.reduce(0, +)
    }

    mutating func candidates(in chunks: [RetrievedChunk]) -> [Candidate] {
        var candidates: [Candidate] = []
        for (number, chunk) in chunks.enumerated() {
            let headings = Set(self.analyzer.terms(of: chunk.title + "\n" + chunk.section))
            for unit in TextUnits.split(chunk.content, format: chunk.format) {
                let range = Self.withoutMarker(chunk.content, unit.range)
                guard unit.kind == .sentence || unit.kind == .tableRow,
                    let candidate = self.rate(chunk.content, range, headings: headings, chunk: number)
                else { continue }
                candidates.append(candidate)
            }
        }
        return candidates
    }

    /// nil for a sentence that holds no term of the query.
    private mutating func rate(
        _ content: [UInt8], _ range: Range<Int>, headings: Set<String>, chunk: Int
    ) -> Candidate? {
        var terms: Set<String> = []
        var length = 0
        self.analyzer.forEachTerm(in: content, range: range) { term, _ in
            terms.insert(term)
            length += 1
        }
        let matched = terms.filter { self.weights[$0] != nil }
        guard self.total > 0, !matched.isEmpty else { return nil }
        let own = matched.reduce(0) { $0 + (self.weights[$1] ?? 0) }
        let fromHeadings = headings.subtracting(matched).reduce(0) { $0 + (self.weights[$1] ?? 0) }
        let coverage = (own + Self.headingShare * fromHeadings) / self.total
        // Fewer than four terms are a label or a stump rather than a statement.
        let brevity = min(1, Double(length) / 4)
        let dilution = 1 / (1 + max(0, Double(length) - Self.usualLength) / (3 * Self.usualLength))
        let depth = 1 / (1 + Self.rankPenalty * Double(chunk))
        return Candidate(
            chunk: chunk, range: range, coverage: coverage, score: coverage * brevity * dilution * depth,
            matched: matched, terms: terms)
    }

    /// The sentence without the bullet, number or quotation mark of its line.
    private static func withoutMarker(_ content: [UInt8], _ range: Range<Int>) -> Range<Int> {
        let marker = ItemMarkers.find(in: content, range: range).first
        var start = range.lowerBound
        if let marker, marker.lowerBound == start { start = marker.upperBound }
        while start < range.upperBound,
            content[start] == UInt8(ascii: ">") || UTF8Text.isSpace(content[start])
        {
            start += 1
        }
        return start..<range.upperBound
    }
}
