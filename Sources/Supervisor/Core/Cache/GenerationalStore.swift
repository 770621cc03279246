import Protocol

/// A store whose entries are forgotten all at once, whatever their number.
///
/// Each entry belongs to a generation, a number that is never used again, and a key begins with it: what belongs to a
/// generation that is over is never found, and takes memory until a sweep has come by, a slice at a time.
struct GenerationalStore: ~Copyable {
    /// Entries that are looked at in one slice of a sweep: some 50 µs.
    private static let slice = 1024

    var store: LRUStore<UInt64>
    /// Entries of generations that are over may be left.
    private(set) var isSweeping = false
    /// Another generation has ended since this sweep began.
    private var sweepsAgain = false
    private var generations: UInt64 = 0

    init(_ limits: LRUStore<UInt64>.Limits) { self.store = LRUStore(limits) }

    /// One that was never there.
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

    /// What status shows of it; entries and bytes count until they are swept.
    var figures: [JSONValue.Member] {
        let counters = self.store.counters
        return [
            .init("entries", .integer(self.store.count)), .init("bytes", .integer(self.store.bytes)),
            .init("max_entries", .integer(self.store.limits.entries)),
            .init("max_bytes", .integer(self.store.limits.bytes)),
            .init("hits", .integer(counters.hits)),
            .init("expirations", .integer(counters.expirations)),
            .init("evictions", .integer(counters.evictionsForEntries + counters.evictionsForBytes)),
            .init("refusals", .integer(counters.refusals)),
        ]
    }
}
