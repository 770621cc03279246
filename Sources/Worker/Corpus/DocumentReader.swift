/// Why a file gave no documents.
struct DocumentError: Error, Equatable, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// Takes the documents out of one file.
enum DocumentReader {
    /// - Throws: when the file is no UTF-8 or no JSON; the message says where.
    static func documents(source: String, bytes: [UInt8]) throws(DocumentError) -> [SourceDocument] {
        guard let format = TextFormat(fileName: source) else {
            throw DocumentError("\(source): expected a .md, .txt, .html, .json or .jsonl file")
        }
        if let offset = UTF8Text.firstInvalidByte(bytes) {
            throw DocumentError("\(source): expected UTF-8, found another encoding at byte \(offset)")
        }
        switch format {
        case .plain: return [self.plainText(source: source, bytes: bytes)]
        case .markdown: return [MarkdownDocument.document(source: source, bytes: bytes)]
        case .html: return [HTMLDocument.document(source: source, bytes: bytes)]
        case .json: return try JSONDocuments.documents(source: source, bytes: bytes)
        }
    }

    private static func plainText(source: String, bytes: [UInt8]) -> SourceDocument {
        SourceDocument(
            id: source, source: source, title: nil, format: .plain, text: bytes,
            contentStart: self.byteOrderMarkLength(bytes))
    }

    static func byteOrderMarkLength(_ bytes: [UInt8]) -> Int {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }
}
