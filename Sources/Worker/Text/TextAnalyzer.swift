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

/// Words that say nothing about what a text is about.
enum StopWords {
    /// Function words of English, with contractions as the tokenizer writes them.
    static let english = Set(
        """
        a about above after again against all also although am an and another any are arent as at be became \
        because been before being below between both but by came can cannot cant come could couldnt did \
        didnt do does doesnt doing dont down during each else etc few for from further get got had hadnt has \
        hasnt have havent having he her here hers herself hes him himself his how however i id if ill im in \
        indeed into is isnt it its itself ive just lets may me might more most much must my myself no nor not \
        now of off on once one only onto or other our ours ourselves out over own same shall she should \
        shouldnt so some such than that thats the their theirs them themselves then there theres these they \
        theyre this those through thus to too under until up upon us very was wasnt we were werent what whats \
        when where whether which while who whom whose why will with within without wont would wouldnt you \
        your youre yours yourself yourselves
        """.split(separator: " ").map(String.init))
}
