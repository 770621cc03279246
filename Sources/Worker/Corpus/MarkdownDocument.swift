import Protocol

/// Markdown with optional front matter.
enum MarkdownDocument {
    static func document(source: String, bytes: [UInt8]) -> SourceDocument {
        let start = DocumentReader.byteOrderMarkLength(bytes)
        var document = SourceDocument(
            id: source, source: source, title: nil, format: .markdown, text: bytes, contentStart: start)
        if let frontMatter = self.frontMatter(bytes, from: start) {
            document.contentStart = frontMatter.end
            document.metadata = frontMatter.fields
        }
        document.title =
            document.metadata.first { $0.name == "title" }?.value.stringValue
            ?? self.firstHeading(bytes, from: document.contentStart)
        return document
    }

    private static func firstHeading(_ bytes: [UInt8], from start: Int) -> String? {
        for unit in TextUnits.split(bytes, in: start..<bytes.count, format: .markdown) {
            if case .heading(level: 1) = unit.kind { return TextUnits.headingText(bytes, unit.range) }
        }
        return nil
    }

    /// The `name: value` lines between two lines of `---` at the very start. Nested YAML is passed over.
    private static func frontMatter(
        _ bytes: [UInt8], from start: Int
    ) -> (fields: [JSONValue.Member], end: Int)? {
        var fields: [JSONValue.Member] = []
        var lineNumber = 0
        var end: Int?
        UTF8Text.forEachLine(bytes, in: start..<bytes.count) { line in
            defer { lineNumber += 1 }
            guard end == nil, lineNumber < 200 else { return }
            let isRule = bytes[line].elementsEqual("---".utf8)
            if lineNumber == 0 {
                if !isRule { end = start }
            } else if isRule {
                end = line.upperBound
            } else if let field = self.field(bytes, line) {
                fields.append(field)
            }
        }
        guard let end, end > start else { return nil }
        return (fields, end)
    }

    private static func field(_ bytes: [UInt8], _ line: Range<Int>) -> JSONValue.Member? {
        guard let first = line.first, !UTF8Text.isSpace(bytes[first]),
            let colon = bytes[line].firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        let name = String(decoding: bytes[line.lowerBound..<colon], as: UTF8.self)
        let range = UTF8Text.trimmed(bytes, colon + 1..<line.upperBound)
        guard !range.isEmpty else { return nil }
        // Quoted strings, numbers, booleans and flow lists of YAML are JSON more often than not.
        if let value = try? JSONValue(parsing: Array(bytes[range])) { return JSONValue.Member(name, value) }
        var text = bytes[range]
        if text.count >= 2, text.first == UInt8(ascii: "'"), text.last == UInt8(ascii: "'") {
            text = text.dropFirst().dropLast()
        }
        return JSONValue.Member(name, .string(String(decoding: text, as: UTF8.self)))
    }
}
