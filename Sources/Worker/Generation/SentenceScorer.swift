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
        var matched: QueryTerms.Subset
    }

    /// What a term of the query is worth when it stands in the title or a heading only.
    private static let headingShare = 0.5
    /// What each rank below the first takes from a sentence.
    private static let rankPenalty = 0.06
    /// A sentence much longer than this, in words, is diluted.
    private static let usualLength = 30.0
    /// Fewer words are a label or a stump rather than a statement.
    private static let leastLength = 6.0
    /// A row of a table says less by itself than a sentence does.
    private static let tableRowShare = 0.7

    private var terms: QueryTerms

    /// - Parameter weights: the query's terms and what each is worth.
    init(weights: [String: Double]) { self.terms = QueryTerms(weights) }

    mutating func candidates(in chunks: [RetrievedChunk]) -> [Candidate] {
        var candidates: [Candidate] = []
        for (number, chunk) in chunks.enumerated() {
            self.rate(chunk, rank: number, into: &candidates)
        }
        return candidates
    }

    private mutating func rate(_ chunk: RetrievedChunk, rank: Int, into candidates: inout [Candidate]) {
        let headings = self.terms.find(in: Array((chunk.title + "\n" + chunk.section).utf8)).terms
        var isFirst = true
        for unit in TextUnits.split(chunk.content, format: chunk.format) {
            guard unit.kind == .sentence || unit.kind == .tableRow else { continue }
            let range = Self.withoutMarker(chunk.content, unit.range)
            let found = self.terms.find(in: chunk.content, range: range)
            // Under "Installation", the first sentence answers how to install without saying the word.
            let isLead = isFirst && headings != 0
            isFirst = false
            guard found.terms != 0 || isLead else { continue }
            let own = self.terms.weight(of: found.terms)
            let fromHeadings = self.terms.weight(of: headings & ~found.terms)
            let coverage = (own + Self.headingShare * fromHeadings) / self.terms.total
            let form = unit.kind == .tableRow ? Self.tableRowShare : 1
            candidates.append(
                Candidate(
                    chunk: rank, range: range, coverage: coverage,
                    score: coverage * form * Self.form(words: found.words, rank: rank), matched: found.terms))
        }
    }

    /// What length and place leave of a sentence's worth.
    private static func form(words: Int, rank: Int) -> Double {
        let words = Double(words)
        let brevity = min(1, words / self.leastLength)
        let dilution = 1 / (1 + max(0, words - self.usualLength) / (3 * self.usualLength))
        return brevity * dilution / (1 + self.rankPenalty * Double(rank))
    }

    /// The sentence without the bullet, number or quotation mark of its line.
    private static func withoutMarker(_ content: [UInt8], _ range: Range<Int>) -> Range<Int> {
        var start =
            ItemMarkers.marker(in: content, at: range.lowerBound, end: range.upperBound)?.upperBound
            ?? range.lowerBound
        while start < range.upperBound,
            content[start] == UInt8(ascii: ">") || UTF8Text.isSpace(content[start])
        {
            start += 1
        }
        return start..<range.upperBound
    }
}
