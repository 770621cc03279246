/// Turns text into the terms that are indexed and looked up: words, less stop words, as stems.
///
/// The same analysis is used for documents, titles, queries and sentences of an answer; it is part of the
/// index format, since a query analysed in another way would miss.
struct TextAnalyzer {
    /// Written into the index; a change of the analysis changes it, so that old indexes are rebuilt.
    static let version = 1

    private var stemmer = PorterStemmer()

    /// Calls back with each term and the place of its word.
    mutating func forEachTerm(
        in bytes: [UInt8], range: Range<Int>? = nil, _ body: (_ term: String, _ word: Range<Int>) -> Void
    ) {
        var tokenizer = Tokenizer(bytes, in: range)
        while tokenizer.advance() {
            if let term = self.term(of: tokenizer.text) { body(term, tokenizer.range) }
        }
    }

    /// The term of a word as the tokenizer writes it; nil for a stop word.
    mutating func term(of word: String) -> String? {
        if StopWords.english.contains(word) { return nil }
        // Two letters hold no suffix, but names: os, us, ps.
        let term = word.utf8.count > 2 ? self.stemmer.stem(word) : word
        return term.isEmpty ? nil : term
    }

    /// The terms of a text, in order, with repetitions.
    mutating func terms(of text: String) -> [String] {
        var terms: [String] = []
        self.forEachTerm(in: Array(text.utf8)) { term, _ in terms.append(term) }
        return terms
    }
}
