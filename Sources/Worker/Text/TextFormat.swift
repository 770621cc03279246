/// How a text is marked up, as far as cutting it into pieces goes.
enum TextFormat: String, Equatable {
    case markdown
    case plain
    case html
    case json

    init?(fileName: String) {
        let name = fileName.lowercased()
        if name.hasSuffix(".md") || name.hasSuffix(".markdown") {
            self = .markdown
        } else if name.hasSuffix(".txt") || name.hasSuffix(".text") {
            self = .plain
        } else if name.hasSuffix(".html") || name.hasSuffix(".htm") {
            self = .html
        } else if name.hasSuffix(".json") || name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson") {
            self = .json
        } else {
            return nil
        }
    }

    /// Whether quotes and spans are those of the file itself, not of text extracted from it.
    var isVerbatim: Bool { self == .markdown || self == .plain }
}
