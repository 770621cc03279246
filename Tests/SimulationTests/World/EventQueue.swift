@testable import Supervisor

/// What is going to happen, by time; what is due at the same time in the order in which it was added.
struct EventQueue<Event> {
    private var heap: [(time: Instant, order: Int, event: Event)] = []
    private var added = 0

    var count: Int { self.heap.count }
    var nextTime: Instant? { self.heap.first?.time }

    mutating func add(_ event: Event, at time: Instant) {
        self.added += 1
        self.heap.append((time, self.added, event))
        var child = self.heap.count - 1
        while child > 0, self.isEarlier(child, than: (child - 1) / 2) {
            self.heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The earliest event, if it is due by then.
    mutating func pop(dueBy time: Instant) -> Event? {
        guard let first = self.heap.first, first.time <= time else { return nil }
        self.heap.swapAt(0, self.heap.count - 1)
        self.heap.removeLast()
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < self.heap.count && self.isEarlier(child, than: smallest) { smallest = child }
            guard smallest != parent else { return first.event }
            self.heap.swapAt(parent, smallest)
            parent = smallest
        }
    }

    private func isEarlier(_ left: Int, than right: Int) -> Bool {
        (self.heap[left].time, self.heap[left].order) < (self.heap[right].time, self.heap[right].order)
    }
}
