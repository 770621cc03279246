/// The points in time at which something is due, by small dense keys: at most one per key.
///
/// Most deadlines are set in the order in which they come: now plus one of a few timeouts. So there are lanes, lists in
/// the order of time, and a deadline goes to the end of the one whose last is the latest that does not come after it
/// (patience sorting: C. L. Mallows, 1963):
///
///     set 60 s, 60.1 s, 5.2 s, 60.3 s, 5.3 s     lane 0: 60, 60.1, 60.3      lane 1: 5.2, 5.3
///
/// What finds no lane, as when callers ask for less and less time, goes into a binary heap. A deadline in a lane is set,
/// moved and taken back in O(1) whatever else waits, one in the heap in O(log n); the next one is read in O(1).
struct DeadlineQueue: ~Copyable {
    /// What is known of a key.
    struct Entry {
        var time = Instant(nanoseconds: 0)
        /// The key before it in its lane, or `end(of:)` of the lane at its head; in the heap where it stands there.
        var previous = Entry.none
        /// The key behind it in its lane, or `end(of:)` of the lane at its tail; `none` in the heap.
        var next = Entry.none

        static let none = Int32.min

        static func end(of lane: Int) -> Int32 { -1 - Int32(lane) }
    }

    /// Deadlines in the order of time; equal ones in that in which they came.
    struct Lane {
        /// Keys; -1 when it is empty.
        var head: Int32 = -1
        var tail: Int32 = -1
        /// That of the last one.
        var latest = Instant(nanoseconds: .min)
    }

    struct HeapEntry {
        var time: Instant
        var key: Int32
    }

    private static let maximumLanes = 8

    private var entries = DenseTable<Entry>()
    private var lanes = DenseTable<Lane>()
    private var heap = DenseTable<HeapEntry>()
    private(set) var count = 0

    init() {}

    /// The earliest deadline.
    var next: Instant? { self.first.map { self.entries[$0].time } }

    /// The key of the earliest deadline.
    private var first: Int? {
        var first = self.heap.count > 0 ? Int(self.heap[0].key) : -1
        for lane in 0..<self.lanes.count where self.lanes[lane].head >= 0 {
            let head = Int(self.lanes[lane].head)
            if first < 0 || self.entries[head].time < self.entries[first].time { first = head }
        }
        return first < 0 ? nil : first
    }

    func isSet(_ key: Int) -> Bool {
        key < self.entries.count && self.entries[key].previous != Entry.none
    }

    func time(of key: Int) -> Instant? { self.isSet(key) ? self.entries[key].time : nil }

    /// Sets or moves the deadline of a key.
    mutating func set(_ key: Int, to time: Instant) {
        self.remove(key)
        self.entries.grow(toHold: key) { Entry() }
        self.count += 1
        self.entries[key].time = time
        if let lane = self.lane(for: time) {
            self.append(key, to: lane)
        } else {
            self.heap.append(HeapEntry(time: time, key: Int32(key)))
            self.siftUp(self.heap.count - 1)
        }
    }

    /// Takes the deadline of a key back, if it has one.
    mutating func remove(_ key: Int) {
        guard self.isSet(key) else { return }
        self.count -= 1
        let entry = self.entries[key]
        self.entries[key].previous = Entry.none
        self.entries[key].next = Entry.none
        if entry.next == Entry.none {
            self.removeFromHeap(Int(entry.previous))
        } else {
            self.unlink(entry)
        }
    }

    /// The key of the earliest deadline, if it is due; its deadline is removed.
    mutating func popDue(now: Instant) -> Int? {
        guard self.count > 0, let first = self.first, self.entries[first].time <= now else { return nil }
        self.remove(first)
        return first
    }
}

// MARK: - Lanes

extension DeadlineQueue {
    /// Where a deadline can be the last: behind the latest of those before it, else in an empty lane.
    private mutating func lane(for time: Instant) -> Int? {
        var best = -1
        for lane in 0..<self.lanes.count where self.lanes[lane].latest <= time {
            if best < 0 || self.lanes[lane].latest > self.lanes[best].latest { best = lane }
        }
        if best >= 0 { return best }
        guard self.lanes.count < Self.maximumLanes else { return nil }
        self.lanes.append(Lane())
        return self.lanes.count - 1
    }

    private mutating func append(_ key: Int, to lane: Int) {
        let tail = self.lanes[lane].tail
        self.entries[key].next = Entry.end(of: lane)
        if tail < 0 {
            self.entries[key].previous = Entry.end(of: lane)
            self.lanes[lane].head = Int32(key)
        } else {
            self.entries[key].previous = tail
            self.entries[Int(tail)].next = Int32(key)
        }
        self.lanes[lane].tail = Int32(key)
        self.lanes[lane].latest = self.entries[key].time
    }

    private mutating func unlink(_ entry: Entry) {
        if entry.previous >= 0 {
            self.entries[Int(entry.previous)].next = entry.next
        } else {
            self.lanes[Int(-1 - entry.previous)].head = max(entry.next, -1)
        }
        if entry.next >= 0 {
            self.entries[Int(entry.next)].previous = entry.previous
        } else {
            let lane = Int(-1 - entry.next)
            self.lanes[lane].tail = max(entry.previous, -1)
            self.lanes[lane].latest =
                entry.previous >= 0
                ? self.entries[Int(entry.previous)].time : Instant(nanoseconds: .min)
        }
    }
}

// MARK: - Heap

extension DeadlineQueue {
    private mutating func removeFromHeap(_ position: Int) {
        let last = self.heap.removeLast()
        guard position < self.heap.count else { return }
        self.put(last, at: position)
        self.siftUp(position)
        self.siftDown(Int(self.entries[Int(last.key)].previous))
    }

    private mutating func put(_ entry: HeapEntry, at position: Int) {
        self.heap[position] = entry
        self.entries[Int(entry.key)].previous = Int32(position)
    }

    private mutating func siftUp(_ start: Int) {
        let entry = self.heap[start]
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard entry.time < self.heap[parent].time else { break }
            self.put(self.heap[parent], at: position)
            position = parent
        }
        self.put(entry, at: position)
    }

    private mutating func siftDown(_ start: Int) {
        let entry = self.heap[start]
        var position = start
        while 2 * position + 1 < self.heap.count {
            var child = 2 * position + 1
            if child + 1 < self.heap.count, self.heap[child + 1].time < self.heap[child].time { child += 1 }
            guard self.heap[child].time < entry.time else { break }
            self.put(self.heap[child], at: position)
            position = child
        }
        self.put(entry, at: position)
    }
}

// MARK: - Checks

extension DeadlineQueue {
    func _checkInvariants() {
        var found = self.heap.count
        for position in 0..<self.heap.count {
            let entry = self.heap[position]
            let key = Int(entry.key)
            precondition(self.entries[key].previous == Int32(position), "key \(key) is elsewhere")
            precondition(self.entries[key].next == Entry.none, "key \(key) is in a lane, too")
            precondition(self.entries[key].time == entry.time, "two times of key \(key)")
            precondition(position == 0 || self.heap[(position - 1) / 2].time <= entry.time, "heap order")
        }
        for lane in 0..<self.lanes.count { found += self.check(lane) }
        precondition(found == self.count, "\(found) deadlines, \(self.count) counted")
        let set = (0..<self.entries.count).reduce(0) { $0 + (self.isSet($1) ? 1 : 0) }
        precondition(set == self.count, "\(set) keys are set, \(self.count) counted")
    }

    /// - Returns: how many deadlines the lane holds.
    private func check(_ lane: Int) -> Int {
        var count = 0
        var (previous, key) = (Entry.end(of: lane), self.lanes[lane].head)
        var time = Instant(nanoseconds: .min)
        while key >= 0 {
            let entry = self.entries[Int(key)]
            precondition(entry.previous == previous, "key \(key) does not follow \(previous)")
            precondition(time <= entry.time, "key \(key) is before its time")
            (previous, key, time, count) = (key, entry.next, entry.time, count + 1)
        }
        precondition(count == 0 || key == Entry.end(of: lane), "the lane goes on in another")
        precondition(self.lanes[lane].tail == max(previous, -1), "the lane ends elsewhere")
        precondition(self.lanes[lane].latest == time, "the lane ends at another time")
        return count
    }
}
