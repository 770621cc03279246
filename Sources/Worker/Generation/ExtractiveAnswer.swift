/// An answer made of sentences of the retrieved chunks, word for word, with the place of each.
///
/// No model: a sentence is good when it holds the query's terms, rare ones above all. Because every sentence
/// is quoted, the answer says nothing that the documents do not say.
struct ExtractiveAnswer {
    /// A sentence of the answer.
    struct Citation: Equatable {
        /// 1 for the first.
        var number: Int
        /// Index into the chunks that were given.
        var chunk: Int
        /// Its bytes in the content of the chunk.
        var range: Range<Int>
    }

    static let generator = "extractive"
    static let nothingRelevant = "Nothing relevant to this question was found in the indexed documents."

    /// The text in the pieces in which it grew: a sentence each, with its citation.
    private(set) var parts: [String] = []
    private(set) var citations: [Citation] = []

    var text: String { self.parts.joined() }

    /// Bounds on what is said.
    struct Options: Equatable {
        var sentences = 3
        /// Words at most; nil: as many as the sentences have.
        var maximumWords: Int?
        /// The share of the query's weight that a sentence must hold to be an answer at all.
        var leastCoverage = 0.3
        /// A further sentence must be at least this good, compared with the best.
        var leastShare = 0.55
    }

    /// - Parameters:
    ///   - chunks: the best first.
    ///   - weights: the query's terms and what each is worth (its inverse document frequency).
    init(_ chunks: [RetrievedChunk], weights: [String: Double], options: Options = Options()) {
        var scorer = SentenceScorer(weights: weights)
        let candidates = scorer.candidates(in: chunks)
            .filter { $0.coverage >= options.leastCoverage }
            .sorted { $0.score > $1.score }
        guard let best = candidates.first else {
            self.parts = [Self.nothingRelevant]
            return
        }
        let chosen = Self.choose(
            candidates, of: chunks, atLeast: best.score * options.leastShare, count: options.sentences)
        var room = options.maximumWords ?? Int.max
        for candidate in chosen where room > 0 {
            let content = chunks[candidate.chunk].content
            let range = Self.cut(candidate.range, of: content, toWords: room)
            room -= Self.wordCount(content, range)
            let citation = Citation(number: self.citations.count + 1, chunk: candidate.chunk, range: range)
            self.citations.append(citation)
            let space = self.parts.isEmpty ? "" : " "
            self.parts.append("\(space)\(Self.displayed(content, range)) [\(citation.number)]")
        }
    }

    /// The best sentences, none that repeats another; one that holds nothing new must be the better for it.
    private static func choose(
        _ candidates: [SentenceScorer.Candidate], of chunks: [RetrievedChunk], atLeast minimum: Double,
        count: Int
    ) -> [SentenceScorer.Candidate] {
        var chosen: [SentenceScorer.Candidate] = []
        var said: [Set<String>] = []
        var covered: QueryTerms.Subset = 0
        for candidate in candidates where candidate.score >= minimum {
            guard chosen.count < count else { break }
            let isNew = candidate.matched & ~covered != 0
            guard isNew || candidate.score * self.repetitionShare >= minimum else { continue }
            let words = self.words(chunks[candidate.chunk].content, candidate.range)
            guard !said.contains(where: { self.areAlike($0, words) }) else { continue }
            chosen.append(candidate)
            said.append(words)
            covered |= candidate.matched
        }
        return chosen
    }

    /// What a sentence is worth that holds no term beyond those of the sentences before it.
    private static let repetitionShare = 0.75

    private static func words(_ content: [UInt8], _ range: Range<Int>) -> Set<String> {
        var tokenizer = Tokenizer(content, in: range)
        var words: Set<String> = []
        while let token = tokenizer.next() { words.insert(token.text) }
        return words
    }

    /// Whether one sentence says what the other does: most of its words stand in it.
    private static func areAlike(_ left: Set<String>, _ right: Set<String>) -> Bool {
        Double(left.intersection(right).count) > 0.7 * Double(min(left.count, right.count))
    }
}

// MARK: - Text

extension ExtractiveAnswer {
    private static func wordCount(_ content: [UInt8], _ range: Range<Int>) -> Int {
        content[range].split(whereSeparator: UTF8Text.isSpace).count
    }

    /// The range up to so many words.
    private static func cut(_ range: Range<Int>, of content: [UInt8], toWords limit: Int) -> Range<Int> {
        let words = content[range].split(whereSeparator: UTF8Text.isSpace)
        guard words.count > limit, limit > 0 else { return range }
        return range.lowerBound..<words[limit - 1].endIndex
    }

    /// The quote on one line, its white space folded.
    private static func displayed(_ content: [UInt8], _ range: Range<Int>) -> String {
        content[range].split(whereSeparator: UTF8Text.isSpace)
            .map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
    }
}
