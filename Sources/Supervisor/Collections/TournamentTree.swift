/// Numbers by small dense slots, of which the first that is small enough is found in O(log n).
///
/// Each node has the smaller one of those below it (a tournament tree: D. E. Knuth, TAOCP 3, 5.4.1):
///
///                  1
///          3               1
///      5       3       1       ∞         slots 0 to 3
struct TournamentTree: ~Copyable {
    /// The root is 1, the nodes below n are 2 n and 2 n + 1, and the leaf of slot s is `leaves + s`.
    private var nodes = DenseTable<UInt64>()
    private var leaves = 1

    init() { self.removeAll(slots: 1) }

    var minimum: UInt64 { self.nodes[1] }

    /// Begins anew: every slot has the largest number there is.
    mutating func removeAll(slots: Int) {
        while self.leaves < slots { self.leaves *= 2 }
        self.nodes.grow(toHold: 2 * self.leaves - 1) { .max }
        for node in 0..<self.nodes.count { self.nodes[node] = .max }
    }

    /// O(log n), and less where the change does not reach the root.
    mutating func set(_ slot: Int, to number: UInt64) {
        var node = self.leaves + slot
        self.nodes[node] = number
        while node > 1 {
            node /= 2
            let smaller = min(self.nodes[2 * node], self.nodes[2 * node + 1])
            guard smaller != self.nodes[node] else { return }
            self.nodes[node] = smaller
        }
    }

    /// The first slot from that one on whose number is no larger than the bound.
    func first(from start: Int, atMost bound: UInt64) -> Int? {
        guard start < self.leaves else { return nil }
        var node = self.leaves + start
        while self.nodes[node] > bound {
            // To the next one on the right; behind the last there is only the root.
            while node & 1 == 1 { node /= 2 }
            guard node > 0 else { return nil }
            node += 1
        }
        while node < self.leaves {
            node *= 2
            if self.nodes[node] > bound { node += 1 }
        }
        return node - self.leaves
    }
}
