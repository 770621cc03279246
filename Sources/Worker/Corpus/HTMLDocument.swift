/// The text of an HTML page: tags gone, entities decoded, block elements as paragraphs.
///
///     <h1>Caf&eacute;</h1><p>Open <b>daily</b>.</p>   →   "Café\n\nOpen daily."
///
/// This is no HTML parser: a page is read as a run of text, tags and comments, which is what the tokenizer
/// of the HTML standard falls back to, too. `script`, `style`, `template` and `noscript` are left out.
struct HTMLDocument {
    private let bytes: [UInt8]
    private var position: Int
    private var output: [UInt8] = []
    private var title: [UInt8] = []
    private var isInTitle = false

    static func document(source: String, bytes: [UInt8]) -> SourceDocument {
        var reader = HTMLDocument(bytes: bytes, position: DocumentReader.byteOrderMarkLength(bytes))
        reader.read()
        let title = UTF8Text.trimmed(reader.title, 0..<reader.title.count)
        let text = UTF8Text.trimmed(reader.output, 0..<reader.output.count)
        return SourceDocument(
            id: source, source: source,
            title: title.isEmpty ? nil : String(decoding: reader.title[title], as: UTF8.self), format: .html,
            text: Array(reader.output[text]))
    }

    private init(bytes: [UInt8], position: Int) {
        self.bytes = bytes
        self.position = position
    }

    private mutating func read() {
        while self.position < self.bytes.count {
            switch self.bytes[self.position] {
            case UInt8(ascii: "<"): self.readMarkup()
            case UInt8(ascii: "&"): self.readEntity()
            default:
                self.emit(self.bytes[self.position])
                self.position += 1
            }
        }
    }

    /// Appends a byte of text; white space is folded into one space.
    private mutating func emit(_ byte: UInt8) {
        if self.isInTitle {
            self.title.append(UTF8Text.isSpace(byte) ? 0x20 : byte)
        } else if !UTF8Text.isSpace(byte) {
            self.output.append(byte)
        } else if let last = self.output.last, !UTF8Text.isSpace(last) {
            self.output.append(0x20)
        }
    }

    private mutating func breakParagraph() {
        while let last = self.output.last, UTF8Text.isSpace(last) { self.output.removeLast() }
        if !self.output.isEmpty { self.output.append(contentsOf: [0x0A, 0x0A]) }
    }
}

// MARK: - Markup

extension HTMLDocument {
    private static let blocks: Set<String> = [
        "address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt", "figcaption",
        "figure",
        "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "li", "main", "nav",
        "ol", "p",
        "pre", "section", "table", "td", "th", "tr", "ul",
    ]
    private static let dropped: Set<String> = ["script", "style", "template", "noscript"]

    private mutating func readMarkup() {
        let start = self.position
        if self.hasPrefix("<!--", at: start) {
            self.position = self.find("-->", from: start + 4).map { $0 + 3 } ?? self.bytes.count
            return
        }
        let isEnd = self.byte(start + 1) == UInt8(ascii: "/")
        let nameStart = start + (isEnd ? 2 : 1)
        var nameEnd = nameStart
        while let byte = self.byte(nameEnd), Self.isNameByte(byte) { nameEnd += 1 }
        guard nameEnd > nameStart else {
            self.readDeclarationOrText()
            return
        }
        // One bit lower-cases letters and leaves digits alone.
        let name = String(decoding: self.bytes[nameStart..<nameEnd].map { $0 | 0x20 }, as: UTF8.self)
        self.position = self.endOfTag(from: nameEnd)
        if name == "title", !isEnd || self.isInTitle {
            self.isInTitle = !isEnd && self.title.isEmpty
        } else if Self.dropped.contains(name), !isEnd {
            self.position = self.find("</" + name, from: self.position) ?? self.bytes.count
        } else if Self.blocks.contains(name) {
            self.breakParagraph()
        }
    }

    /// `<!doctype …>` and `<?xml …?>` are skipped; any other `<` is text.
    private mutating func readDeclarationOrText() {
        let next = self.byte(self.position + 1)
        if next == UInt8(ascii: "!") || next == UInt8(ascii: "?") {
            self.position = self.find(">", from: self.position).map { $0 + 1 } ?? self.bytes.count
        } else {
            self.emit(UInt8(ascii: "<"))
            self.position += 1
        }
    }

    /// Behind the `>` that closes a tag; quoted attribute values may hold one.
    private func endOfTag(from start: Int) -> Int {
        var quote: UInt8?
        for index in start..<self.bytes.count {
            let byte = self.bytes[index]
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                quote = byte
            } else if byte == UInt8(ascii: ">") {
                return index + 1
            }
        }
        return self.bytes.count
    }

    private mutating func readEntity() {
        let limit = min(self.position + 12, self.bytes.count)
        if let semicolon = self.bytes[self.position..<limit].firstIndex(of: UInt8(ascii: ";")),
            let text = HTMLEntities.text(of: self.bytes[self.position + 1..<semicolon])
        {
            for byte in text.utf8 { self.emit(byte) }
            self.position = semicolon + 1
        } else {
            self.emit(UInt8(ascii: "&"))
            self.position += 1
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
    }

    private func byte(_ index: Int) -> UInt8? { index < self.bytes.count ? self.bytes[index] : nil }

    /// Whether ASCII text stands at the index, in either case.
    private func hasPrefix(_ prefix: String, at index: Int) -> Bool {
        index + prefix.utf8.count <= self.bytes.count
            && zip(prefix.utf8, self.bytes[index...]).allSatisfy { $0 == $1 || $0 == $1 | 0x20 }
    }

    private func find(_ text: String, from start: Int) -> Int? {
        guard let first = text.utf8.first else { return nil }
        var index = start
        while let hit = self.bytes[min(index, self.bytes.count)...].firstIndex(of: first) {
            if self.hasPrefix(text, at: hit) { return hit }
            index = hit + 1
        }
        return nil
    }
}
