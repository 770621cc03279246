import Protocol

/// What a record of the file of embeddings is.
enum EmbeddingRecordKind: UInt8, Sendable {
    /// Key and value as `EmbeddingCache.visit` gives them.
    case vector = 0
    /// Key: a pool's name. Value: the hash of its command and of its epoch, then the name of its model.
    case model = 1
}

/// How far the file of embeddings is written.
struct EmbeddingFileProgress: Equatable {
    enum Stage: Equatable {
        case idle
        /// Something is to be written, in a while.
        case waiting
        case writing(cursor: Int)
    }
    var stage = Stage.idle
    /// The supervisor stops at once: what was written last has to do.
    var isGivenUp = false
}

/// The file in which the embeddings outlive the supervisor: written some seconds after they changed, a slice at a time,
/// and at the end.
extension SupervisorCore {
    /// Between a change and the file.
    private static let patience = Nanoseconds.seconds(60)
    private static let sliceInterval = Nanoseconds.milliseconds(1)
    /// Vectors in one slice: some 400 KB, 0.2 ms.
    private static let slice = 64

    private var hasEmbeddingFile: Bool { self.configuration.cache.embeddingCacheFile != nil }

    mutating func saveEmbeddingsLater() {
        guard self.hasEmbeddingFile, self.embeddingFile.stage == .idle, self.phase == .running else { return }
        self.embeddingFile.stage = .waiting
        self.setTimer(.embeddingFile, 0, after: Self.patience)
    }

    /// What was cleared must not come back with the file.
    mutating func saveEmbeddingsNow() {
        guard self.hasEmbeddingFile, self.phase == .running else { return }
        self.embeddingFile.stage = .waiting
        self.setTimer(.embeddingFile, 0, after: 0)
    }

    mutating func embeddingFileTimerFired(_ effects: inout some SupervisorEffects) {
        guard self.phase == .running else { return }
        switch self.embeddingFile.stage {
        case .idle: return
        case .waiting:
            guard effects.beginEmbeddingFile() else {
                return self.setTimer(.embeddingFile, 0, after: Self.patience)
            }
            self.embeddings.noteSaved()
            self.writeModels(&effects)
            self.embeddingFile.stage = .writing(cursor: 0)
        case .writing(var cursor):
            if self.writeVectors(&cursor, limit: Self.slice, &effects) {
                self.embeddingFile.stage = .writing(cursor: cursor)
            } else {
                if !effects.endEmbeddingFile(durably: false) { self.embeddings.noteUnsaved() }
                self.embeddingFile.stage = .idle
                if self.embeddings.hasChanged { self.saveEmbeddingsLater() }
                return
            }
        }
        self.setTimer(.embeddingFile, 0, after: Self.sliceInterval)
    }

    /// The supervisor is about to end.
    mutating func saveEmbeddingsAtTheEnd(_ effects: inout some SupervisorEffects) {
        let isOutdated = self.embeddings.hasChanged || self.embeddingFile.stage != .idle
        guard self.hasEmbeddingFile, isOutdated, !self.embeddingFile.isGivenUp, effects.beginEmbeddingFile()
        else { return }
        self.writeModels(&effects)
        var cursor = 0
        while self.writeVectors(&cursor, limit: Self.slice, &effects) {}
        // Nobody is left to try it again: the shell has logged what went wrong.
        _ = effects.endEmbeddingFile(durably: true)
    }

    private func writeVectors(
        _ cursor: inout Int, limit: Int, _ effects: inout some SupervisorEffects
    ) -> Bool {
        self.embeddings.visit(&cursor, limit: limit) { key, vector, storedAt in
            let age = self.now.duration(since: storedAt) / .milliseconds(1)
            effects.appendToEmbeddingFile(.vector, key: key, value: vector, storedAt: self.wallClock - age)
        }
    }

    private func writeModels(_ effects: inout some SupervisorEffects) {
        for pool in self.pools {
            guard let model = pool.embeddingModel else { continue }
            var value: [UInt8] = []
            value.appendBytes(of: Self.hash(ofCommand: pool.configuration.command))
            // One from the file that no worker has confirmed yet goes back as it came.
            if case .file(let epoch) = model.source {
                value.appendBytes(of: epoch)
            } else {
                value.appendBytes(of: pool.epochs.present.hash)
            }
            value.append(contentsOf: model.name)
            Array(pool.configuration.name.utf8).withUnsafeBytes { key in
                value.withUnsafeBytes {
                    effects.appendToEmbeddingFile(.model, key: key, value: $0, storedAt: self.wallClock)
                }
            }
        }
    }

    private static func hash(ofCommand command: [String]) -> UInt64 {
        XXHash64.hash(command.flatMap { Array($0.utf8) + [0] })
    }

    /// Takes a record of the file, before the start.
    ///
    /// - Parameter storedAt: milliseconds since 1970; a time to come counts as now.
    /// - Returns: whether it is of use.
    mutating func restoreEmbedding(
        _ kind: UInt8, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, storedAt: Int64
    ) -> Bool {
        switch EmbeddingRecordKind(rawValue: kind) {
        case .vector?:
            let timeToLive = self.configuration.cache.embeddingCacheTTL
            let age = min(max(0, self.wallClock - storedAt), timeToLive / .milliseconds(1) + 1)
            guard age * .milliseconds(1) < timeToLive else { return false }
            let time = self.now.advanced(by: -age * .milliseconds(1))
            return self.embeddings.restore(key, value, storedAt: time)
        case .model?:
            guard value.count > 16,
                let pool = self.pools.firstIndex(where: { key.elementsEqual($0.configuration.name.utf8) }),
                value.loadUnaligned(as: UInt64.self)
                    == Self.hash(ofCommand: self.pools[pool].configuration.command)
            else { return false }
            let epoch = value.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            self.pools[pool].embeddingModel = EmbeddingModel(
                name: Array(value[16...]), source: .file(epoch: epoch))
            return true
        case nil:
            return false
        }
    }
}
