import Protocol

/// Results of calls that may be given to others who ask the same.
///
/// A key is what makes two calls the same, one part behind the other:
///
///     generation │ 0, or 1 and the uid │ length and name of the method │ canonical params
///     8 bytes    │ 1 or 5 bytes        │ 2 bytes and the name          │ the rest; nothing where there are none
///
/// The generation is a number that no pool has had before: a pool gets a new one when what it answered so far does
/// not count any more (a clear, another epoch, a rollout). So what is older is never found, and a fill that was
/// under way at that moment is not stored. What was stored takes memory until `sweep` has come by.
struct ResponseCache: ~Copyable {
    typealias Store = LRUStore<UInt64>

    /// Params larger than this are not cached: to sort what one client sends must not take the loop's time from
    /// all others, nor may the keys of its open calls take more memory than the calls.
    static let paramsLimit = 64 * 1024

    private var entries: GenerationalStore
    /// Calls that found nothing and went to a worker.
    var misses: UInt64 = 0
    /// Calls that shared the call of another.
    var coalesced: UInt64 = 0
    /// How long past its time a response may be given while a new one is fetched; 0: not at all.
    private(set) var staleWhileRevalidate: Nanoseconds = 0
    /// How long past its time a response may be given in place of an error; 0: not at all.
    private(set) var staleIfError: Nanoseconds = 0
    private var canonical = CanonicalJSON()
    private var spellings = SpellingMemo()
    private var spelled = CallKey()

    init(_ settings: Configuration.Cache) {
        self.entries = GenerationalStore(Self.limits(settings))
        self.configure(settings)
    }

    /// Takes new limits at once.
    mutating func configure(_ settings: Configuration.Cache) {
        self.staleWhileRevalidate = settings.staleWhileRevalidate ?? 0
        self.staleIfError = settings.staleIfError ?? 0
        self.entries.store.setLimits(Self.limits(settings))
    }

    private static func limits(_ settings: Configuration.Cache) -> Store.Limits {
        Store.Limits(
            entries: settings.responseCacheSize, bytes: settings.responseCacheBytes,
            timeToLive: settings.responseCacheTTL,
            staleFor: max(settings.staleWhileRevalidate ?? 0, settings.staleIfError ?? 0))
    }

    var isOn: Bool {
        self.entries.store.limits.entries > 0 && self.entries.store.limits.bytes > 0
    }

    // MARK: Keys

    /// Makes the key of a call.
    ///
    /// - Parameters:
    ///   - method: the name, escapes resolved.
    ///   - uid: the caller's, when its responses are for this user only.
    /// - Returns: false when the call cannot be cached: its params have no canonical form, or are too large.
    mutating func makeKey(
        generation: UInt64, method: UnsafeRawBufferPointer, params: UnsafeRawBufferPointer?, uid: UInt32?,
        _ key: inout CallKey
    ) -> Bool {
        key.removeAll()
        key.append(bytesOf: generation)
        key.append(bytesOf: UInt8(uid == nil ? 0 : 1))
        if let uid { key.append(bytesOf: uid) }
        key.append(bytesOf: UInt16(truncatingIfNeeded: method.count))
        key.append(method)
        guard let params else {
            key.hash = Store.hash(key.bytes)
            return true
        }
        guard params.count <= Self.paramsLimit else { return false }
        let start = key.count
        key.append(params)
        if let known = self.spellings.find(key.bytes) {
            key.removeAll(from: start)
            key.append(known.canonical)
            key.hash = known.hash
            return true
        }
        return self.makeCanonical(&key, from: start, params)
    }

    /// Puts the canonical form of params in their place.
    private mutating func makeCanonical(
        _ key: inout CallKey, from start: Int, _ params: UnsafeRawBufferPointer
    ) -> Bool {
        guard let canonical = self.canonical.form(of: params) else { return false }
        self.spelled.removeAll()
        self.spelled.append(key.bytes)
        key.removeAll(from: start)
        key.append(canonical)
        key.hash = Store.hash(key.bytes)
        self.spellings.note(self.spelled.bytes, canonical: canonical, hash: key.hash)
        return true
    }

    // MARK: Responses

    /// Looks a response up.
    ///
    /// - Parameter window: how long past its time it may be.
    mutating func lookUp(
        _ key: borrowing CallKey, at now: Instant, staleFor window: Nanoseconds
    ) -> Store.Found? {
        self.entries.store.lookUp(key.bytes, hash: key.hash, at: now, staleFor: window)
    }

    /// The same for a key that was kept.
    mutating func lookUp(_ key: [UInt8], at now: Instant, staleFor window: Nanoseconds) -> Store.Found? {
        key.withUnsafeBytes {
            self.entries.store.lookUp($0, hash: Store.hash($0), at: now, staleFor: window)
        }
    }

    /// How long ago the response of a key was stored, and whether that is past its time; nil: there is none. Leaves
    /// no trace.
    func peek(_ key: borrowing CallKey, at now: Instant) -> (age: Nanoseconds, isStale: Bool)? {
        guard let age = self.entries.store.age(of: key.bytes, at: now) else { return nil }
        return (age, age >= self.entries.store.limits.timeToLive)
    }

    mutating func put(_ key: [UInt8], _ result: UnsafeRawBufferPointer, generation: UInt64, at now: Instant) {
        _ = key.withUnsafeBytes { self.entries.store.put($0, result, tag: generation, at: now) }
    }

    // MARK: Generations

    mutating func makeGeneration() -> UInt64 { self.entries.makeGeneration() }
    var isSweeping: Bool { self.entries.isSweeping }
    mutating func beginSweep() { self.entries.beginSweep() }
    mutating func sweep(_ present: [UInt64]) { self.entries.sweep(present) }
    func count(of present: [UInt64]) -> Int { self.entries.count(of: present) }

    var figures: JSONValue {
        .object(
            self.entries.figures + [
                .init("stale_hits", .integer(self.entries.store.counters.staleHits)),
                .init("misses", .integer(self.misses)), .init("coalesced", .integer(self.coalesced)),
            ])
    }
}

extension [UInt8] {
    /// Appends a number as it lies in memory.
    mutating func appendBytes(of number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number) { self.append(contentsOf: $0) }
    }
}
