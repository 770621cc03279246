import Protocol

/// Vectors of texts, as 32-bit floats in the order of memory, for all pools and their workers.
///
/// What makes two embeddings the same: the model and the exact bytes of the text, within a pool (unless
/// `cache.shared_models` names the model) and, where the caller wants it, for one user only.
///
///     generation │ bytes of the scope │ uid or nothing │ pool or nothing │ model │ text
///     8 bytes    │ 2 bytes            └────────────── the scope ────────────────┘ the rest
///
/// A vector never changes, so only a clear begins another generation. What is kept in the file is all but that.
struct EmbeddingCache: ~Copyable {
    typealias Store = LRUStore<UInt64>

    /// What a model's name may take; under longer ones nothing is kept.
    private static let modelBytes = 1024
    /// Models whose lengths of vectors are remembered.
    private static let modelLimit = 256

    /// Where a look-up or a put takes place.
    struct Scope: Equatable, Sendable {
        fileprivate let bytes: [UInt8]

        /// - Parameters:
        ///   - pool: nil for a model that all pools share.
        ///   - uid: of the one user who is to find it.
        /// - Returns: nil when the names are too long.
        init?(pool: String?, model: [UInt8], uid: UInt32?) {
            guard model.count <= EmbeddingCache.modelBytes, (pool?.utf8.count ?? 0) <= 1024 else {
                return nil
            }
            var bytes: [UInt8] = [(uid == nil ? 0 : 1) | (pool == nil ? 0 : 2)]
            if let uid { bytes.appendBytes(of: uid) }
            if let pool {
                bytes.appendBytes(of: UInt16(pool.utf8.count))
                bytes.append(contentsOf: pool.utf8)
            }
            self.bytes = bytes + model
        }

        fileprivate init(bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }
    }

    private struct Model {
        /// Numbers of a vector.
        var dimensions: Int
        var lastUse: UInt64
    }

    private var entries: GenerationalStore
    /// Fills that began in another generation are not stored.
    private(set) var generation: UInt64
    private var models: [[UInt8]: Model] = [:]
    private var uses: UInt64 = 0
    private var key: [UInt8] = []
    /// Texts that were not found.
    private(set) var misses: UInt64 = 0
    /// Vectors that were refused for their length.
    private(set) var rejections: UInt64 = 0
    /// Vectors stored, or all forgotten, since the file was written last.
    private(set) var hasChanged = false

    init(_ settings: Configuration.Cache) {
        self.entries = GenerationalStore(Self.limits(settings))
        self.generation = self.entries.makeGeneration()
    }

    mutating func configure(_ settings: Configuration.Cache) {
        self.entries.store.setLimits(Self.limits(settings))
    }

    private static func limits(_ settings: Configuration.Cache) -> Store.Limits {
        Store.Limits(
            entries: settings.embeddingCacheSize, bytes: settings.embeddingCacheBytes,
            timeToLive: settings.embeddingCacheTTL)
    }

    // MARK: Vectors

    /// Appends the vector of a text.
    ///
    /// - Returns: whether there is one.
    mutating func appendVector(
        of text: some Collection<UInt8>, _ scope: Scope?, at now: Instant, to output: inout [UInt8]
    ) -> Bool {
        guard let scope else {
            self.misses += 1
            return false
        }
        self.makeKey(scope, text)
        let found = self.key.withUnsafeBytes { self.entries.store.lookUp($0, at: now, staleFor: 0) }
        guard let found, found.value.count == (self.dimensions(of: scope) ?? 0) * 4 else {
            self.misses += 1
            return false
        }
        output.append(contentsOf: found.value)
        return true
    }

    /// Numbers of a vector of that model; nil while none is known.
    mutating func dimensions(of scope: Scope) -> Int? {
        self.uses += 1
        self.models[scope.bytes]?.lastUse = self.uses
        return self.models[scope.bytes]?.dimensions
    }

    /// Keeps a vector; it has the length that `accepts` was asked about.
    mutating func put(
        _ vector: UnsafeRawBufferPointer, of text: some Collection<UInt8>, _ scope: Scope, at now: Instant
    ) {
        if self.keep(vector, text, scope, at: now) { self.hasChanged = true }
    }

    /// - Returns: false when the store has no room for it.
    private mutating func keep(
        _ vector: UnsafeRawBufferPointer, _ text: some Collection<UInt8>, _ scope: Scope, at time: Instant
    ) -> Bool {
        self.makeKey(scope, text)
        return self.key.withUnsafeBytes {
            self.entries.store.put($0, vector, tag: self.generation, at: time)
        }
    }

    /// Whether vectors of that length are the model's: the first one decides for all that follow, until a clear.
    mutating func accepts(dimensions: Int, _ scope: Scope) -> Bool {
        if let known = self.dimensions(of: scope) {
            if known == dimensions { return true }
            self.rejections += 1
            return false
        }
        if self.models.count == Self.modelLimit,
            let oldest = self.models.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            self.models[oldest.key] = nil
        }
        self.models[scope.bytes] = Model(dimensions: dimensions, lastUse: self.uses)
        return true
    }

    private mutating func makeKey(_ scope: Scope, _ text: some Collection<UInt8>) {
        self.key.removeAll(keepingCapacity: true)
        self.key.appendBytes(of: self.generation)
        self.key.appendBytes(of: UInt16(scope.bytes.count))
        self.key.append(contentsOf: scope.bytes)
        self.key.append(contentsOf: text)
    }

    // MARK: Forgetting

    /// Forgets everything, the models' lengths too.
    ///
    /// - Returns: how many there were.
    mutating func clear() -> Int {
        let count = self.entries.count(of: [self.generation])
        self.generation = self.entries.makeGeneration()
        self.models = [:]
        self.hasChanged = true
        self.entries.beginSweep()
        return count
    }

    var isSweeping: Bool { self.entries.isSweeping }
    mutating func sweep() { self.entries.sweep([self.generation]) }

    var figures: JSONValue {
        .object(
            self.entries.figures + [
                .init("misses", .integer(self.misses)), .init("rejections", .integer(self.rejections)),
                .init("models", .integer(self.models.count)),
            ])
    }

    // MARK: The file

    /// What there is now is about to be written.
    mutating func noteSaved() { self.hasChanged = false }
    /// It could not be.
    mutating func noteUnsaved() { self.hasChanged = true }

    /// Visits some of the vectors, for the file.
    ///
    /// - Parameters:
    ///   - cursor: where to go on; 0 at first.
    ///   - visit: a key without its generation, the vector, and when it was stored.
    /// - Returns: whether there may be more.
    func visit(
        _ cursor: inout Int, limit: Int,
        _ visit: (_ key: UnsafeRawBufferPointer, _ vector: UnsafeRawBufferPointer, _ storedAt: Instant) ->
            Void
    ) -> Bool {
        self.entries.store.visit(&cursor, limit: limit) { key, value, generation, storedAt in
            guard generation == self.generation else { return }
            visit(UnsafeRawBufferPointer(rebasing: key[8...]), value, storedAt)
        }
    }

    /// Takes a vector from the file.
    ///
    /// - Parameter key: as `visit` gave it.
    /// - Returns: whether it is kept.
    mutating func restore(
        _ key: UnsafeRawBufferPointer, _ vector: UnsafeRawBufferPointer, storedAt: Instant
    ) -> Bool {
        guard key.count >= 3, !vector.isEmpty, vector.count % 4 == 0 else { return false }
        let length = Int(key.loadUnaligned(as: UInt16.self))
        guard key.count >= 2 + length else { return false }
        let scope = Scope(bytes: Array(key[2..<2 + length])[...])
        guard self.accepts(dimensions: vector.count / 4, scope) else { return false }
        return self.keep(vector, key[(2 + length)...], scope, at: storedAt)
    }
}
