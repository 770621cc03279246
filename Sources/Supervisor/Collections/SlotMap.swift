/// Names an element of a `SlotMap` for as long as it lives: a token of a freed element finds nothing, also
/// when its slot has a new tenant.
struct Token<Element: ~Copyable>: Hashable, Sendable {
    let index: UInt32
    /// Odd: the generation of a living element.
    let generation: UInt32

    /// The token as one word, for epoll's user data and traces.
    var word: UInt64 { UInt64(self.generation) << 32 | UInt64(self.index) }

    init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    init(word: UInt64) {
        self.index = UInt32(truncatingIfNeeded: word)
        self.generation = UInt32(truncatingIfNeeded: word >> 32)
    }
}

/// Elements in numbered slots that are used again, each use with a new generation.
///
/// Insertion, look-up and removal are O(1) and allocate nothing once the map has its size. A freed element
/// stays in its slot until the slot is claimed again, so that its arrays keep their capacity. The map has its memory
/// to itself and is never copied, so that to look at one member of an element costs one load: an array's subscript
/// would copy the whole element first.
struct SlotMap<Element: ~Copyable>: ~Copyable {
    struct Slot: ~Copyable {
        /// The first member: it is where the slot is.
        var element: Element
        /// Odd: in use.
        var generation: UInt32
        /// While it is free: the one to be claimed after it, or -1.
        var nextFree: Int32 = -1
    }

    /// A pointer and no buffer: a buffer's subscript copies, too.
    private var slots = UnsafeMutablePointer<Slot>.allocate(capacity: 4)
    /// Slots there is memory for.
    private var allocated = 4
    /// Slots ever used; indices are below it.
    private(set) var capacity = 0
    /// The slot that was freed last; -1: none is free. Each knows the one that was freed before it.
    private var free: Int32 = -1
    /// Living elements.
    private(set) var count = 0
    private let pinned = Pinned()

    init() {}

    deinit {
        self.slots.deinitialize(count: self.capacity)
        self.slots.deallocate()
    }

    /// Takes a slot. Its element is what was last there, or `fresh` in a slot never used: the caller sets it.
    mutating func claim(fresh: @autoclosure () -> Element) -> Token<Element> {
        self.count += 1
        if self.free >= 0 {
            let slot = self.slots + Int(self.free)
            defer { self.free = slot.pointee.nextFree }
            slot.pointee.generation &+= 1
            return Token(index: UInt32(self.free), generation: slot.pointee.generation)
        }
        if self.capacity == self.allocated { self.grow() }
        (self.slots + self.capacity).initialize(to: Slot(element: fresh(), generation: 1))
        self.capacity += 1
        return Token(index: UInt32(self.capacity - 1), generation: 1)
    }

    private mutating func grow() {
        self.allocated *= 2
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: self.allocated)
        larger.moveInitialize(from: self.slots, count: self.capacity)
        self.slots.deallocate()
        self.slots = larger
    }

    func contains(_ token: Token<Element>) -> Bool {
        let index = Int(token.index)
        // A worker may name any generation, also the even one of a slot that is free.
        return index < self.capacity && self.slots[index].generation == token.generation
            && token.generation & 1 == 1
    }

    /// The element of a living token. A stale token is a defect: ask `contains` where it may be.
    subscript(_ token: Token<Element>) -> Element {
        unsafeAddress { UnsafePointer(self.address(of: token)) }
        unsafeMutableAddress { self.address(of: token) }
    }

    /// Where the element of a living token is until the next one is inserted.
    ///
    /// For accessors: `_read` is a coroutine, which, where it is not inlined, copies the whole element into a frame that
    /// is allocated for it.
    @inline(__always)
    func address(of token: Token<Element>) -> UnsafeMutablePointer<Element> {
        // Tokens that were given out are of living elements: only a number that a stranger names may be even.
        let index = Int(token.index)
        precondition(
            index < self.capacity && self.slots[index].generation == token.generation, "stale token \(token)")
        return UnsafeMutableRawPointer(self.slots + Int(token.index)).assumingMemoryBound(to: Element.self)
    }

    /// The token of the element in that slot; nil when the slot is free.
    func token(at index: Int) -> Token<Element>? {
        guard index < self.capacity, self.slots[index].generation & 1 == 1 else { return nil }
        return Token(index: UInt32(index), generation: self.slots[index].generation)
    }

    mutating func remove(_ token: Token<Element>) {
        precondition(self.contains(token), "stale token \(token)")
        self.slots[Int(token.index)].generation &+= 1
        self.slots[Int(token.index)].nextFree = self.free
        self.free = Int32(token.index)
        self.count -= 1
    }

    /// The tokens of all living elements, by slot. O(capacity).
    var tokens: [Token<Element>] {
        var tokens: [Token<Element>] = []
        for index in 0..<self.capacity {
            if let token = self.token(at: index) { tokens.append(token) }
        }
        return tokens
    }

    func _checkInvariants() {
        let living = (0..<self.capacity).count { [slots = self.slots] in slots[$0].generation & 1 == 1 }
        precondition(living == self.count, "\(living) living, \(self.count) counted")
        var (free, next) = (0, self.free)
        while next >= 0, free <= self.capacity {
            precondition(self.slots[Int(next)].generation & 1 == 0, "a living slot is free")
            (free, next) = (free + 1, self.slots[Int(next)].nextFree)
        }
        precondition(free == self.capacity - self.count, "\(free) slots are free of \(self.capacity)")
    }
}

extension SlotMap {
    /// Takes a slot for this element.
    mutating func insert(_ element: Element) -> Token<Element> {
        let token = self.claim(fresh: element)
        self[token] = element
        return token
    }
}
