/// A chunk that was found.
struct Hit: Equatable {
    var chunk: UInt32
    var score: Float

    /// Whether it stands before another: the higher score, then the earlier chunk.
    func isBefore(_ other: Hit) -> Bool {
        self.score > other.score || (self.score == other.score && self.chunk < other.chunk)
    }
}

/// The best of many hits, in a binary heap whose root is the worst that is kept.
///
/// - Complexity: O(n log limit), and O(1) for a hit that is no better than all that are kept.
struct TopHits {
    private let limit: Int
    private var heap: [Hit] = []

    init(limit: Int) { self.limit = limit }

    mutating func insert(_ hit: Hit) {
        if self.heap.count < self.limit {
            self.heap.append(hit)
            self.siftUp(self.heap.count - 1)
        } else if let worst = self.heap.first, hit.isBefore(worst) {
            self.heap[0] = hit
            self.siftDown(0)
        }
    }

    /// The best first.
    var sorted: [Hit] { self.heap.sorted { $0.isBefore($1) } }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[parent].isBefore(self.heap[child]) else { return }
            self.heap.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            let left = 2 * parent + 1
            let worst = self.worst(of: self.worst(of: parent, left), left + 1)
            guard worst != parent else { return }
            self.heap.swapAt(parent, worst)
            parent = worst
        }
    }

    /// The place of the worse of two hits; there may be none at the second.
    private func worst(of place: Int, _ other: Int) -> Int {
        other < self.heap.count && self.heap[place].isBefore(self.heap[other]) ? other : place
    }
}
