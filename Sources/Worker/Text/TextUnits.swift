/// The smallest piece of a text that is never cut without need: a sentence, a heading, a table row, a code
/// block.
struct TextUnit: Equatable {
    enum Kind: Equatable {
        case sentence
        case heading(level: Int)
        case tableRow
        case code
    }

    var kind: Kind
    var range: Range<Int>
    /// Whether a paragraph, list, table or section begins with it.
    var beginsBlock: Bool
}

/// Cuts a text into units: blocks first (CommonMark's leaf blocks, as far as they matter), then sentences.
///
///     # Title          heading(1)
///     One. Two.        sentence, sentence
///     ```              code, to the closing fence
///     | a | b |        tableRow
struct TextUnits {
    private let bytes: [UInt8]
    private let isMarkdown: Bool
    private var units: [TextUnit] = []
    /// The lines of the paragraph that is being read.
    private var paragraph: Range<Int>?
    private var fence: (marker: UInt8, width: Int, start: Int)?
    private var isInTable = false

    static func split(_ bytes: [UInt8], in range: Range<Int>? = nil, format: TextFormat) -> [TextUnit] {
        var splitter = TextUnits(bytes: bytes, isMarkdown: format == .markdown)
        let range = range ?? 0..<bytes.count
        UTF8Text.forEachLine(bytes, in: range) { splitter.take(line: $0) }
        splitter.finish(at: range.upperBound)
        return splitter.units
    }

    private init(bytes: [UInt8], isMarkdown: Bool) {
        self.bytes = bytes
        self.isMarkdown = isMarkdown
    }

    private mutating func take(line: Range<Int>) {
        let content = UTF8Text.trimmed(self.bytes, line)
        guard self.isMarkdown else {
            content.isEmpty ? self.closeParagraph() : self.extendParagraph(with: content)
            return
        }
        if self.takeInsideFence(content) { return }
        let wasInTable = self.isInTable
        self.isInTable = false
        if content.isEmpty {
            self.closeParagraph()
        } else if let width = self.fenceWidth(content), width >= 3 {
            self.closeParagraph()
            self.fence = (self.bytes[content.lowerBound], width, content.lowerBound)
        } else if let level = self.headingLevel(content) {
            self.closeParagraph()
            self.append(.heading(level: level), content, beginsBlock: true)
        } else if self.paragraph != nil, let level = self.underlineLevel(content) {
            self.closeParagraph(asHeading: level, end: content.upperBound)
        } else if self.bytes[content.lowerBound] == UInt8(ascii: "|") {
            self.closeParagraph()
            self.append(.tableRow, content, beginsBlock: !wasInTable)
            self.isInTable = true
        } else {
            self.extendParagraph(with: content)
        }
    }

    private mutating func finish(at end: Int) {
        self.closeParagraph()
        guard let fence = self.fence else { return }
        // Never closed: code to the end, as CommonMark has it.
        self.append(.code, UTF8Text.trimmed(self.bytes, fence.start..<end), beginsBlock: true)
    }
}

// MARK: - Blocks

extension TextUnits {
    private mutating func append(_ kind: TextUnit.Kind, _ range: Range<Int>, beginsBlock: Bool) {
        self.units.append(TextUnit(kind: kind, range: range, beginsBlock: beginsBlock))
    }

    private mutating func extendParagraph(with content: Range<Int>) {
        let start = self.paragraph?.lowerBound ?? content.lowerBound
        self.paragraph = start..<content.upperBound
    }

    private mutating func closeParagraph() {
        guard let paragraph = self.paragraph else { return }
        self.paragraph = nil
        var isFirst = true
        for sentence in SentenceSegmenter.sentences(of: self.bytes, in: paragraph) {
            self.append(.sentence, sentence, beginsBlock: isFirst)
            isFirst = false
        }
    }

    /// A paragraph that turned out to be a heading by the line under it.
    private mutating func closeParagraph(asHeading level: Int, end: Int) {
        guard let paragraph = self.paragraph else { return }
        self.paragraph = nil
        self.append(.heading(level: level), paragraph.lowerBound..<end, beginsBlock: true)
    }

    private mutating func takeInsideFence(_ content: Range<Int>) -> Bool {
        guard let fence = self.fence else { return false }
        let closes =
            !content.isEmpty && self.bytes[content.lowerBound] == fence.marker
            && self.fenceWidth(content) == content.count && content.count >= fence.width
        if closes {
            self.append(.code, fence.start..<content.upperBound, beginsBlock: true)
            self.fence = nil
        }
        return true
    }

    /// The number of backquotes or tildes that the line begins with; nil when it begins with neither.
    private func fenceWidth(_ content: Range<Int>) -> Int? {
        guard let first = content.first.map({ self.bytes[$0] }),
            first == UInt8(ascii: "`") || first == UInt8(ascii: "~")
        else { return nil }
        return content.prefix { self.bytes[$0] == first }.count
    }

    private func headingLevel(_ content: Range<Int>) -> Int? {
        let level = content.prefix { self.bytes[$0] == UInt8(ascii: "#") }.count
        guard (1...6).contains(level) else { return nil }
        let after = content.lowerBound + level
        return after == content.upperBound || UTF8Text.isSpace(self.bytes[after]) ? level : nil
    }

    /// `===` and `---` under a line make it a heading.
    private func underlineLevel(_ content: Range<Int>) -> Int? {
        guard content.count >= 3 else { return nil }
        if content.allSatisfy({ self.bytes[$0] == UInt8(ascii: "=") }) { return 1 }
        if content.allSatisfy({ self.bytes[$0] == UInt8(ascii: "-") }) { return 2 }
        return nil
    }

    /// A heading's words: without its marks, and without an underline.
    static func headingText(_ bytes: [UInt8], _ range: Range<Int>) -> String {
        let line = range.prefix { bytes[$0] != 0x0A }
        let text = line.drop { bytes[$0] == UInt8(ascii: "#") }
        var trimmed = UTF8Text.trimmed(bytes, text.startIndex..<text.endIndex)
        while let last = trimmed.last, bytes[last] == UInt8(ascii: "#") {
            trimmed = UTF8Text.trimmed(bytes, trimmed.lowerBound..<last)
        }
        return String(decoding: bytes[trimmed].filter { $0 != UInt8(ascii: "`") }, as: UTF8.self)
    }
}
