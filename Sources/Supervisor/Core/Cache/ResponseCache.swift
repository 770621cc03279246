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
    private static let paramsLimit = 64 * 1024
    /// Entries that are looked at in one slice of a sweep: some 50 µs.
    private static let slice = 1024

    private var store: Store
    /// Calls that found nothing and went to a worker.
    var misses: UInt64 = 0
    /// Calls that shared the call of another.
    var coalesced: UInt64 = 0
    /// How long past its time a response may be given while a new one is fetched; 0: not at all.
    private(set) var staleWhileRevalidate: Nanoseconds = 0
    /// How long past its time a response may be given in place of an error; 0: not at all.
    private(set) var staleIfError: Nanoseconds = 0
    /// Entries of dead generations may be left.
    private(set) var isSweeping = false
    /// Another generation has ended since this sweep began.
    private var sweepsAgain = false
    private var generations: UInt64 = 0
    private(set) var key: [UInt8] = []
    private var canonical = CanonicalJSON()

    init(_ settings: Configuration.Cache) {
        self.store = Store(Self.limits(settings))
        self.configure(settings)
    }

    /// Takes new limits at once.
    mutating func configure(_ settings: Configuration.Cache) {
        self.staleWhileRevalidate = settings.staleWhileRevalidate ?? 0
        self.staleIfError = settings.staleIfError ?? 0
        self.store.setLimits(Self.limits(settings))
    }

    private static func limits(_ settings: Configuration.Cache) -> Store.Limits {
        Store.Limits(
            entries: settings.responseCacheSize, bytes: settings.responseCacheBytes,
            timeToLive: settings.responseCacheTTL,
            staleFor: max(settings.staleWhileRevalidate ?? 0, settings.staleIfError ?? 0))
    }

    var isOn: Bool { self.store.limits.entries > 0 && self.store.limits.bytes > 0 }

    // MARK: Keys

    /// Makes `key` that of a call.
    ///
    /// - Parameters:
    ///   - method: the name, escapes resolved.
    ///   - uid: the caller's, when its responses are for this user only.
    /// - Returns: false when the call cannot be cached: its params have no canonical form, or are too large.
    mutating func makeKey(
        generation: UInt64, method: UnsafeRawBufferPointer, params: UnsafeRawBufferPointer?, uid: UInt32?
    ) -> Bool {
        self.key.removeAll(keepingCapacity: true)
        self.append(generation)
        if let uid {
            self.key.append(1)
            self.append(uid)
        } else {
            self.key.append(0)
        }
        self.append(UInt16(truncatingIfNeeded: method.count))
        self.key.append(contentsOf: method)
        guard let params else { return true }
        guard params.count <= Self.paramsLimit else { return false }
        return self.canonical.append(params, to: &self.key)
    }

    private mutating func append(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number) { self.key.append(contentsOf: $0) }
    }

    // MARK: Responses

    /// Looks a response up.
    ///
    /// - Parameters:
    ///   - key: nil: that of the call which `makeKey` was last asked for.
    ///   - window: how long past its time it may be.
    mutating func lookUp(_ key: [UInt8]? = nil, at now: Instant, staleFor window: Nanoseconds) -> Store.Found?
    {
        let key = key ?? self.key
        return key.withUnsafeBytes { self.store.lookUp($0, at: now, staleFor: window) }
    }

    mutating func put(_ key: [UInt8], _ result: UnsafeRawBufferPointer, generation: UInt64, at now: Instant) {
        _ = key.withUnsafeBytes { self.store.put($0, result, tag: generation, at: now) }
    }

    // MARK: Generations

    /// A generation that no pool has had.
    mutating func makeGeneration() -> UInt64 {
        self.generations += 1
        return self.generations
    }

    /// A generation has ended: its entries are to be swept.
    mutating func beginSweep() {
        self.sweepsAgain = self.isSweeping
        self.isSweeping = self.store.count > 0
    }

    /// Drops some of the entries whose generation is not among the present ones.
    mutating func sweep(_ present: [UInt64]) {
        let isDone = self.store.sweep(Self.slice) { !present.contains($0) }
        guard isDone else { return }
        self.isSweeping = self.sweepsAgain
        self.sweepsAgain = false
    }

    /// Entries of the present generations. O(entries) while a sweep is under way, else O(1).
    func count(of present: [UInt64]) -> Int {
        self.isSweeping ? self.store.count { present.contains($0) } : self.store.count
    }

    /// What status shows; entries and bytes count until they are swept.
    var figures: JSONValue {
        let counters = self.store.counters
        return [
            "entries": .integer(self.store.count), "bytes": .integer(self.store.bytes),
            "max_entries": .integer(self.store.limits.entries),
            "max_bytes": .integer(self.store.limits.bytes),
            "hits": .integer(counters.hits), "stale_hits": .integer(counters.staleHits),
            "misses": .integer(self.misses), "coalesced": .integer(self.coalesced),
            "expirations": .integer(counters.expirations),
            "evictions": .integer(counters.evictionsForEntries + counters.evictionsForBytes),
            "refusals": .integer(counters.refusals),
        ]
    }
}
