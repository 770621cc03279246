import Glibc
import Protocol

/// An index that is open for searching.
///
/// Every offset that comes out of the file is checked before it is used, so that a damaged file gives an
/// `IndexError` and never a trap. Checksums are compared at opening: of all sections up to `verifiedLength`,
/// above it only of the small ones, to keep the start short.
final class SearchIndex: Sendable {
    /// 64 MiB take about 10 ms to hash.
    static let verifiedLength = 64 << 20

    let path: String
    /// 16 hexadecimal digits; the same documents, analysed in the same way, have the same.
    let generation: String
    let settings: IndexSettings
    let documents: IndexTable<DocumentRecord>
    let chunks: IndexTable<ChunkRecord>
    let terms: IndexTable<TermRecord>
    let postings: IndexTable<Posting>
    let vectors: IndexTable<Float>
    let projection: IndexTable<Float>
    private let strings: IndexTable<UInt8>
    private let manifestBytes: IndexTable<UInt8>

    /// - Parameter verifiedLength: the size of file up to which all checksums are compared.
    init(path: String, verifiedLength: Int = SearchIndex.verifiedLength) throws(IndexError) {
        let file: MappedFile
        do {
            file = try MappedFile(path: path)
        } catch {
            throw IndexError(reason: error.code == ENOENT ? .missing : .unreadable(error.reason), path: path)
        }
        let layout = try IndexLayout(file.bytes, path: path, verifiedLength: verifiedLength)
        func table<Record: BitwiseCopyable>(
            _ section: IndexFormat.Section, of type: Record.Type
        ) throws(IndexError) -> IndexTable<Record> {
            IndexTable(file: file, range: try layout.range(of: section), path: path)
        }
        self.path = path
        self.generation = Self.hexadecimal(layout.generation)
        let settings = try table(.settings, of: UInt8.self)
        guard let json = try? JSONValue(parsing: settings.bytes), let parsed = IndexSettings(json: json)
        else {
            throw IndexError(reason: .corrupt("its settings cannot be read"), path: path)
        }
        self.settings = parsed
        self.manifestBytes = try table(.manifest, of: UInt8.self)
        self.strings = try table(.strings, of: UInt8.self)
        self.documents = try table(.documents, of: DocumentRecord.self)
        self.chunks = try table(.chunks, of: ChunkRecord.self)
        self.terms = try table(.terms, of: TermRecord.self)
        self.postings = try table(.postings, of: Posting.self)
        self.vectors = try table(.vectors, of: Float.self)
        self.projection = try table(.projection, of: Float.self)
        guard self.vectors.count == self.chunks.count * self.settings.dimensions else {
            throw IndexError(reason: .corrupt("its vectors do not match its chunks"), path: path)
        }
    }

    /// What the vectors were made with, by name; nil without vectors. Each LSI model is another: it is of its documents.
    var embeddingModel: String? {
        guard self.settings.dimensions > 0 else { return nil }
        return self.settings.embeddingModel ?? "lsi-\(self.settings.dimensions)-\(self.generation)"
    }

    /// What the index was made from; nil when that cannot be read.
    var manifest: IndexManifest? {
        (try? JSONValue(parsing: self.manifestBytes.bytes)).flatMap { IndexManifest(json: $0) }
    }

    static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

// MARK: - Look-ups

extension SearchIndex {
    /// The bytes of a text.
    func bytes(of text: TextReference) throws(IndexError) -> UnsafeRawBufferPointer {
        try self.strings.slice(text.offset, count: text.length)
    }

    func string(_ text: TextReference) throws(IndexError) -> String {
        String(decoding: try self.bytes(of: text), as: UTF8.self)
    }

    /// The record of a term; nil when no chunk holds it.
    ///
    /// - Complexity: O(log terms).
    func term(_ text: String) throws(IndexError) -> TermRecord? {
        let wanted = Array(text.utf8)
        var lower = 0
        var upper = self.terms.count
        while lower < upper {
            let middle = (lower + upper) / 2
            let record = try self.terms.record(at: middle)
            let found = try self.bytes(of: record.text)
            if found.elementsEqual(wanted) { return record }
            if found.lexicographicallyPrecedes(wanted) { lower = middle + 1 } else { upper = middle }
        }
        return nil
    }

    /// The share of chunks that hold a term, as a weight: rare terms say more. Unknown terms are the rarest.
    ///
    /// ln(1 + (N − n + ½) / (n + ½)), never negative (Robertson & Zaragoza 2009, §3.2, with Lucene's 1 +).
    func inverseDocumentFrequency(chunksWithTerm count: Int) -> Double {
        let all = Double(self.chunks.count)
        let holding = Double(count)
        return MathFunctions.ln(1 + (all - holding + 0.5) / (holding + 0.5))
    }
}

/// The records of one section, checked when they are read.
struct IndexTable<Record: BitwiseCopyable>: @unchecked Sendable {
    // @unchecked: read-only memory that `file` keeps mapped.
    private let file: MappedFile
    private let path: String
    let bytes: UnsafeRawBufferPointer
    let count: Int

    init(file: MappedFile, range: Range<Int>, path: String) {
        self.file = file
        self.path = path
        self.bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
        self.count = range.count / MemoryLayout<Record>.stride
    }

    func record(at index: Int) throws(IndexError) -> Record {
        guard index >= 0, index < self.count else { throw self.outOfBounds(index) }
        return self.bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Record>.stride, as: Record.self)
    }

    /// The bytes of some records in a row.
    func slice(_ first: Int, count: Int) throws(IndexError) -> UnsafeRawBufferPointer {
        guard first >= 0, count >= 0, first <= self.count, count <= self.count - first else {
            throw self.outOfBounds(first)
        }
        let stride = MemoryLayout<Record>.stride
        return UnsafeRawBufferPointer(rebasing: self.bytes[first * stride..<(first + count) * stride])
    }

    func outOfBounds(_ index: Int) -> IndexError {
        IndexError(reason: .corrupt("a \(Record.self) at \(index) of \(self.count)"), path: self.path)
    }
}
