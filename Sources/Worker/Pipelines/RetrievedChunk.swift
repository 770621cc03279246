import Protocol

/// A hit with all that a result says about it.
struct RetrievedChunk {
    var hit: Hit
    var rank: Int
    var documentID: String
    var source: String
    /// Empty when there is none.
    var title: String
    /// Headings it stands under, joined; empty at the top.
    var section: String
    var format: TextFormat
    var chunkIndex: Int
    /// The offset of the content in the text of the document.
    var start: Int
    var content: [UInt8]
    var metadata: [JSONValue.Member]

    init(_ hit: Hit, rank: Int, in index: SearchIndex) throws(IndexError) {
        let chunk = try index.chunks.record(at: Int(hit.chunk))
        let document = try index.documents.record(at: Int(chunk.document))
        self.hit = hit
        self.rank = rank
        self.documentID = try index.string(document.id)
        self.source = try index.string(document.source)
        self.title = try index.string(document.title)
        self.section = try index.string(chunk.section)
        self.format = index.format(of: document)
        self.chunkIndex = Int(chunk.index)
        self.start = Int(clamping: min(chunk.start, 1 << 62))
        self.content = Array(try index.bytes(of: chunk.content))
        guard UTF8Text.firstInvalidByte(self.content) == nil else {
            throw IndexError(reason: .corrupt("the text of a chunk is no UTF-8"), path: index.path)
        }
        var metadata = try index.metadata(of: document)
        for (name, value) in [("format", self.format.rawValue), ("section", self.section)] {
            if !value.isEmpty, !metadata.contains(where: { $0.name == name }) {
                metadata.append(JSONValue.Member(name, .string(value)))
            }
        }
        self.metadata = metadata
    }

    /// Unique in the index.
    var id: String { "\(self.documentID)#\(self.chunkIndex)" }
}
