import Protocol
import Testing

@testable import Worker

@Suite struct TokenizerTests {
    @Test(arguments: [
        ("", []),
        ("  --  ", []),
        ("The re-entry vehicle's Mach-number", ["the", "re", "entry", "vehicle", "mach", "number"]),
        ("max_concurrency rag.execute", ["max", "concurrency", "rag", "execute"]),
        ("Version 6.3. Then 2.5, or .5", ["version", "6.3", "then", "2.5", "or", "5"]),
        ("don't can’t dogs'", ["dont", "cant", "dogs"]),
        ("Café Ångström Łódź naïve", ["cafe", "angstrom", "lodz", "naive"]),
        ("cafe\u{301} straße ΑΒΓ Привет", ["cafe", "straße", "αβγ", "привет"]),
        ("日本x go", ["日", "本", "x", "go"]),
        ("x日 ½ ²", ["x", "日", "½", "²"]),
    ])
    func splitsIntoNormalisedWords(text: String, words: [String]) {
        #expect(Tokenizer.tokens(of: text).map(\.text) == words)
    }

    @Test func rangesPointAtTheSource() {
        let text = "Über die Brücke, l'eau."
        let bytes = Array(text.utf8)
        let words = Tokenizer.tokens(of: text).map { String(decoding: bytes[$0.range], as: UTF8.self) }
        #expect(words == ["Über", "die", "Brücke", "l'eau"])
    }

    @Test func dropsRunsThatAreNoWords() {
        let key = String(repeating: "a1", count: 40)
        #expect(Tokenizer.tokens(of: "key \(key) end").map(\.text) == ["key", "end"])
    }
}

@Suite struct PorterStemmerTests {
    @Test(arguments: [
        ("caresses", "caress"), ("ponies", "poni"), ("agreed", "agre"), ("hopping", "hop"),
        ("filing", "file"),
        ("relational", "relat"), ("sky", "sky"), ("controll", "control"), ("probate", "probat"),
        ("2.5", "2.5"),
    ])
    func stemsTheExamplesOfThePaper(word: String, stem: String) {
        var stemmer = PorterStemmer()
        #expect(stemmer.stem(word) == stem)
    }

    @Test(.enabled(if: TestData.isPresent, "\(TestData.absence)"))
    func stemsTheWholeVocabularyOfItsAuthor() throws {
        var stemmer = PorterStemmer()
        var wrong: [String] = []
        var count = 0
        for line in try TestData.text("porter/voc-output.tsv").split(separator: "\n") {
            let pair = line.split(separator: "\t", omittingEmptySubsequences: false)
            let stem = stemmer.stem(String(pair[0]))
            if stem != pair[1] { wrong.append("\(pair[0]): \(stem), not \(pair[1])") }
            count += 1
        }
        #expect(count > 23_000)
        #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20))")
    }
}

@Suite struct QueryTermsTests {
    /// What may stand before a suffix: all words of up to three of these letters.
    private static let stems: [String] = {
        let letters = Array("aeiybstz")
        let two = letters.flatMap { first in letters.map { "\(first)\($0)" } }
        return letters.map { "\($0)" } + two + two.flatMap { word in letters.map { "\(word)\($0)" } }
    }()

    private static let suffixes = [
        "", "s", "es", "ies", "sses", "ed", "eed", "ing", "y", "e", "ll", "ational", "izer", "eli", "ative",
        "ical",
        "ement", "ion", "ive",
    ]

    /// Words are passed over by their beginning, before they are stemmed.
    @Test func findsEveryWordByTheTermThatIsItsStem() {
        var analyzer = TextAnalyzer()
        var missed: [String] = []
        var count = 0
        for word in Self.stems.flatMap({ stem in Self.suffixes.map { stem + $0 } }) {
            guard let term = analyzer.term(of: word) else { continue }
            count += 1
            var terms = QueryTerms([term: 1])
            if terms.find(in: Array("x-ray \(word)".utf8)).terms != 1 { missed.append("\(word): \(term)") }
        }
        #expect(count > 10_000)
        #expect(missed.isEmpty, "\(missed.count): \(missed.prefix(20))")
    }

    @Test func findsWordsOfOneLetterAndOfOtherScripts() {
        for word in ["q", "42", "é", "我", "ßa"] {
            guard let term = Tokenizer.tokens(of: word).first?.text else { continue }
            var terms = QueryTerms([term: 1])
            #expect(terms.find(in: Array("a \(word) z".utf8)).terms == 1, "\(word)")
        }
    }

    @Test func findsNoOther() {
        var terms = QueryTerms(["fox": 1, "red": 2])
        let found = terms.find(in: Array("The foxglove reads fo re f r.".utf8))
        #expect(found.terms == 0 && found.words == 7)
    }
}

@Suite struct SentenceSegmenterTests {
    static func split(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        return SentenceSegmenter.sentences(of: bytes).map { String(decoding: bytes[$0], as: UTF8.self) }
    }

    @Test(.enabled(if: TestData.isPresent, "\(TestData.absence)"))
    func followsTheGoldenRules() throws {
        var failed: [String] = []
        var count = 0
        for line in try TestData.text("sentences/golden-rules-en.jsonl").split(separator: "\n") {
            let rule = try JSONValue(parsing: String(line))
            let text = try #require(rule["text"]?.stringValue)
            let expected = rule["sentences"]?.arrayValue?.compactMap(\.stringValue)
            if Self.split(text) != expected { failed.append("\(text) → \(Self.split(text))") }
            count += 1
        }
        #expect(count == 48)
        #expect(failed.isEmpty, "\(failed.joined(separator: "\n"))")
    }

    @Test(arguments: [
        ("", []),
        ("   \n ", []),
        ("no end", ["no end"]),
        (
            "lift in a slipstream . an experimental study . end",
            ["lift in a slipstream .", "an experimental study .", "end"]
        ),
        ("See Fig. 3 for it. It is e.g. this.", ["See Fig. 3 for it.", "It is e.g. this."]),
        ("- one\n- two. Three\n- four", ["- one", "- two.", "Three", "- four"]),
        ("Über. Äpfel. Ende", ["Über.", "Äpfel.", "Ende"]),
        ("It takes 5 ms. Ms. Smith waits, e.g. Then.", ["It takes 5 ms.", "Ms. Smith waits, e.g. Then."]),
        ("It exits `0`. Then it stops.", ["It exits `0`.", "Then it stops."]),
    ])
    func splitsProse(text: String, sentences: [String]) {
        #expect(Self.split(text) == sentences)
    }
}
