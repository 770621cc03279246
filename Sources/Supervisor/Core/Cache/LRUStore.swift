import Protocol

/// Byte strings by byte keys, of which the least recently used are forgotten first: by number, by bytes, and by age.
///
///     put("a", "1"), put("b", "2"), get("a")        the order, newest first: a, b
///     put("c", "3") where two are allowed           b is evicted: c, a
///
/// An entry is a string of key and value in an arena (8 bytes more), a node of a doubly linked list (40 with a tag of
/// 8) and a place of an open hash table (5 to 8). Its weight is key + value + 64 bytes, which also pays for the gaps
/// of the arena: resident memory is the sum of weights within 15 %, at any mix of sizes over time, and shrinks with
/// it. Keys are compared whole: equal hashes are no equal keys.
///
/// Every operation is O(1) but for the evictions that a large entry makes necessary, and for the table's growth,
/// which enters all entries anew (10 ms for a million) each time their number has grown by half.
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

    /// What an entry costs besides its key and value: node, place in the table, its part of the arena's own.
    static var overhead: Int { 64 }

    struct Node {
        /// Of key, then value.
        var place: ByteArena.Place
        var keyCount: UInt32
        var hash: UInt32
        /// Neighbours in the order of use.
        var older: UInt32
        var newer: UInt32
        var storedAt: Instant
        var tag: Tag
    }

    static var none: UInt32 { .max }
    private static var nodesPerSegment: Int { 1024 }
    private static var nodeSegmentBytes: Int { nodesPerSegment * MemoryLayout<Node>.stride }
    /// Strings are moved in the arena after each change, so many bytes of them and 16 times those put: more than gaps
    /// can come up meanwhile, and 20 µs.
    private static var bytesMoved: Int { 64 * 1024 }

    private(set) var limits: Limits
    private(set) var counters = Counters()
    private(set) var count = 0
    /// The sum of all weights.
    private(set) var bytes: Int64 = 0

    private var arena = ByteArena()
    /// The nodes, `count` of them without a gap, in segments that never move.
    private var segments: [UnsafeMutablePointer<Node>] = []
    private var newest = LRUStore.none
    private var oldest = LRUStore.none
    /// Indices of nodes by hash; linear probing, a quarter to three quarters full.
    var table = LRUStore.makeTable(LRUStore.leastPlaces)
    /// Nodes that `sweep` has still to look at: those in front. nil: it begins anew.
    private var unswept: Int?

    /// - Parameter limits: no entries or no bytes: nothing is ever kept.
    init(_ limits: Limits) {
        self.limits = limits
    }

    deinit {
        // Nodes are trivial, and the arena sees to its own.
        for segment in self.segments { Pages.release(segment, Self.nodeSegmentBytes) }
        Self.releaseTable(self.table)
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
    /// - Parameters:
    ///   - hash: of the key.
    ///   - window: how long past its time to live an entry still counts as found; at most `limits.staleFor`, which is
    ///     how long it is kept.
    /// - Returns: nil when there is nothing; an entry past all its time is dropped.
    mutating func lookUp(
        _ key: UnsafeRawBufferPointer, hash: UInt32, at now: Instant, staleFor window: Nanoseconds
    ) -> Found? {
        guard let index = self.find(key, hash) else {
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
        let entry = UnsafeRawBufferPointer(self.arena.bytes(at: self[index].place))
        return Found(
            value: UnsafeRawBufferPointer(rebasing: entry[Int(self[index].keyCount)...]), age: age,
            isStale: isStale)
    }

    mutating func lookUp(
        _ key: UnsafeRawBufferPointer, at now: Instant, staleFor window: Nanoseconds
    ) -> Found? {
        self.lookUp(key, hash: Self.hash(key), at: now, staleFor: window)
    }

    /// How long ago the value of a key was stored, without a trace in order and counters; nil: there is none.
    func age(of key: UnsafeRawBufferPointer, at now: Instant) -> Nanoseconds? {
        self.find(key, Self.hash(key)).map { now.duration(since: self[$0].storedAt) }
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
            key.count + value.count < Int(UInt32.max), self.count < Int(Self.none)
        else {
            if self.limits.entries > 0, self.limits.bytes > 0 { self.counters.refusals += 1 }
            return false
        }
        self.makeRoom(entries: 1, bytes: weight)
        self.insert(key, value, hash, tag, now)
        self.closeGaps(after: key.count + value.count)
        return true
    }

    /// - Returns: whether there was one.
    @discardableResult
    mutating func remove(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let index = self.find(key, Self.hash(key)) else { return false }
        self.drop(index)
        self.closeGaps()
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
        self.closeGaps()
    }

    /// Drops entries by their tags, a part of the store at a time, so that a large one holds nothing up.
    ///
    /// - Parameters:
    ///   - limit: nodes to look at.
    ///   - isDead: whether an entry of that tag goes.
    /// - Returns: true when all have been looked at that were there when it was last true, or at first.
    mutating func sweep(_ limit: Int, where isDead: (Tag) -> Bool) -> Bool {
        defer { self.closeGaps() }
        // From the last to the first: the node that takes the place of a dropped one comes from behind.
        for _ in 0..<limit {
            let left = min(self.unswept ?? self.count, self.count)
            guard left > 0 else {
                self.unswept = nil
                return true
            }
            self.unswept = left - 1
            let index = UInt32(left - 1)
            if isDead(self[index].tag) { self.drop(index) }
        }
        return false
    }

    /// Visits entries, a part of the store at a time. What is there all the while is visited, some of it perhaps twice;
    /// what is stored meanwhile may be missed.
    ///
    /// - Parameters:
    ///   - cursor: where to go on; 0 at first, then not to be understood.
    ///   - limit: entries to look at.
    /// - Returns: whether there are more.
    func visit(
        _ cursor: inout Int, limit: Int,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, Tag, Instant) -> Void
    ) -> Bool {
        // From the last to the first, as `sweep`. The complement of those that are left: never 0.
        let left = cursor == 0 ? self.count : min(~cursor, self.count)
        let end = max(0, left - limit)
        for index in (end..<left).reversed() {
            let node = self[UInt32(index)]
            let entry = UnsafeRawBufferPointer(self.arena.bytes(at: node.place))
            body(
                UnsafeRawBufferPointer(rebasing: entry[..<Int(node.keyCount)]),
                UnsafeRawBufferPointer(rebasing: entry[Int(node.keyCount)...]), node.tag, node.storedAt)
        }
        cursor = ~end
        return end > 0
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
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ hash: UInt32, _ tag: Tag,
        _ now: Instant
    ) {
        let index = UInt32(self.count)
        let place = self.arena.add(key.count + value.count, owner: index)
        let entry = self.arena.bytes(at: place)
        entry.copyMemory(from: key)
        UnsafeMutableRawBufferPointer(rebasing: entry[key.count...]).copyMemory(from: value)
        self.appendNode(
            Node(
                place: place, keyCount: UInt32(key.count), hash: hash, older: Self.none, newer: Self.none,
                storedAt: now, tag: tag))
        self.bytes += self.weight(index)
        self.linkAsNewest(index)
        self.enter(index)
    }

    /// Forgets an entry, wherever it stands. The last node takes its index.
    private mutating func drop(_ index: UInt32) {
        self.leaveTable(index)
        self.unlink(index)
        self.bytes -= self.weight(index)
        self.arena.remove(self[index].place)
        self.removeNode(index)
        self.shrinkTable()
    }

    private func weight(_ index: UInt32) -> Int64 {
        Int64(self.arena.count(at: self[index].place) + Self.overhead)
    }

    private mutating func closeGaps(after added: Int = 0) {
        var left = Self.bytesMoved + 16 * added
        while left > 0, let moved = self.arena.relocate() {
            self[moved.owner].place = moved.place
            left -= self.arena.count(at: moved.place) + ByteArena.headerBytes
        }
    }

    // MARK: Nodes

    subscript(_ index: UInt32) -> Node {
        get {
            self.segments[Int(index) / Self.nodesPerSegment][Int(index) % Self.nodesPerSegment]
        }
        nonmutating _modify {
            yield &self.segments[Int(index) / Self.nodesPerSegment][Int(index) % Self.nodesPerSegment]
        }
    }

    private mutating func appendNode(_ node: Node) {
        let (segment, offset) = self.count.quotientAndRemainder(dividingBy: Self.nodesPerSegment)
        if segment == self.segments.count {
            let base = Pages.allocate(Self.nodeSegmentBytes)
            self.segments.append(base.bindMemory(to: Node.self, capacity: Self.nodesPerSegment))
        }
        (self.segments[segment] + offset).initialize(to: node)
        self.count += 1
    }

    /// Takes a node out of which nothing knows any more, and puts the last one in its place.
    private mutating func removeNode(_ index: UInt32) {
        let last = UInt32(self.count - 1)
        if index != last {
            self.renameInTable(last, to: index)
            let node = self[last]
            if node.older != Self.none { self[node.older].newer = index } else { self.oldest = index }
            if node.newer != Self.none { self[node.newer].older = index } else { self.newest = index }
            self.arena.setOwner(index, at: node.place)
            self[index] = node
        }
        self.count -= 1
        // One is kept, or each new entry at a segment's end would cost an allocation.
        if self.count + 2 * Self.nodesPerSegment <= self.segments.count * Self.nodesPerSegment {
            Pages.release(self.segments.removeLast(), Self.nodeSegmentBytes)
        }
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

    /// Whether an entry has that key.
    func isEntry(_ index: UInt32, of key: UnsafeRawBufferPointer) -> Bool {
        guard Int(self[index].keyCount) == key.count else { return false }
        let entry = self.arena.bytes(at: self[index].place)
        return UnsafeRawBufferPointer(rebasing: entry[..<key.count]).isEqual(to: key)
    }

    // MARK: Checks

    /// The entries of some tags. O(entries): milliseconds for a million.
    func count(where isMeant: (Tag) -> Bool) -> Int {
        (0..<self.count).count { isMeant(self[UInt32($0)].tag) }
    }

    /// The keys, the most recently used first. O(entries), for tests.
    var keys: [[UInt8]] {
        var result: [[UInt8]] = []
        var index = self.newest
        while index != Self.none {
            let node = self[index]
            result.append(Array(self.arena.bytes(at: node.place).prefix(Int(node.keyCount))))
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
            precondition(self.arena.owner(at: node.place) == index, "a string that belongs to another node")
            precondition(self.isInTable(index), "an entry that the table does not find")
            seen += 1
            weight += self.weight(index)
            (newer, index) = (index, node.older)
        }
        precondition(newer == self.oldest, "the list does not end with the oldest")
        precondition(
            seen == self.count && weight == self.bytes, "\(seen) entries, \(weight) bytes in the list")
        precondition(self.table.count { $0 != Self.none } == self.count, "the table has other entries")
        precondition(self.count <= max(0, self.limits.entries) && self.bytes <= max(0, self.limits.bytes))
        precondition(
            Int64(self.arena.live) == weight - Int64(seen * (Self.overhead - ByteArena.headerBytes)))
        self.arena._checkInvariants()
    }
}
