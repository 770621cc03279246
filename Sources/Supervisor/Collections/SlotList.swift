/// A list of small dense numbers, such as the slots of a `SlotMap`, each at most once.
///
/// Doubly linked through an array that the caller keeps and hands in: lists that never hold the same number at
/// the same time share one. Every operation but walking is O(1), and nothing is allocated once the array has
/// grown to the largest number.
struct SlotList {
    /// The neighbours of a number; -1 where there is none.
    struct Links {
        fileprivate var previous: Int32 = -1
        fileprivate var next: Int32 = -1
    }

    private var head: Int32 = -1
    private var tail: Int32 = -1
    private(set) var count = 0

    var isEmpty: Bool { self.head < 0 }
    var first: Int? { self.head < 0 ? nil : Int(self.head) }

    /// The number behind one that is in the list.
    static func next(after slot: Int, _ links: [Links]) -> Int? {
        let next = links[slot].next
        return next < 0 ? nil : Int(next)
    }

    mutating func append(_ slot: Int, _ links: inout [Links]) {
        Self.grow(&links, toHold: slot)
        links[slot] = Links(previous: self.tail, next: -1)
        if self.tail < 0 { self.head = Int32(slot) } else { links[Int(self.tail)].next = Int32(slot) }
        self.tail = Int32(slot)
        self.count += 1
    }

    mutating func prepend(_ slot: Int, _ links: inout [Links]) {
        Self.grow(&links, toHold: slot)
        links[slot] = Links(previous: -1, next: self.head)
        if self.head < 0 { self.tail = Int32(slot) } else { links[Int(self.head)].previous = Int32(slot) }
        self.head = Int32(slot)
        self.count += 1
    }

    /// Removes a number that is in the list.
    mutating func remove(_ slot: Int, _ links: inout [Links]) {
        let gap = links[slot]
        if gap.previous < 0 { self.head = gap.next } else { links[Int(gap.previous)].next = gap.next }
        if gap.next < 0 { self.tail = gap.previous } else { links[Int(gap.next)].previous = gap.previous }
        links[slot] = Links()
        self.count -= 1
    }

    /// All numbers, in order. O(count)
    func slots(_ links: [Links]) -> [Int] {
        var slots: [Int] = []
        var next = self.first
        while let slot = next {
            slots.append(slot)
            next = Self.next(after: slot, links)
        }
        return slots
    }

    private static func grow(_ links: inout [Links], toHold slot: Int) {
        while links.count <= slot { links.append(Links()) }
    }

    func _checkInvariants(_ links: [Links]) {
        var previous: Int32 = -1
        for slot in self.slots(links) {
            precondition(links[slot].previous == previous, "\(slot) does not follow \(previous)")
            previous = Int32(slot)
        }
        precondition(self.tail == previous, "the list ends with \(previous), not \(self.tail)")
        precondition(self.slots(links).count == self.count, "\(self.count) counted")
    }
}
