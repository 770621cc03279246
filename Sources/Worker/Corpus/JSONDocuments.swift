import Protocol

/// Documents of .json and .jsonl files, BEIR corpora among them.
///
///     {"_id": "184", "title": "scale models", "text": "scale models for …", "year": 1962}
///       id            title                    text                          metadata
///
/// A .json file holds one document or an array of them; a .jsonl file one a line. The text is the first of
/// `textFields` that is there, else all strings of the object, one a line. Other scalars and lists of them are metadata;
/// an object `metadata` is opened.
enum JSONDocuments {
    private static let identifierFields = ["_id", "id", "doc_id", "document_id"]
    private static let titleFields = ["title", "name", "headline", "heading"]
    private static let textFields = ["text", "content", "contents", "body", "abstract", "description"]

    static func documents(source: String, bytes: [UInt8]) throws(DocumentError) -> [SourceDocument] {
        let start = DocumentReader.byteOrderMarkLength(bytes)
        let name = source.lowercased()
        if name.hasSuffix("l") || name.hasSuffix(".ndjson") {
            return try self.lines(source: source, bytes: bytes, from: start)
        }
        do {
            let value = try JSONValue(parsing: Array(bytes[start...]))
            let elements = value.arrayValue ?? [value]
            return elements.enumerated().compactMap { index, element in
                let fallback = elements.count == 1 ? source : "\(source):\(index + 1)"
                return self.document(element, source: source, fallbackIdentifier: fallback)
            }
        } catch {
            throw DocumentError("\(source): expected JSON: \(error)")
        }
    }

    private static func lines(
        source: String, bytes: [UInt8], from start: Int
    ) throws(DocumentError) -> [SourceDocument] {
        var documents: [SourceDocument] = []
        var failure: DocumentError?
        var number = 0
        UTF8Text.forEachLine(bytes, in: start..<bytes.count) { line in
            number += 1
            guard failure == nil, !UTF8Text.trimmed(bytes, line).isEmpty else { return }
            do {
                let value = try JSONValue(parsing: Array(bytes[line]))
                let fallback = "\(source):\(number)"
                if let document = self.document(value, source: source, fallbackIdentifier: fallback) {
                    documents.append(document)
                }
            } catch {
                failure = DocumentError("\(source), line \(number): expected a JSON document: \(error)")
            }
        }
        if let failure { throw failure }
        return documents
    }

    /// nil when there is no text in the value.
    private static func document(
        _ value: JSONValue, source: String, fallbackIdentifier: String
    ) -> SourceDocument? {
        let members = value.objectValue ?? []
        let id = self.first(self.identifierFields, of: members)
        let title = self.first(self.titleFields, of: members)
        let text = self.first(self.textFields, of: members)
        var document = SourceDocument(
            id: id?.value.scalarText ?? fallbackIdentifier, source: source,
            title: title?.value.stringValue.flatMap { $0.isEmpty ? nil : $0 }, format: .json, text: [])
        if let text = text?.value.stringValue {
            document.text = Array(text.utf8)
        } else {
            var strings: [String] = []
            self.collectStrings(value, except: [id?.name, title?.name], into: &strings)
            document.text = Array(strings.joined(separator: "\n\n").utf8)
        }
        if document.text.isEmpty {
            guard let title = document.title else { return nil }
            document.text = Array(title.utf8)
        }
        let used = [id?.name, title?.name, text?.name]
        for member in members where !used.contains(member.name) {
            if member.name == "metadata", let inner = member.value.objectValue {
                document.metadata += inner.filter { $0.value.isFilterable }
            } else if text != nil, member.value.isFilterable {
                document.metadata.append(member)
            }
        }
        return document
    }

    private static func first(_ names: [String], of members: [JSONValue.Member]) -> JSONValue.Member? {
        for name in names {
            if let member = members.first(where: { $0.name == name }), member.value.scalarText != nil {
                return member
            }
        }
        return nil
    }

    private static func collectStrings(
        _ value: JSONValue, except names: [String?], into strings: inout [String]
    ) {
        switch value {
        case .string(let text): if !text.isEmpty { strings.append(text) }
        case .array(let elements):
            for element in elements { self.collectStrings(element, except: [], into: &strings) }
        case .object(let members):
            for member in members where !names.contains(member.name) {
                self.collectStrings(member.value, except: [], into: &strings)
            }
        case .null, .bool, .integer, .double: break
        }
    }
}

extension JSONValue {
    /// A string, or a whole number as digits: what can name a document.
    fileprivate var scalarText: String? {
        self.stringValue ?? self.integerValue.map { String($0) }
    }

    /// A scalar or a list of scalars.
    fileprivate var isFilterable: Bool {
        switch self {
        case .null, .object: false
        case .bool, .integer, .double, .string: true
        case .array(let elements): elements.allSatisfy { $0.arrayValue == nil && $0.objectValue == nil }
        }
    }
}
