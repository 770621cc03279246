import Glibc

@testable import Worker

/// A directory that is removed, with the files in it, when the test ends.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        self.path = try FileSystem.makeTemporaryDirectory(prefix: "worker-tests-")
    }

    deinit { Self.remove(self.path) }

    private static func remove(_ path: String) {
        for name in (try? FileSystem.names(in: path)) ?? [] { self.remove(path + "/" + name) }
        if unlink(path) != 0 { rmdir(path) }
    }

    func file(_ name: String) -> String { self.path + "/" + name }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        let path = self.file(name)
        if let slash = path.lastIndex(of: "/") { try FileSystem.makeDirectories(String(path[..<slash])) }
        try FileSystem.write([Array(text.utf8)], to: path)
        return path
    }
}

/// An index of a few documents, opened.
struct SmallIndex {
    let directory: TemporaryDirectory
    let index: SearchIndex

    init(_ documents: [SourceDocument], settings: IndexSettings = IndexSettings()) throws {
        self.directory = try TemporaryDirectory()
        var builder = IndexBuilder(settings: settings)
        for document in documents { builder.add(document) }
        let manifest = IndexManifest(paths: [], files: [], settings: settings)
        let built = builder.finish(manifest: manifest)
        let published = IndexDirectory(path: self.directory.path)
        try published.publish(built.parts, generation: built.generation)
        self.index = try published.open()
    }

    /// Documents of plain text, named a, b, c, …
    init(texts: [String]) throws {
        try self.init(
            texts.enumerated().map { number, text in
                let name = String(Character(Unicode.Scalar(UInt8(ascii: "a") + UInt8(number))))
                return SourceDocument(
                    id: name, source: "\(name).txt", title: nil, format: .plain, text: Array(text.utf8))
            })
    }

    func chunks(of hits: [Hit]) throws -> [RetrievedChunk] {
        try hits.enumerated().map { try RetrievedChunk($1, rank: $0 + 1, in: self.index) }
    }

    /// The ids of the documents that a technique finds.
    func search(_ technique: Technique, _ query: String, limit: Int = 10) throws -> [String] {
        var analyzer = TextAnalyzer()
        let hits = try Retriever(index: self.index).retrieve(
            technique, terms: analyzer.terms(of: query), limit: limit, selection: .all
        ).hits
        return try self.chunks(of: hits).map(\.documentID)
    }
}
