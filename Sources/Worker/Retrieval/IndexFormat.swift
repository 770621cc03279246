import Glibc

/// The index file: one file a generation, written once, mapped read-only by every worker.
///
///     offset  size
///          0     8  magic "RAGINDEX"
///          8     4  format version
///         12     4  byte order mark 0x01020304 (only little-endian machines read and write it)
///         16     8  length of the file
///         24     8  generation: hash of the documents and of how they were analysed
///         32     4  number of sections n
///         36     4  zero
///         40     8  XXH64 of the section table
///         48     8  XXH64 of the 48 bytes above
///         56     8  zero
///         64  32·n  section table: kind (4), bytes a record (4), offset (8), length (8), XXH64 (8)
///          …        sections, each at a multiple of 16, zeros between them
///
/// Texts stand in the section `strings`, without terminator; a record refers to one by a `TextReference`.
enum IndexFormat {
    static let magic = Array("RAGINDEX".utf8)
    /// Vectors by latent semantic indexing, or none.
    static let version: UInt32 = 1
    /// Vectors by the model named in the settings. A version of its own, so that a program that knows only the first
    /// refuses the file instead of finding nothing in it.
    static let modelVersion: UInt32 = 2
    static let byteOrderMark: UInt32 = 0x0102_0304
    static let headerLength = 64
    static let entryLength = 32
    static let alignment = 16

    enum Section: UInt32, CaseIterable {
        /// `IndexSettings` as JSON.
        case settings = 1
        /// The files and options the index was made from, as JSON.
        case manifest = 2
        case strings = 3
        /// `DocumentRecord`s.
        case documents = 4
        /// `ChunkRecord`s.
        case chunks = 5
        /// `TermRecord`s, sorted by the bytes of their text.
        case terms = 6
        /// `Posting`s, those of a term together, by chunk.
        case postings = 7
        /// Unit vectors of the chunks: `dimensions` Float32 each. Empty without an embedding.
        case vectors = 8
        /// Term vectors that fold a query into the space of `vectors`: `dimensions` Float32 a row. Empty in version 2.
        case projection = 9

        /// Bytes a record; the length of the section is a multiple of it.
        var recordLength: Int {
            switch self {
            case .settings, .manifest, .strings: 1
            case .documents: MemoryLayout<DocumentRecord>.stride
            case .chunks: MemoryLayout<ChunkRecord>.stride
            case .terms: MemoryLayout<TermRecord>.stride
            case .postings: MemoryLayout<Posting>.stride
            case .vectors, .projection: MemoryLayout<Float>.stride
            }
        }
    }
}

/// A text in the section `strings`: 40 bits of offset above 24 bits of length.
struct TextReference: Equatable, BitwiseCopyable {
    var bits: UInt64

    static let empty = TextReference(bits: 0)
    static let longest = 1 << 24 - 1

    init(bits: UInt64) { self.bits = bits }

    init(offset: Int, length: Int) {
        self.bits = UInt64(offset) << 24 | UInt64(length)
    }

    var offset: Int { Int(self.bits >> 24) }
    var length: Int { Int(self.bits & 0xFF_FFFF) }
}

/// A document: 40 bytes.
struct DocumentRecord: BitwiseCopyable {
    var id: TextReference
    var source: TextReference
    /// Empty when the document has no title.
    var title: TextReference
    /// A JSON object of its fields.
    var metadata: TextReference
    /// Index of its `TextFormat` in `TextFormat.stored`.
    var format: UInt32
    var chunkCount: UInt32
}

/// A chunk: 40 bytes.
struct ChunkRecord: BitwiseCopyable {
    var content: TextReference
    /// The headings it stands under, joined by " › "; empty at the top.
    var section: TextReference
    /// The offset of its content in the text of the document.
    var start: UInt64
    var document: UInt32
    /// Its place among the chunks of the document.
    var index: UInt32
    /// Terms in it, those of title and headings counted `titleWeight` times.
    var length: UInt32
    var padding: UInt32 = 0
}

/// A term: 24 bytes.
struct TermRecord: BitwiseCopyable {
    var text: TextReference
    var firstPosting: UInt32
    /// The number of chunks that hold the term.
    var postingCount: UInt32
    /// The row of `projection`; `noRow` for terms that the embedding left out.
    var row: UInt32
    var padding: UInt32 = 0

    static let noRow = UInt32.max
}

/// A term in a chunk: 8 bytes.
struct Posting: BitwiseCopyable, Equatable {
    var chunk: UInt32
    /// Occurrences, those in title and headings counted `titleWeight` times.
    var frequency: UInt32
}

extension TextFormat {
    /// The formats by the number they have in a record.
    static let stored: [TextFormat] = [.markdown, .plain, .html, .json]

    var storedIndex: UInt32 { UInt32(Self.stored.firstIndex(of: self) ?? 0) }
}

/// Why an index cannot be used.
struct IndexError: Error, Equatable, CustomStringConvertible {
    enum Reason: Equatable {
        /// There is no index at the path.
        case missing
        /// It cannot be opened or read.
        case unreadable(String)
        /// Not an index, damaged, or of another version; the words say what was found.
        case corrupt(String)
    }

    var reason: Reason
    var path: String

    var description: String {
        switch self.reason {
        case .missing: "no index at \(self.path)"
        case .unreadable(let why): "the index at \(self.path) cannot be read: \(why)"
        case .corrupt(let what): "the index at \(self.path) is corrupt: \(what)"
        }
    }
}
