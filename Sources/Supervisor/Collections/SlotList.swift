/// The neighbours of numbers in lists (`SlotList`): lists that never hold the same number at the same time share one.
struct SlotLinks: ~Copyable {
    /// The neighbours of a number; -1 where there is none.
    struct Link {
        var previous: Int32 = -1
        var next: Int32 = -1
    }

    fileprivate var links = DenseTable<Link>()

    init() {}
}

/// A list of small dense numbers, such as the slots of a `SlotMap`, each at most once.
///
/// Doubly linked through links that the caller keeps and hands in. Every operation but walking is O(1), and nothing is
/// allocated once the links reach to the largest number.
struct SlotList {
    private var head: Int32 = -1
    private var tail: Int32 = -1
    private(set) var count = 0

    var isEmpty: Bool { self.head < 0 }
    var first: Int? { self.head < 0 ? nil : Int(self.head) }

    /// The number behind one that is in the list.
    static func next(after slot: Int, _ links: borrowing SlotLinks) -> Int? {
        let next = links.links[slot].next
        return next < 0 ? nil : Int(next)
    }

    mutating func append(_ slot: Int, _ links: inout SlotLinks) {
        links.links.grow(toHold: slot) { SlotLinks.Link() }
        links.links[slot] = SlotLinks.Link(previous: self.tail, next: -1)
        if self.tail < 0 { self.head = Int32(slot) } else { links.links[Int(self.tail)].next = Int32(slot) }
        self.tail = Int32(slot)
        self.count += 1
    }

    mutating func prepend(_ slot: Int, _ links: inout SlotLinks) {
        links.links.grow(toHold: slot) { SlotLinks.Link() }
        links.links[slot] = SlotLinks.Link(previous: -1, next: self.head)
        if self.head < 0 {
            self.tail = Int32(slot)
        } else {
            links.links[Int(self.head)].previous = Int32(slot)
        }
        self.head = Int32(slot)
        self.count += 1
    }

    /// Removes a number that is in the list.
    mutating func remove(_ slot: Int, _ links: inout SlotLinks) {
        let gap = links.links[slot]
        if gap.previous < 0 { self.head = gap.next } else { links.links[Int(gap.previous)].next = gap.next }
        if gap.next < 0 {
            self.tail = gap.previous
        } else {
            links.links[Int(gap.next)].previous = gap.previous
        }
        links.links[slot] = SlotLinks.Link()
        self.count -= 1
    }

    /// All numbers, in order. O(count)
    func slots(_ links: borrowing SlotLinks) -> [Int] {
        var slots: [Int] = []
        var next = self.first
        while let slot = next {
            slots.append(slot)
            next = Self.next(after: slot, links)
        }
        return slots
    }

    func _checkInvariants(_ links: borrowing SlotLinks) {
        var previous: Int32 = -1
        for slot in self.slots(links) {
            precondition(links.links[slot].previous == previous, "\(slot) does not follow \(previous)")
            previous = Int32(slot)
        }
        precondition(self.tail == previous, "the list ends with \(previous), not \(self.tail)")
        precondition(self.slots(links).count == self.count, "\(self.count) counted")
    }
}
