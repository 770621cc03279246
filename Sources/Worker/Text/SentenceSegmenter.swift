/// Splits running English text into sentences, as ranges of its bytes.
///
///     At 5 a.m. Mr. Smith left. He said "Go!" and went.
///     └───────────────────────┘ └─────────────────────┘
///
/// Rules, not a model: a run of `.`, `!`, `?` ends a sentence when white space follows and what comes next
/// can begin one. Before that are asked: abbreviations and initials (`Abbreviations`), ellipses, brackets,
/// and markers of enumerated items, which begin a sentence of their own. The text given should be one
/// paragraph; a line that begins with a list marker begins a sentence too.
struct SentenceSegmenter {
    let bytes: [UInt8]
    let range: Range<Int>
    private let itemMarkers: [Range<Int>]

    /// The sentences of a part of a text, without the white space between them.
    ///
    /// - Complexity: O(length).
    static func sentences(of bytes: [UInt8], in range: Range<Int>? = nil) -> [Range<Int>] {
        SentenceSegmenter(bytes, in: range ?? 0..<bytes.count).sentences()
    }

    private init(_ bytes: [UInt8], in range: Range<Int>) {
        self.bytes = bytes
        self.range = range
        self.itemMarkers = ItemMarkers.find(in: bytes, range: range)
    }

    private func sentences() -> [Range<Int>] {
        var result: [Range<Int>] = []
        var start = self.range.lowerBound
        func close(at end: Int) {
            let sentence = UTF8Text.trimmed(self.bytes, start..<end)
            if !sentence.isEmpty { result.append(sentence) }
            start = end
        }
        var nextMarker = 0
        var index = start
        while index < self.range.upperBound {
            if nextMarker < self.itemMarkers.count, self.itemMarkers[nextMarker].lowerBound == index {
                close(at: index)
                index = self.itemMarkers[nextMarker].upperBound
                nextMarker += 1
                continue
            }
            guard Self.isTerminator(self.bytes[index]) else {
                index += 1
                continue
            }
            let run = self.terminatorRun(from: index)
            if let end = self.sentenceEnd(run) { close(at: end) }
            index = run.upperBound
        }
        close(at: self.range.upperBound)
        return result
    }
}

// MARK: - Runs of terminators

extension SentenceSegmenter {
    /// `.`, `!`, `?` in a row, or full stops with single spaces between them (`. . .`).
    struct TerminatorRun {
        var range: Range<Int>
        var lowerBound: Int { self.range.lowerBound }
        var upperBound: Int { self.range.upperBound }
        var isSpaced = false
        var dots = 0
    }

    static func isTerminator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ".") || byte == UInt8(ascii: "!") || byte == UInt8(ascii: "?")
    }

    private func terminatorRun(from start: Int) -> TerminatorRun {
        var run = TerminatorRun(range: start..<start)
        var end = start
        while end < self.range.upperBound {
            if Self.isTerminator(self.bytes[end]) {
                run.dots += 1
                end += 1
            } else if self.byte(end) == 0x20, self.byte(end + 1) == UInt8(ascii: "."),
                self.byte(end + 2).map({ !self.isLetterOrDigit($0) }) ?? true
            {
                run.isSpaced = true
                end += 1
            } else {
                break
            }
        }
        run.range = start..<end
        return run
    }

    /// Where the sentence ends that the run may end, behind closing quotes and brackets; nil when it goes on.
    private func sentenceEnd(_ run: TerminatorRun) -> Int? {
        if run.isSpaced { return self.endAtSpacedEllipsis(run) }
        let end = self.afterClosers(run.upperBound)
        guard end < self.range.upperBound else { return end }
        guard UTF8Text.isSpace(self.bytes[end]) else { return nil }
        let isBracketed = run.dots == 3 && self.byte(run.upperBound) == UInt8(ascii: "]")
        guard !isBracketed, let next = self.start(after: end) else { return nil }
        let isDetached =
            run.lowerBound > self.range.lowerBound
            && UTF8Text.isSpace(self.bytes[run.lowerBound - 1])
        switch self.bytes[run.lowerBound] {
        case UInt8(ascii: ".") where run.dots == 1:
            if isDetached { return end }
            guard next.canBegin else { return nil }
            return self.endsAtFullStop(run.lowerBound, next: next) ? end : nil
        case UInt8(ascii: ".") where isDetached && run.dots == 3:
            return nil
        default:
            return next.canBegin ? end : nil
        }
    }

    /// `word. . . . Next` ends at the first stop; `word . . . . Next` at the last; three alone end nothing.
    private func endAtSpacedEllipsis(_ run: TerminatorRun) -> Int? {
        let end = self.afterClosers(run.upperBound)
        guard run.dots >= 4, let next = self.start(after: end), next.isUpperCase else { return nil }
        let isAttached =
            run.lowerBound > self.range.lowerBound
            && !UTF8Text.isSpace(self.bytes[run.lowerBound - 1])
        return isAttached ? run.lowerBound + 1 : end
    }

    /// Whether a single full stop ends its sentence, when what follows could begin one.
    private func endsAtFullStop(_ stop: Int, next: NextWord) -> Bool {
        let word = self.word(before: stop)
        switch Abbreviations.kind(of: word) {
        case .none: return true
        case .neverLast: return false
        case .beforeNumber: return !next.isDigit && next.isUpperCase
        case .timeOfDay(let isUpperCase): return isUpperCase || next.isSentenceStarter
        case .maybeLast: return next.isSentenceStarter
        }
    }
}

// MARK: - Around a terminator

extension SentenceSegmenter {
    /// What stands behind a possible end.
    struct NextWord {
        var isUpperCase: Bool
        var isDigit: Bool
        var isLowerCase: Bool
        var isSentenceStarter: Bool

        var canBegin: Bool { !self.isLowerCase }
    }

    private func byte(_ index: Int) -> UInt8? { index < self.range.upperBound ? self.bytes[index] : nil }

    private func isLetterOrDigit(_ byte: UInt8) -> Bool {
        byte >= 0x80 || byte &- UInt8(ascii: "0") < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 26
    }

    /// The position behind quotes and brackets that close at the index.
    private func afterClosers(_ index: Int) -> Int {
        var end = index
        while let byte = self.byte(end) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: ")"), UInt8(ascii: "]"),
                UInt8(ascii: "}"),
                UInt8(ascii: "*"), UInt8(ascii: "`"), UInt8(ascii: "_"):
                end += 1
            case 0x80...:
                // ’ ” » close.
                guard let (scalar, width) = UTF8Text.scalar(self.bytes, at: end),
                    scalar.value == 0x2019 || scalar.value == 0x201D || scalar.value == 0xBB
                else { return end }
                end += width
            default:
                return end
            }
        }
        return end
    }

    /// The next word behind white space and opening quotes and brackets; nil at the end of the text.
    private func start(after end: Int) -> NextWord? {
        var index = end
        while let byte = self.byte(index) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: "["),
                UInt8(ascii: "*"),
                UInt8(ascii: "`"), UInt8(ascii: "_"):
                index += 1
            case 0x80...:
                guard let (scalar, width) = UTF8Text.scalar(self.bytes, at: index) else { return nil }
                guard scalar.value == 0x2018 || scalar.value == 0x201C || scalar.value == 0xAB else {
                    return self.nextWord(at: index, scalar: scalar)
                }
                index += width
            default:
                if !UTF8Text.isSpace(byte) { return self.nextWord(at: index, scalar: Unicode.Scalar(byte)) }
                index += 1
            }
        }
        return nil
    }

    private func nextWord(at index: Int, scalar: Unicode.Scalar) -> NextWord {
        var end = index
        while let byte = self.byte(end), self.isLetterOrDigit(byte) { end += 1 }
        let word = String(decoding: self.bytes[index..<end], as: UTF8.self)
        return NextWord(
            isUpperCase: scalar.properties.isUppercase,
            isDigit: scalar.properties.numericType == .decimal,
            isLowerCase: scalar.properties.isLowercase,
            isSentenceStarter: Abbreviations.sentenceStarters.contains(word))
    }

    /// The letters and inner full stops right before the stop, such as `U.S` or `Mr`.
    private func word(before stop: Int) -> ArraySlice<UInt8> {
        var start = stop
        while start > self.range.lowerBound,
            self.isLetterOrDigit(self.bytes[start - 1]) || self.bytes[start - 1] == UInt8(ascii: ".")
        {
            start -= 1
        }
        return self.bytes[start..<stop]
    }
}
