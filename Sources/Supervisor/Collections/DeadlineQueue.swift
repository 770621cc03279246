/// The points in time at which something is due, by small dense keys: at most one per key.
///
/// A binary heap that knows where each key stands, so that a deadline can be moved and taken back: a call
/// that is answered leaves nothing behind. Setting, moving and removing are O(log n); a deadline later than
/// all others, the usual case, is set in O(1). The next one is read in O(1).
struct DeadlineQueue {
    private struct Entry {
        var time: Instant
        var key: Int
    }

    private var heap: [Entry] = []
    /// Position in the heap by key; -1 when the key has no deadline.
    private var positions: [Int] = []

    var count: Int { self.heap.count }
    /// The earliest deadline.
    var next: Instant? { self.heap.first?.time }

    func isSet(_ key: Int) -> Bool { key < self.positions.count && self.positions[key] >= 0 }

    func time(of key: Int) -> Instant? {
        guard self.isSet(key) else { return nil }
        return self.heap[self.positions[key]].time
    }

    /// Sets or moves the deadline of a key.
    mutating func set(_ key: Int, to time: Instant) {
        while key >= self.positions.count { self.positions.append(-1) }
        let position = self.positions[key]
        guard position >= 0 else {
            self.heap.append(Entry(time: time, key: key))
            self.positions[key] = self.heap.count - 1
            return self.siftUp(self.heap.count - 1)
        }
        let earlier = time < self.heap[position].time
        self.heap[position].time = time
        if earlier { self.siftUp(position) } else { self.siftDown(position) }
    }

    /// Takes the deadline of a key back, if it has one.
    mutating func remove(_ key: Int) {
        guard key < self.positions.count, self.positions[key] >= 0 else { return }
        let position = self.positions[key]
        self.positions[key] = -1
        let last = self.heap.removeLast()
        guard position < self.heap.count else { return }
        self.heap[position] = last
        self.positions[last.key] = position
        self.siftUp(position)
        self.siftDown(self.positions[last.key])
    }

    /// The key of the earliest deadline, if it is due; its deadline is removed.
    mutating func popDue(now: Instant) -> Int? {
        guard let first = self.heap.first, first.time <= now else { return nil }
        self.remove(first.key)
        return first.key
    }

    private mutating func siftUp(_ start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard self.heap[position].time < self.heap[parent].time else { return }
            self.swap(position, parent)
            position = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        while true {
            let left = 2 * position + 1
            var smallest = position
            if left < self.heap.count, self.heap[left].time < self.heap[smallest].time { smallest = left }
            if left + 1 < self.heap.count, self.heap[left + 1].time < self.heap[smallest].time {
                smallest = left + 1
            }
            guard smallest != position else { return }
            self.swap(position, smallest)
            position = smallest
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        self.heap.swapAt(left, right)
        self.positions[self.heap[left].key] = left
        self.positions[self.heap[right].key] = right
    }

    func _checkInvariants() {
        for (position, entry) in self.heap.enumerated() {
            precondition(self.positions[entry.key] == position, "key \(entry.key) is elsewhere")
            precondition(position == 0 || self.heap[(position - 1) / 2].time <= entry.time, "heap order")
        }
        precondition(self.positions.count { $0 >= 0 } == self.heap.count, "keys without an entry")
    }
}
