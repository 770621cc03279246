/// The Porter stemmer for English: `connections`, `connecting` and `connected` become `connect`.
///
/// M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, as printed: without the later
/// departures (`logi`, `bli`, short words left alone). A stem is written as `[C](VC)^m[V]`, C and V being
/// runs of consonants and vowels; the rules ask for the measure `m` of what stands before a suffix.
///
///     relational  →(2) relate  →(5) relat        m("rel") = 1
struct PorterStemmer {
    private var word: [UInt8] = []

    /// The stem of a word in lower case. Words with other bytes than `a…z` and `'` are left alone.
    ///
    /// - Complexity: O(length); no allocation for stems of up to 15 bytes.
    mutating func stem(_ text: String) -> String {
        guard text.utf8.allSatisfy(Self.isStemmable) else { return text }
        self.word.removeAll(keepingCapacity: true)
        self.word.append(contentsOf: text.utf8)
        self.stripPlural()
        self.stripPastAndProgressive()
        self.replaceFinalY()
        self.replaceFirst(of: Self.doubleSuffixes, measureAbove: 0)
        self.replaceFirst(of: Self.adjectiveSuffixes, measureAbove: 0)
        self.stripLastSuffix()
        self.stripFinalE()
        return String(decoding: self.word, as: UTF8.self)
    }

    private static func isStemmable(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "a") < 26 || byte == UInt8(ascii: "'")
    }
}

// MARK: - Conditions

extension PorterStemmer {
    private func isConsonant(_ index: Int) -> Bool {
        switch self.word[index] {
        case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"), UInt8(ascii: "u"):
            false
        case UInt8(ascii: "y"):
            index == 0 || !self.isConsonant(index - 1)
        default:
            true
        }
    }

    /// The number of vowel–consonant changes in the first `length` letters.
    private func measure(_ length: Int) -> Int {
        var count = 0
        var afterVowel = false
        for index in 0..<length {
            let isConsonant = self.isConsonant(index)
            if isConsonant, afterVowel { count += 1 }
            afterVowel = !isConsonant
        }
        return count
    }

    private func hasVowel(_ length: Int) -> Bool {
        (0..<length).contains { !self.isConsonant($0) }
    }

    private var endsInDoubleConsonant: Bool {
        let count = self.word.count
        return count >= 2 && self.word[count - 1] == self.word[count - 2] && self.isConsonant(count - 1)
    }

    /// Consonant, vowel, consonant at the end of the first `length` letters, the last none of w, x, y: `hop`.
    private func endsInShortSyllable(_ length: Int) -> Bool {
        guard length >= 3, self.isConsonant(length - 1), !self.isConsonant(length - 2),
            self.isConsonant(length - 3)
        else { return false }
        let last = self.word[length - 1]
        return last != UInt8(ascii: "w") && last != UInt8(ascii: "x") && last != UInt8(ascii: "y")
    }

    /// The length of what stands before the suffix; nil when the word does not end in it.
    private func stemLength(before suffix: StaticString) -> Int? {
        let suffixLength = suffix.utf8CodeUnitCount
        let length = self.word.count - suffixLength
        guard length >= 0 else { return nil }
        // From the end, where most suffixes already differ.
        var index = suffixLength - 1
        while index >= 0 {
            guard self.word[length &+ index] == suffix.utf8Start[index] else { return nil }
            index &-= 1
        }
        return length
    }

    private mutating func replaceSuffix(from length: Int, with replacement: StaticString) {
        self.word.removeSubrange(length...)
        replacement.withUTF8Buffer { self.word.append(contentsOf: $0) }
    }
}

// MARK: - Steps

extension PorterStemmer {
    private struct Rule {
        let suffix: StaticString
        let replacement: StaticString

        init(_ suffix: StaticString, _ replacement: StaticString) {
            self.suffix = suffix
            self.replacement = replacement
        }
    }

    /// Step 1a: caresses → caress, ponies → poni, cats → cat.
    private mutating func stripPlural() {
        if let length = self.stemLength(before: "sses") ?? self.stemLength(before: "ies") {
            self.word.removeSubrange((length + (self.word[length] == UInt8(ascii: "s") ? 2 : 1))...)
        } else if self.stemLength(before: "ss") == nil, let length = self.stemLength(before: "s") {
            self.word.removeSubrange(length...)
        }
    }

    /// Step 1b: agreed → agree, plastered → plaster, motoring → motor, hopping → hop, filing → file.
    private mutating func stripPastAndProgressive() {
        if let length = self.stemLength(before: "eed") {
            if self.measure(length) > 0 { self.word.removeLast() }
            return
        }
        guard let length = self.stemLength(before: "ed") ?? self.stemLength(before: "ing"),
            self.hasVowel(length)
        else { return }
        self.word.removeSubrange(length...)
        let needsE =
            self.stemLength(before: "at") != nil || self.stemLength(before: "bl") != nil
            || self.stemLength(before: "iz") != nil
        if needsE {
            self.word.append(UInt8(ascii: "e"))
        } else if self.endsInDoubleConsonant {
            let last = self.word[self.word.count - 1]
            if last != UInt8(ascii: "l"), last != UInt8(ascii: "s"), last != UInt8(ascii: "z") {
                self.word.removeLast()
            }
        } else if self.measure(length) == 1, self.endsInShortSyllable(self.word.count) {
            self.word.append(UInt8(ascii: "e"))
        }
    }

    /// Step 1c: happy → happi, but sky stays.
    private mutating func replaceFinalY() {
        guard let length = self.stemLength(before: "y"), self.hasVowel(length) else { return }
        self.word[length] = UInt8(ascii: "i")
    }

    /// Step 2: suffixes made of two, the longest first where one ends another.
    private static let doubleSuffixes = [
        Rule("ational", "ate"), Rule("tional", "tion"), Rule("enci", "ence"), Rule("anci", "ance"),
        Rule("izer", "ize"), Rule("abli", "able"), Rule("alli", "al"), Rule("entli", "ent"), Rule("eli", "e"),
        Rule("ousli", "ous"), Rule("ization", "ize"), Rule("ation", "ate"), Rule("ator", "ate"),
        Rule("alism", "al"), Rule("iveness", "ive"), Rule("fulness", "ful"), Rule("ousness", "ous"),
        Rule("aliti", "al"), Rule("iviti", "ive"), Rule("biliti", "ble"),
    ]

    /// Step 3: electriciti → electric, hopeful → hope, goodness → good.
    private static let adjectiveSuffixes = [
        Rule("icate", "ic"), Rule("ative", ""), Rule("alize", "al"), Rule("iciti", "ic"), Rule("ical", "ic"),
        Rule("ful", ""), Rule("ness", ""),
    ]

    private mutating func replaceFirst(of rules: [Rule], measureAbove minimum: Int) {
        for rule in rules {
            guard let length = self.stemLength(before: rule.suffix) else { continue }
            if self.measure(length) > minimum {
                self.replaceSuffix(from: length, with: rule.replacement)
            }
            return
        }
    }

    /// Step 4: what is left of the suffixes goes after a long stem: revival → reviv, adoption → adopt.
    private mutating func stripLastSuffix() {
        let suffixes: [StaticString] = [
            "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
            "ism",
            "ate", "iti", "ous", "ive", "ize",
        ]
        for suffix in suffixes {
            guard let length = self.stemLength(before: suffix) else { continue }
            if suffix.utf8CodeUnitCount == 3, self.stemLength(before: "ion") != nil {
                guard length > 0 else { return }
                let before = self.word[length - 1]
                guard before == UInt8(ascii: "s") || before == UInt8(ascii: "t") else { return }
            }
            if self.measure(length) > 1 { self.word.removeSubrange(length...) }
            return
        }
    }

    /// Step 5: probate → probat, cease stays; controll → control.
    private mutating func stripFinalE() {
        if let length = self.stemLength(before: "e") {
            let measure = self.measure(length)
            if measure > 1 || (measure == 1 && !self.endsInShortSyllable(length)) { self.word.removeLast() }
        }
        if let length = self.stemLength(before: "ll"), self.measure(length + 1) > 1 { self.word.removeLast() }
    }
}
