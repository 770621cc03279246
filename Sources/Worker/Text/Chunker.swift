/// A piece of a document that is retrieved as a whole.
struct Chunk: Equatable {
    /// Its bytes in the text of the document.
    var range: Range<Int>
    /// The headings it stands under, the outermost first, without the document's own title.
    var section: [String]
}

/// Cuts a document into chunks that begin and end with a sentence.
///
/// A chunk is a contiguous part of the text, so that every quote out of it is one of the document too. A
/// heading begins a new chunk; otherwise sentences are taken until the size is reached, earlier where a
/// paragraph ends past three fifths of it. A code block is kept whole up to four times the size. A sentence longer
/// than the size is cut at white space.
struct Chunker {
    struct Options: Equatable {
        /// The bound on a chunk, in bytes.
        var maximumBytes = 2000
        /// Sentences at the end of a chunk that the next one begins with again.
        var overlap = 0
    }

    private let options: Options
    private let bytes: [UInt8]
    private var chunks: [Chunk] = []
    private var pending: [TextUnit] = []
    private var headings: [(level: Int, text: String)] = []

    static func chunks(of document: SourceDocument, options: Options) -> [Chunk] {
        var chunker = Chunker(options: options, bytes: document.text)
        let range = document.contentStart..<document.text.count
        for unit in TextUnits.split(document.text, in: range, format: document.format) {
            chunker.take(unit)
        }
        chunker.close()
        return chunker.chunks.map { chunk in
            var chunk = chunk
            if let title = document.title, chunk.section.first == title { chunk.section.removeFirst() }
            return chunk
        }
    }

    private init(options: Options, bytes: [UInt8]) {
        self.options = options
        self.bytes = bytes
    }

    private mutating func take(_ unit: TextUnit) {
        if case .heading(let level) = unit.kind {
            if self.pending.contains(where: { !$0.kind.isHeading }) { self.close() }
            while let last = self.headings.last, last.level >= level { self.headings.removeLast() }
            self.headings.append((level, TextUnits.headingText(self.bytes, unit.range)))
            self.pending.append(unit)
            return
        }
        for piece in self.pieces(of: unit) { self.add(piece) }
    }

    private mutating func add(_ unit: TextUnit) {
        if let start = self.pending.first?.range.lowerBound {
            let size = unit.range.upperBound - start
            let before = unit.range.lowerBound - start
            let limit = unit.kind == .code ? self.codeLimit : self.options.maximumBytes
            let isLong = unit.beginsBlock && before > self.options.maximumBytes * 3 / 5
            let hasText = self.pending.contains { !$0.kind.isHeading }
            if hasText, size > limit || isLong {
                let overlap = self.pending.filter { $0.kind == .sentence }.suffix(self.options.overlap)
                self.close()
                self.pending = Array(overlap)
            }
        }
        self.pending.append(unit)
    }

    private mutating func close() {
        guard let first = self.pending.first, let last = self.pending.last else { return }
        let section = self.headings.map(\.text).filter { !$0.isEmpty }
        self.chunks.append(Chunk(range: first.range.lowerBound..<last.range.upperBound, section: section))
        self.pending.removeAll(keepingCapacity: true)
    }

    private var codeLimit: Int { 4 * self.options.maximumBytes }

    /// A unit as it is, or cut to the size: code at line feeds, anything else at white space.
    private func pieces(of unit: TextUnit) -> [TextUnit] {
        let limit = unit.kind == .code ? self.codeLimit : self.options.maximumBytes
        guard unit.range.count > limit else { return [unit] }
        var pieces: [TextUnit] = []
        var start = unit.range.lowerBound
        while start < unit.range.upperBound {
            let end = self.cut(start..<unit.range.upperBound, limit: limit, atLines: unit.kind == .code)
            let piece = UTF8Text.trimmed(self.bytes, start..<end)
            if !piece.isEmpty {
                pieces.append(TextUnit(kind: unit.kind, range: piece, beginsBlock: pieces.isEmpty))
            }
            start = end
        }
        return pieces
    }

    /// The end of the first piece: behind the last separator within the limit, else at a scalar's boundary.
    private func cut(_ range: Range<Int>, limit: Int, atLines: Bool) -> Int {
        guard range.count > limit else { return range.upperBound }
        var end = range.lowerBound + limit
        let half = range.lowerBound + limit / 2
        let separator = self.bytes[half..<end].lastIndex { atLines ? $0 == 0x0A : UTF8Text.isSpace($0) }
        if let separator { return separator + 1 }
        while end > half, !UTF8Text.isBoundary(self.bytes, end) { end -= 1 }
        return end
    }
}

extension TextUnit.Kind {
    var isHeading: Bool {
        guard case .heading = self else { return false }
        return true
    }
}
