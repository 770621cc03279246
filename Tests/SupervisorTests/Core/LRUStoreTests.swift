import Testing

@testable import Supervisor

@Suite struct LRUStoreTests {
    private typealias Store = LRUStore<Int>

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// The store as it would be written down without a thought for speed.
    private struct Model {
        struct Entry {
            var key: [UInt8]
            var value: [UInt8]
            var tag: Int
            var storedAt: Instant
            var weight: Int64 { Int64(self.key.count + self.value.count + 64) }
        }

        var limits: Store.Limits
        /// The most recently used first.
        var entries: [Entry] = []
        var counters = Store.Counters()

        var bytes: Int64 { self.entries.reduce(0) { $0 + $1.weight } }

        mutating func get(
            _ key: [UInt8], _ window: Nanoseconds, _ now: Instant
        ) -> (value: [UInt8], isStale: Bool)? {
            guard let index = self.entries.firstIndex(where: { $0.key == key }) else {
                self.counters.misses += 1
                return nil
            }
            let entry = self.entries[index]
            let age = now.duration(since: entry.storedAt)
            if age >= self.limits.timeToLive + self.limits.staleFor {
                self.counters.expirations += 1
                self.entries.remove(at: index)
            }
            if age >= self.limits.timeToLive + window {
                self.counters.misses += 1
                return nil
            }
            self.entries.remove(at: index)
            self.entries.insert(entry, at: 0)
            let isStale = age >= self.limits.timeToLive
            if isStale { self.counters.staleHits += 1 } else { self.counters.hits += 1 }
            return (entry.value, isStale)
        }

        mutating func put(_ key: [UInt8], _ value: [UInt8], _ tag: Int, _ now: Instant) -> Bool {
            self.entries.removeAll { $0.key == key }
            let entry = Entry(key: key, value: value, tag: tag, storedAt: now)
            guard self.limits.entries > 0, entry.weight <= self.limits.bytes / 8 else {
                if self.limits.entries > 0, self.limits.bytes > 0 { self.counters.refusals += 1 }
                return false
            }
            self.trim(entries: 1, bytes: entry.weight)
            self.entries.insert(entry, at: 0)
            return true
        }

        mutating func trim(entries: Int = 0, bytes: Int64 = 0) {
            while !self.entries.isEmpty {
                if self.entries.count + entries > self.limits.entries {
                    self.counters.evictionsForEntries += 1
                } else if self.bytes + bytes > self.limits.bytes {
                    self.counters.evictionsForBytes += 1
                } else {
                    return
                }
                self.entries.removeLast()
            }
        }
    }

    /// The seeds above 8 with large values, which move in memory, or have a segment of their own.
    @Test(arguments: UInt64(1)...11)
    func doesWhatTheModelDoes(seed: UInt64) {
        let (scale, steps) = seed <= 8 ? (1, 15_000) : (1500, 3000)
        var random = SeededGenerator(seed: seed)
        let limits = Store.Limits(
            entries: [3, 20, 60].randomElement(using: &random) ?? 3,
            bytes: ([1200, 6000].randomElement(using: &random) ?? 1200) * Int64(scale),
            timeToLive: .seconds(50),
            staleFor: [0, .seconds(20)].randomElement(using: &random) ?? 0)
        var store = Store(limits)
        var model = Model(limits: limits)
        var now = Instant(nanoseconds: 0)
        for step in 0..<steps {
            now = now.advanced(by: Nanoseconds.random(in: 0...Nanoseconds.seconds(1), using: &random))
            Self.step(step, scale, &store, &model, at: now, &random)
            guard store.count == model.entries.count, store.bytes == model.bytes,
                store.counters == model.counters
            else {
                Issue.record("seed \(seed), step \(step): \(store.counters) and \(model.counters)")
                return
            }
            guard step % 50 == 0 else { continue }
            store._checkInvariants()
            let keys = store.keys
            #expect(keys == model.entries.map(\.key))
        }
    }

    /// Does one thing by chance to both, and compares what they say.
    private static func step(
        _ step: Int, _ scale: Int, _ store: inout Store, _ model: inout Model, at now: Instant,
        _ random: inout SeededGenerator
    ) {
        let key = Self.bytes("key \(Int.random(in: 0..<80, using: &random))")
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45:
            let window = Bool.random(using: &random) ? model.limits.staleFor : model.limits.staleFor / 2
            let found = key.withUnsafeBytes { key in
                store.lookUp(key, at: now, staleFor: window).map { (Array($0.value), $0.isStale) }
            }
            let expected = model.get(key, window, now)
            #expect(found?.0 == expected?.value && found?.1 == expected?.isStale)
        case 45..<92:
            let value = [UInt8](
                repeating: UInt8(step & 0xFF), count: Int.random(in: 0...200 * scale, using: &random))
            let tag = Int.random(in: 0..<3, using: &random)
            let isKept = key.withUnsafeBytes { key in
                value.withUnsafeBytes { store.put(key, $0, tag: tag, at: now) }
            }
            #expect(isKept == model.put(key, value, tag, now))
        case 92..<97:
            let isGone = key.withUnsafeBytes { store.remove($0) }
            #expect(isGone == model.entries.contains { $0.key == key })
            model.entries.removeAll { $0.key == key }
        case 97:
            let dead = Int.random(in: 0..<3, using: &random)
            let count = store.count { $0 == dead }
            #expect(count == model.entries.count { $0.tag == dead })
            while !store.sweep(7, where: { $0 == dead }) {}
            model.entries.removeAll { $0.tag == dead }
        case 98:
            model.limits.entries = Int.random(in: 0...60, using: &random)
            model.limits.bytes = Int64.random(in: 0...6000, using: &random) * Int64(scale)
            model.trim()
            store.setLimits(model.limits)
        default:
            let removed = store.removeAll()
            #expect(removed == model.entries.count)
            model.entries = []
        }
    }

    /// Puts so many bytes under a key of one byte.
    private static func put(_ store: inout Store, _ count: Int) -> Bool {
        [UInt8](repeating: 7, count: count).withUnsafeBytes { value in
            store.put(
                UnsafeRawBufferPointer(rebasing: value[..<1]), value, tag: 0, at: Instant(nanoseconds: 0))
        }
    }

    @Test func keepsNothingThatIsLargerThanAnEighth() {
        var store = Store(.init(entries: 10, bytes: 8000, timeToLive: .seconds(1)))
        let isKept = Self.put(&store, 1000 - 65)
        #expect(isKept)
        let isRefused = !Self.put(&store, 1000 - 64)
        #expect(isRefused)
        #expect(store.count == 0, "the value it had before is gone, too")
        #expect(store.counters.refusals == 1)
    }

    @Test(arguments: [(0, Int64(1000)), (10, Int64(0))])
    func keepsNothingWhereNothingIsAllowed(entries: Int, bytes: Int64) {
        var store = Store(.init(entries: entries, bytes: bytes, timeToLive: .seconds(1)))
        let isKept = Self.bytes("k").withUnsafeBytes {
            store.put($0, $0, tag: 0, at: Instant(nanoseconds: 0))
        }
        #expect(!isKept && store.count == 0 && store.counters.refusals == 0)
    }

    @Test func holdsAnEmptyKeyAndAnEmptyValue() {
        var store = Store(.init(entries: 10, bytes: 8000, timeToLive: .seconds(1)))
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let now = Instant(nanoseconds: 0)
        let isKept = store.put(empty, empty, tag: 0, at: now)
        #expect(isKept)
        let length = store.lookUp(empty, at: now, staleFor: 0)?.value.count
        #expect(length == 0)
        store._checkInvariants()
    }

    /// Entries come, go and move between the slices.
    @Test func visitsAllThatIsThereAllTheWhile() {
        var random = SeededGenerator(seed: 5)
        var store = Store(.init(entries: 10_000, bytes: 1 << 30, timeToLive: .seconds(1)))
        let now = Instant(nanoseconds: 0)
        func put(_ number: Int) {
            withUnsafeBytes(of: number) { _ = store.put($0, $0, tag: number % 2, at: now) }
        }
        for number in 0..<3000 { put(number) }
        var (cursor, seen) = (0, Set<Int>())
        var removed = Set<Int>()
        var hasMore = true
        while hasMore {
            hasMore = store.visit(&cursor, limit: 50) { key, value, tag, _ in
                let number = key.loadUnaligned(as: Int.self)
                #expect(value.loadUnaligned(as: Int.self) == number && tag == number % 2)
                seen.insert(number)
            }
            for _ in 0..<20 {
                let number = Int.random(in: 0..<3000, using: &random)
                let wasThere = withUnsafeBytes(of: number) { store.remove($0) }
                if wasThere { removed.insert(number) }
            }
            put(10_000 + cursor)
        }
        #expect(removed.count > 500)
        #expect(Set(0..<3000).subtracting(removed).isSubset(of: seen))
        store._checkInvariants()
    }

    @Test func growsWithItsEntries() {
        var store = Store(.init(entries: 100_000, bytes: 1 << 30, timeToLive: .seconds(1)))
        let now = Instant(nanoseconds: 0)
        for number in 0..<100_000 {
            withUnsafeBytes(of: number) { _ = store.put($0, $0, tag: 0, at: now) }
        }
        #expect(store.count == 100_000)
        store._checkInvariants()
        for number in 0..<100_000 {
            let found = withUnsafeBytes(of: number) { key in
                store.lookUp(key, at: now, staleFor: 0)?.value.loadUnaligned(as: Int.self)
            }
            #expect(found == number)
        }
    }
}
