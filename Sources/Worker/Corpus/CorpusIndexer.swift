/// Brings an index directory up to date with the files below some paths.
struct CorpusIndexer: Sendable {
    enum Outcome: Equatable {
        /// Nothing changed since the index was made.
        case unchanged(files: Int)
        case published(Summary)
    }

    struct Summary: Equatable {
        var files: Int
        var documents: Int
        var chunks: Int
        var terms: Int
        var generation: String
    }

    /// Why there is no new index.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    let paths: [String]
    let directory: IndexDirectory
    var settings = IndexSettings()
    var embedding = WorkerEmbedding.latentSemantic
    /// Whether to make it anew even when nothing changed.
    var isForced = false
    /// Told of files that were left out, and why.
    var warn: @Sendable (String) -> Void = { _ in }

    func run() throws(Failure) -> Outcome {
        let files: [SourceFile]
        do {
            files = try SourceFiles.find(self.paths)
        } catch {
            throw Failure(description: "\(error)")
        }
        guard !files.isEmpty else {
            throw Failure(
                description: "nothing to index in \(self.paths.joined(separator: ", ")): "
                    + "expected .md, .txt, .html, .json or .jsonl files")
        }
        let manifest = IndexManifest(paths: self.paths, files: files, settings: self.embeddingSettings)
        if self.isUpToDate(with: manifest) { return .unchanged(files: files.count) }
        let lock = try self.lock()
        defer { extendLifetime(lock) }
        // Another process may have done the same in the meantime.
        if self.isUpToDate(with: manifest) { return .unchanged(files: files.count) }
        return .published(try self.rebuild(manifest))
    }

    /// The settings, with the model that the index is going to be made with.
    private var embeddingSettings: IndexSettings {
        var settings = self.settings
        settings.embeddingModel = self.embedding.endpointModel
        return settings
    }

    private func lock() throws(Failure) -> FileDescriptor {
        do {
            return try self.directory.lock()
        } catch {
            throw Failure(description: "\(error)")
        }
    }

    private func isUpToDate(with manifest: IndexManifest) -> Bool {
        guard !self.isForced, let current = try? self.directory.open() else { return false }
        return current.manifest == manifest
    }

    /// nil when LSI makes them, which it does with the index.
    private func vectors(of builder: IndexBuilder) throws(Failure) -> ChunkVectors? {
        do {
            return try self.embedding.vectors(of: builder)
        } catch {
            throw Failure(description: "\(error)")
        }
    }

    private func rebuild(_ manifest: IndexManifest) throws(Failure) -> Summary {
        var builder = IndexBuilder(settings: self.embeddingSettings)
        for file in manifest.files {
            do {
                let bytes = try FileSystem.contents(of: file.path)
                for document in try DocumentReader.documents(source: file.path, bytes: bytes) {
                    builder.add(document)
                }
            } catch {
                self.warn("left out: \(error)")
            }
        }
        guard builder.documentCount > 0 else {
            throw Failure(
                description: "no document could be read out of \(manifest.files.count) files below "
                    + self.paths.joined(separator: ", "))
        }
        let documents = builder.documentCount
        let chunks = builder.chunkCount
        let terms = builder.termCount
        let vectors = try self.vectors(of: builder)
        let index = builder.finish(manifest: manifest, vectors: vectors)
        do {
            try self.directory.publish(index.parts, generation: index.generation)
        } catch {
            throw Failure(description: "\(error)")
        }
        return Summary(
            files: manifest.files.count, documents: documents, chunks: chunks, terms: terms,
            generation: index.generation)
    }
}
