/// The terms of a query that a text is searched for, each with its weight and a number of its own.
///
/// Texts are searched as they are read: only a word that begins as one of the terms does is made a String and
/// stemmed (no rule of the stemmer touches the first letter), which leaves about one word in five.
struct QueryTerms {
    /// Some of the terms, as bits.
    typealias Subset = UInt64

    /// Longer queries are judged by their weightiest terms.
    private static let maximumCount = 64

    private var numbers: [String: Int] = [:]
    private var weights: [Double] = []
    private var begins = [Bool](repeating: false, count: 256)
    private var analyzer = TextAnalyzer()
    /// The weight of all terms.
    let total: Double

    init(_ weights: [String: Double]) {
        let heaviest = weights.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(Self.maximumCount)
        for (term, weight) in heaviest {
            self.numbers[term] = self.weights.count
            self.weights.append(weight)
            if let first = term.utf8.first { self.begins[Int(first)] = true }
        }
        self.total = self.weights.reduce(0, +)
    }

    /// Which terms stand in a part of a text, and how many words that part has.
    mutating func find(in bytes: [UInt8], range: Range<Int>? = nil) -> (terms: Subset, words: Int) {
        var tokenizer = Tokenizer(bytes, in: range)
        var found: Subset = 0
        var words = 0
        while tokenizer.advance() {
            words += 1
            guard self.begins[Int(tokenizer.firstByte)],
                let term = self.analyzer.term(of: tokenizer.text), let number = self.numbers[term]
            else { continue }
            found |= 1 << Subset(number)
        }
        return (found, words)
    }

    func weight(of subset: Subset) -> Double {
        var rest = subset
        var sum = 0.0
        while rest != 0 {
            sum += self.weights[rest.trailingZeroBitCount]
            rest &= rest - 1
        }
        return sum
    }
}
