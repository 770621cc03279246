/// The terms of a query that a text is searched for, each with its weight and a number of its own.
///
/// Texts are searched as they are read: only a word that begins as one of the terms does is made a String and
/// stemmed, which leaves about one word in twenty. No rule of the stemmer touches the first letter, and one the second:
/// a final y becomes i (eyed → ei).
struct QueryTerms {
    /// Some of the terms, as bits.
    typealias Subset = UInt64

    /// Longer queries are judged by their weightiest terms.
    private static let maximumCount = 64

    private var numbers: [String: Int] = [:]
    private var weights: [Double] = []
    /// By the first byte of a word: the second bytes that a term may have, each as the bit of its lowest six bits.
    private var seconds = [UInt64](repeating: 0, count: 256)
    private var analyzer = TextAnalyzer()
    /// The weight of all terms.
    let total: Double

    init(_ weights: [String: Double]) {
        let heaviest = weights.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(Self.maximumCount)
        for (term, weight) in heaviest {
            self.numbers[term] = self.weights.count
            self.weights.append(weight)
        }
        self.total = self.weights.reduce(0, +)
        for (term, _) in heaviest { self.noteBeginning(of: Array(term.utf8.prefix(2))) }
    }

    private mutating func noteBeginning(of term: [UInt8]) {
        guard let first = term.first else { return }
        guard term.count > 1 else {
            // All that was behind the first letter may have gone as a suffix.
            self.seconds[Int(first)] = .max
            return
        }
        self.seconds[Int(first)] |= Self.bit(of: term[1])
        if term[1] == UInt8(ascii: "i") { self.seconds[Int(first)] |= Self.bit(of: UInt8(ascii: "y")) }
    }

    private static func bit(of byte: UInt8) -> UInt64 { 1 << UInt64(byte & 63) }

    /// Which terms stand in a part of a text, and how many words that part has.
    mutating func find(in bytes: [UInt8], range: Range<Int>? = nil) -> (terms: Subset, words: Int) {
        var tokenizer = Tokenizer(bytes, in: range)
        var found: Subset = 0
        var words = 0
        while tokenizer.advance() {
            words += 1
            let (first, second) = tokenizer.firstBytes
            guard self.seconds[Int(first)] & Self.bit(of: second) != 0,
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
