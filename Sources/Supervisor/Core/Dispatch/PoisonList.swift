/// Requests that are refused for a time because they cost two workers their lives (promises, "Retry").
///
/// Bounded by count and by size: a request is remembered by a hash, not by its params.
struct PoisonList {
    /// What makes two requests the same: pool, method and params, hashed. The hash (SipHash) is keyed anew in
    /// every process, so that no client can make one that meets another user's; besides, entries count only
    /// for the user whose call it was.
    typealias Fingerprint = Int

    private struct Entry {
        var uid: UInt32
        var fingerprint: Fingerprint
        var until: Instant
    }

    /// How long a request is refused.
    static let term = Nanoseconds.seconds(600)
    /// Requests that are kept; the oldest is forgotten for one more.
    static let capacity = 1000

    /// The oldest first, which is also the one that ends first.
    private var entries: [Entry] = []

    var count: Int { self.entries.count }

    /// Whether the user has any: only then is it worth the while to look at a request's params. O(entries).
    mutating func concerns(_ uid: UInt32, at now: Instant) -> Bool {
        guard !self.entries.isEmpty else { return false }
        self.forgetEnded(at: now)
        return self.entries.contains { $0.uid == uid }
    }

    func contains(_ fingerprint: Fingerprint, of uid: UInt32) -> Bool {
        self.entries.contains { $0.fingerprint == fingerprint && $0.uid == uid }
    }

    mutating func insert(_ fingerprint: Fingerprint, of uid: UInt32, at now: Instant) {
        self.forgetEnded(at: now)
        self.entries.removeAll { $0.fingerprint == fingerprint && $0.uid == uid }
        if self.entries.count == Self.capacity { self.entries.removeFirst() }
        self.entries.append(
            Entry(uid: uid, fingerprint: fingerprint, until: now.advanced(by: Self.term)))
    }

    mutating func removeAll() { self.entries.removeAll() }

    private mutating func forgetEnded(at now: Instant) {
        let ended = self.entries.prefix { $0.until <= now }.count
        if ended > 0 { self.entries.removeFirst(ended) }
    }
}
