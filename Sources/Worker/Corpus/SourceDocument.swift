import Protocol

/// A document as it is taken out of a file, before it is cut into chunks.
struct SourceDocument: Equatable {
    /// What results call it: `_id` or `id` of a JSON document, else its source.
    var id: String
    /// The path as given to `worker index`, joined with the path below it.
    var source: String
    var title: String?
    var format: TextFormat
    /// The text that chunks and spans refer to: the file itself for text and Markdown, else what was
    /// extracted from it.
    var text: [UInt8]
    /// Where the text proper begins: behind a byte order mark and front matter.
    var contentStart = 0
    /// Fields that filters can ask for.
    var metadata: [JSONValue.Member] = []
}
