import Glibc

/// Byte strings by byte keys, of which the least recently used are forgotten first: by number, by bytes, and by age.
///
///     put("a", "1"), put("b", "2"), get("a")        the order, newest first: a, b
///     put("c", "3") where two are allowed           b is evicted: c, a
///
/// An entry is one allocation that holds key and value, one node of a doubly linked list, and one place of an open
/// hash table. Its weight is key + value + 64 bytes, which is what that costs: the sum of weights is resident
/// memory within a few per cent, and never above the limit. Keys are compared whole: equal hashes are no equal keys.
///
/// Every operation is O(1) but for the evictions that a large entry makes necessary, and for the table's growth,
/// which moves all entries once for each doubling (10 ms for a million).
struct LRUStore<Tag: Equatable & BitwiseCopyable>: ~Copyable {
    struct Limits: Equatable, Sendable {
        var entries: Int
        /// Of all weights.
        var bytes: Int64
        /// From then on an entry is stale.
        var timeToLive: Nanoseconds
        /// So long after that it may still be looked at as stale.
        var staleFor: Nanoseconds = 0
    }

    /// What happened since the store was made; entries now and their bytes are its properties.
    struct Counters: Equatable, Sendable {
        var hits: UInt64 = 0
        /// Found past its time, within the stale window.
        var staleHits: UInt64 = 0
        var misses: UInt64 = 0
        /// Found past all its time, and dropped.
        var expirations: UInt64 = 0
        /// Dropped to make room for others, for their number or for their bytes.
        var evictionsForEntries: UInt64 = 0
        var evictionsForBytes: UInt64 = 0
        /// Not kept, being larger than an eighth of all.
        var refusals: UInt64 = 0
    }

    /// What an entry costs besides its key and value: allocation, node and place in the table.
    static var overhead: Int { 64 }

    private struct Node {
        /// Key, then value; nil while the node is free.
        var bytes: UnsafeMutableRawPointer?
        var keyCount: UInt32
        var valueCount: UInt32
        var hash: UInt64
        /// Neighbours in the order of use; a free node's `older` is the next free one.
        var older: UInt32
        var newer: UInt32
        var storedAt: Instant
        var tag: Tag

        var weight: Int64 { Int64(self.keyCount) + Int64(self.valueCount) + 64 }
    }

    private static var none: UInt32 { .max }
    private static var nodesPerSegment: Int { 1024 }

    private(set) var limits: Limits
    private(set) var counters = Counters()
    private(set) var count = 0
    /// The sum of all weights.
    private(set) var bytes: Int64 = 0

    /// Nodes in segments that never move.
    private var segments: [UnsafeMutablePointer<Node>] = []
    private var nodesMade = 0
    private var firstFree = LRUStore.none
    private var newest = LRUStore.none
    private var oldest = LRUStore.none
    /// Indices of nodes by hash; linear probing, at most three quarters full.
    private var table: [UInt32]
    /// Where `sweep` goes on.
    private var sweepAt = 0

    /// - Parameter limits: no entries or no bytes: nothing is ever kept.
    init(_ limits: Limits) {
        self.limits = limits
        self.table = [UInt32](repeating: Self.none, count: 16)
    }

    deinit {
        for index in 0..<self.nodesMade {
            self.segments[index / Self.nodesPerSegment][index % Self.nodesPerSegment].bytes?.deallocate()
        }
        for segment in self.segments { segment.deallocate() }
    }

    // MARK: Look-up

    /// What a look-up finds.
    struct Found {
        /// Good until the store is changed.
        let value: UnsafeRawBufferPointer
        /// Since it was stored.
        let age: Nanoseconds
        /// Past its time to live.
        let isStale: Bool
    }

    /// Looks a key up; what is found is the most recently used from now on.
    ///
    /// - Parameter window: how long past its time to live an entry still counts as found; at most
    ///   `limits.staleFor`, which is how long it is kept.
    /// - Returns: nil when there is nothing; an entry past all its time is dropped.
    mutating func lookUp(
        _ key: UnsafeRawBufferPointer, at now: Instant, staleFor window: Nanoseconds
    ) -> Found? {
        guard let index = self.find(key, Self.hash(key)) else {
            self.counters.misses += 1
            return nil
        }
        let age = now.duration(since: self[index].storedAt)
        guard age < self.limits.timeToLive + window else {
            self.counters.misses += 1
            if age >= self.limits.timeToLive + self.limits.staleFor {
                self.counters.expirations += 1
                self.drop(index)
            }
            return nil
        }
        let isStale = age >= self.limits.timeToLive
        if isStale { self.counters.staleHits += 1 } else { self.counters.hits += 1 }
        self.unlink(index)
        self.linkAsNewest(index)
        let node = self[index]
        let all = UnsafeRawBufferPointer(
            start: node.bytes, count: Int(node.keyCount) + Int(node.valueCount))
        return Found(
            value: UnsafeRawBufferPointer(rebasing: all[Int(node.keyCount)...]), age: age, isStale: isStale)
    }

    // MARK: Change

    /// Keeps a value, in place of the one that the key had.
    ///
    /// - Parameter tag: what `sweep` tells entries apart by.
    /// - Returns: false when it is not kept: nothing is, or it is larger than an eighth of all.
    @discardableResult
    mutating func put(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, tag: Tag, at now: Instant
    ) -> Bool {
        let hash = Self.hash(key)
        if let index = self.find(key, hash) { self.drop(index) }
        let weight = Int64(key.count) + Int64(value.count) + Int64(Self.overhead)
        guard self.limits.entries > 0, weight <= self.limits.bytes / 8,
            key.count < Int(UInt32.max), value.count < Int(UInt32.max)
        else {
            if self.limits.entries > 0, self.limits.bytes > 0 { self.counters.refusals += 1 }
            return false
        }
        self.makeRoom(entries: 1, bytes: weight)
        self.insert(key, value, hash, tag, now)
        return true
    }

    /// - Returns: whether there was one.
    @discardableResult
    mutating func remove(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let index = self.find(key, Self.hash(key)) else { return false }
        self.drop(index)
        return true
    }

    /// - Returns: how many there were.
    @discardableResult
    mutating func removeAll() -> Int {
        let before = self.count
        while self.oldest != Self.none { self.drop(self.oldest) }
        return before
    }

    /// Takes new limits; what is beyond them goes at once, the oldest first.
    mutating func setLimits(_ limits: Limits) {
        self.limits = limits
        self.makeRoom(entries: 0, bytes: 0)
    }

    /// Drops entries by their tags, a part of the store at a time, so that a large one holds nothing up.
    ///
    /// - Parameters:
    ///   - limit: nodes to look at.
    ///   - isDead: whether an entry of that tag goes.
    /// - Returns: true when all nodes have been looked at since the last time it was true.
    mutating func sweep(_ limit: Int, where isDead: (Tag) -> Bool) -> Bool {
        for _ in 0..<limit {
            guard self.sweepAt < self.nodesMade else {
                self.sweepAt = 0
                return true
            }
            let index = UInt32(self.sweepAt)
            if self[index].bytes != nil, isDead(self[index].tag) { self.drop(index) }
            self.sweepAt += 1
        }
        return false
    }

    /// Visits entries in the order in which they lie in memory, a part of the store at a time.
    ///
    /// - Parameters:
    ///   - cursor: where to go on; 0 at first. What is stored behind it meanwhile is missed.
    ///   - limit: nodes to look at.
    /// - Returns: whether there are more nodes.
    func visit(
        _ cursor: inout Int, limit: Int,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, Tag, Instant) -> Void
    ) -> Bool {
        let end = min(cursor + limit, self.nodesMade)
        while cursor < end {
            let node = self[UInt32(cursor)]
            cursor += 1
            guard let bytes = node.bytes else { continue }
            let (keyCount, valueCount) = (Int(node.keyCount), Int(node.valueCount))
            body(
                UnsafeRawBufferPointer(start: bytes, count: keyCount),
                UnsafeRawBufferPointer(start: bytes + keyCount, count: valueCount), node.tag, node.storedAt)
        }
        return cursor < self.nodesMade
    }

    private mutating func makeRoom(entries: Int, bytes: Int64) {
        while self.oldest != Self.none {
            if self.count + entries > self.limits.entries {
                self.counters.evictionsForEntries += 1
            } else if self.bytes + bytes > self.limits.bytes {
                self.counters.evictionsForBytes += 1
            } else {
                return
            }
            self.drop(self.oldest)
        }
    }

    private mutating func insert(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ hash: UInt64, _ tag: Tag,
        _ now: Instant
    ) {
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, key.count + value.count), alignment: 1)
        if let base = key.baseAddress { bytes.copyMemory(from: base, byteCount: key.count) }
        if let base = value.baseAddress {
            bytes.advanced(by: key.count).copyMemory(from: base, byteCount: value.count)
        }
        let index = self.claimNode(
            Node(
                bytes: bytes, keyCount: UInt32(key.count), valueCount: UInt32(value.count), hash: hash,
                older: Self.none, newer: Self.none, storedAt: now, tag: tag))
        self.count += 1
        self.bytes += self[index].weight
        self.linkAsNewest(index)
        if self.count * 4 > self.table.count * 3 { self.growTable() }
        self.enter(index, hash)
    }

    /// Forgets an entry, wherever it stands.
    private mutating func drop(_ index: UInt32) {
        self.leaveTable(index)
        self.unlink(index)
        self.count -= 1
        self.bytes -= self[index].weight
        self[index].bytes?.deallocate()
        self[index].bytes = nil
        self[index].older = self.firstFree
        self.firstFree = index
    }

    // MARK: Nodes

    private subscript(_ index: UInt32) -> Node {
        get {
            self.segments[Int(index) / Self.nodesPerSegment][Int(index) % Self.nodesPerSegment]
        }
        nonmutating _modify {
            yield &self.segments[Int(index) / Self.nodesPerSegment][Int(index) % Self.nodesPerSegment]
        }
    }

    private mutating func claimNode(_ node: Node) -> UInt32 {
        if self.firstFree != Self.none {
            let index = self.firstFree
            self.firstFree = self[index].older
            self[index] = node
            return index
        }
        let index = self.nodesMade
        if index / Self.nodesPerSegment == self.segments.count {
            self.segments.append(.allocate(capacity: Self.nodesPerSegment))
        }
        (self.segments[index / Self.nodesPerSegment] + index % Self.nodesPerSegment).initialize(to: node)
        self.nodesMade += 1
        return UInt32(index)
    }

    private mutating func linkAsNewest(_ index: UInt32) {
        self[index].newer = Self.none
        self[index].older = self.newest
        if self.newest != Self.none { self[self.newest].newer = index }
        self.newest = index
        if self.oldest == Self.none { self.oldest = index }
    }

    private mutating func unlink(_ index: UInt32) {
        let (older, newer) = (self[index].older, self[index].newer)
        if older != Self.none { self[older].newer = newer } else { self.oldest = newer }
        if newer != Self.none { self[newer].older = older } else { self.newest = older }
    }

    // MARK: Table

    /// SipHash with a key of this process: whoever sends keys cannot choose where they collide.
    private static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(bytes: key)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private func place(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (self.table.count - 1) }

    private func find(_ key: UnsafeRawBufferPointer, _ hash: UInt64) -> UInt32? {
        var place = self.place(of: hash)
        while self.table[place] != Self.none {
            let node = self[self.table[place]]
            if node.hash == hash, Int(node.keyCount) == key.count, Self.areEqual(node.bytes, key) {
                return self.table[place]
            }
            place = (place + 1) & (self.table.count - 1)
        }
        return nil
    }

    private static func areEqual(
        _ bytes: UnsafeMutableRawPointer?, _ key: UnsafeRawBufferPointer
    ) -> Bool {
        guard let bytes, let base = key.baseAddress else { return key.isEmpty }
        return memcmp(bytes, base, key.count) == 0
    }

    private mutating func enter(_ index: UInt32, _ hash: UInt64) {
        var place = self.place(of: hash)
        while self.table[place] != Self.none { place = (place + 1) & (self.table.count - 1) }
        self.table[place] = index
    }

    /// Takes an index out and moves those behind it up that may be found only over its place (D. Knuth, The Art of
    /// Computer Programming 3, 6.4, algorithm R): so there are no marks of what was removed.
    private mutating func leaveTable(_ index: UInt32) {
        let mask = self.table.count - 1
        var hole = self.place(of: self[index].hash)
        while self.table[hole] != index { hole = (hole + 1) & mask }
        var place = (hole + 1) & mask
        while self.table[place] != Self.none {
            let wanted = self.place(of: self[self.table[place]].hash)
            // It may move when its wanted place is not between the hole and where it stands.
            if (place &- wanted) & mask >= (place &- hole) & mask {
                self.table[hole] = self.table[place]
                hole = place
            }
            place = (place + 1) & mask
        }
        self.table[hole] = Self.none
    }

    private mutating func growTable() {
        self.table = [UInt32](repeating: Self.none, count: self.table.count * 2)
        var index = self.oldest
        while index != Self.none {
            // The newest is not entered yet.
            if index != self.newest { self.enter(index, self[index].hash) }
            index = self[index].newer
        }
    }

    // MARK: Checks

    /// The entries of some tags. O(entries ever held at once): milliseconds for a million.
    func count(where isMeant: (Tag) -> Bool) -> Int {
        (0..<self.nodesMade).count { index in
            let node = self[UInt32(index)]
            return node.bytes != nil && isMeant(node.tag)
        }
    }

    /// The keys, the most recently used first. O(entries), for tests.
    var keys: [[UInt8]] {
        var result: [[UInt8]] = []
        var index = self.newest
        while index != Self.none {
            let node = self[index]
            result.append(Array(UnsafeRawBufferPointer(start: node.bytes, count: Int(node.keyCount))))
            index = node.older
        }
        return result
    }

    /// O(entries + places).
    func _checkInvariants() {
        var (seen, weight) = (0, Int64(0))
        var (index, newer) = (self.newest, Self.none)
        while index != Self.none {
            let node = self[index]
            precondition(node.newer == newer, "the links of the list do not agree")
            precondition(node.bytes != nil, "a free node in the list")
            var place = self.place(of: node.hash)
            while self.table[place] != index {
                precondition(self.table[place] != Self.none, "an entry that the table does not find")
                place = (place + 1) & (self.table.count - 1)
            }
            seen += 1
            weight += node.weight
            (newer, index) = (index, node.older)
        }
        precondition(newer == self.oldest, "the list does not end with the oldest")
        precondition(
            seen == self.count && weight == self.bytes, "\(seen) entries, \(weight) bytes in the list")
        precondition(self.table.count { $0 != Self.none } == self.count, "the table has other entries")
        precondition(self.count <= max(0, self.limits.entries) && self.bytes <= max(0, self.limits.bytes))
    }
}
