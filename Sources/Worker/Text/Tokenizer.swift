/// A word of a text, normalised for comparison.
struct Token: Equatable {
    /// Lower case, without diacritics of the Latin script and without apostrophes.
    var text: String
    /// Where it stands in the source, in bytes.
    var range: Range<Int>
}

/// Splits UTF-8 text into words.
///
///     The re-entry vehicle's Mach-number is 2.5, naïvely.
///     the re entry vehicle   mach number is 2.5  naively
///
/// A word is a run of letters and digits of any script. Hyphens, underscores and slashes separate, so that
/// `max_concurrency` is found by "concurrency". An apostrophe inside a word joins (`don't` → `dont`) and a
/// possessive `'s` goes. A full stop between digits belongs to the number. Han and Kana scalars, which are
/// written without spaces, are words of their own. A run longer than `longestWord` bytes is no language
/// (a key, base64) and is dropped.
struct Tokenizer {
    static let longestWord = 64

    private let bytes: [UInt8]
    private let end: Int
    private var position: Int
    private var word: [UInt8] = []
    private var wordStart = 0

    /// - Parameter range: the part of the text to split; the whole when nil.
    init(_ bytes: [UInt8], in range: Range<Int>? = nil) {
        self.bytes = bytes
        self.position = range?.lowerBound ?? 0
        self.end = range?.upperBound ?? bytes.count
    }

    /// All words of a text.
    static func tokens(of text: String) -> [Token] {
        var tokenizer = Tokenizer(Array(text.utf8))
        var tokens: [Token] = []
        while let token = tokenizer.next() { tokens.append(token) }
        return tokens
    }

    /// The next word; nil at the end of the text.
    mutating func next() -> Token? {
        guard self.advance() else { return nil }
        return Token(text: self.text, range: self.range)
    }

    /// Goes to the next word, without making a String of it.
    ///
    /// - Returns: false at the end of the text.
    mutating func advance() -> Bool {
        while self.position < self.end {
            self.word.removeAll(keepingCapacity: true)
            self.wordStart = self.position
            let isWhole = self.takeWord()
            guard !self.word.isEmpty else {
                if isWhole { self.stepOver() }
                continue
            }
            if self.word.count <= Self.longestWord { return true }
        }
        return false
    }

    /// The word that `advance` went to.
    var text: String { String(decoding: self.word, as: UTF8.self) }

    /// The first two bytes of its text; 0 where it has none.
    var firstBytes: (UInt8, UInt8) { (self.word.first ?? 0, self.word.count > 1 ? self.word[1] : 0) }

    /// Where it stands in the source, in bytes.
    var range: Range<Int> { self.wordStart..<self.position }

    /// Takes scalars into `word` up to one that is none of a word's.
    ///
    /// - Returns: whether the scalar at the position is still to be stepped over.
    private mutating func takeWord() -> Bool {
        while self.position < self.end {
            let byte = self.bytes[self.position]
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                self.word.append(byte)
                self.position += 1
            case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                self.word.append(byte | 0x20)
                self.position += 1
            case UInt8(ascii: "'"):
                guard self.joinAtApostrophe(width: 1) else { return true }
            case UInt8(ascii: "."):
                guard self.isDigit(self.position - 1), self.isDigit(self.position + 1), !self.word.isEmpty
                else { return true }
                self.word.append(byte)
                self.position += 1
            case 0x80...:
                guard self.takeScalar() else { return true }
                if self.isIdeograph(before: self.position) { return false }
            default:
                return true
            }
        }
        return false
    }

    /// At an apostrophe: steps over it when letters follow (and over a possessive `s` as well).
    private mutating func joinAtApostrophe(width: Int) -> Bool {
        let after = self.position + width
        guard !self.word.isEmpty, self.isLetter(after) else { return false }
        if self.bytes[after] | 0x20 == UInt8(ascii: "s"), !self.isWordByte(after + 1) {
            self.position = after + 1
            return true
        }
        self.position = after
        return true
    }

    /// At a scalar outside of ASCII: takes it when it is one of a word's.
    private mutating func takeScalar() -> Bool {
        guard let (scalar, width) = UTF8Text.scalar(self.bytes, at: self.position) else { return false }
        switch scalar.value {
        case 0x2019:
            return self.joinAtApostrophe(width: width)
        case 0xAD, 0x0300...0x036F:  // soft hyphen, combining marks: part of the word, but not of its text
            guard !self.word.isEmpty else { return false }
        case 0xC0...0x17F where Self.latinFolding[Int(scalar.value) - 0xC0] != UInt8(ascii: " "):
            self.word.append(Self.latinFolding[Int(scalar.value) - 0xC0])
        default:
            guard scalar.properties.isAlphabetic || scalar.properties.numericType != nil else { return false }
            if Self.isIdeograph(scalar), !self.word.isEmpty { return false }
            self.word.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
        self.position += width
        return true
    }

    private mutating func stepOver() {
        guard self.position < self.end else { return }
        self.position += max(1, UTF8Text.scalar(self.bytes, at: self.position)?.width ?? 1)
    }
}

extension Tokenizer {
    /// The letters of U+00C0 to U+017F without their diacritics; a space where the letter stands for itself.
    private static let latinFolding = Array(
        ("aaaaaa ceeeeiiii nooooo ouuuuy  aaaaaa ceeeeiiii nooooo ouuuuy y"
            + "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii  jjkk lllllllll"
            + "lnnnnnnn  oooooo  rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs").utf8)

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x3041...0x30FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF: true
        default: false
        }
    }

    private func isIdeograph(before end: Int) -> Bool {
        UTF8Text.scalar(self.bytes, at: self.wordStart).map { Self.isIdeograph($0.scalar) } ?? false
    }

    private func isDigit(_ index: Int) -> Bool {
        index >= 0 && index < self.end && self.bytes[index] &- UInt8(ascii: "0") < 10
    }

    private func isLetter(_ index: Int) -> Bool {
        index < self.end
            && (self.bytes[index] >= 0x80 || (self.bytes[index] | 0x20) &- UInt8(ascii: "a") < 26)
    }

    private func isWordByte(_ index: Int) -> Bool { self.isLetter(index) || self.isDigit(index) }
}
