/// Names an element of a `SlotMap` for as long as it lives: a token of a freed element finds nothing, also
/// when its slot has a new tenant.
struct Token<Element>: Hashable, Sendable {
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
struct SlotMap<Element>: ~Copyable {
    private struct Slot {
        /// The first member: it is where the slot is.
        var element: Element
        /// Odd: in use.
        var generation: UInt32
    }

    /// A pointer and no buffer: a buffer's subscript copies, too.
    private var slots = UnsafeMutablePointer<Slot>.allocate(capacity: 4)
    /// Slots there is memory for.
    private var allocated = 4
    /// Slots ever used; indices are below it.
    private(set) var capacity = 0
    private var free: [UInt32] = []
    private let pinned = Pinned()

    init() {}

    deinit {
        self.slots.deinitialize(count: self.capacity)
        self.slots.deallocate()
    }

    /// Living elements.
    var count: Int { self.capacity - self.free.count }

    /// Takes a slot. Its element is what was last there, or `fresh` in a slot never used: the caller sets it.
    mutating func claim(fresh: @autoclosure () -> Element) -> Token<Element> {
        if let index = self.free.popLast() {
            self.slots[Int(index)].generation &+= 1
            return Token(index: index, generation: self.slots[Int(index)].generation)
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

    /// Takes a slot for this element.
    mutating func insert(_ element: Element) -> Token<Element> {
        let token = self.claim(fresh: element)
        self.slots[Int(token.index)].element = element
        return token
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
        precondition(self.contains(token), "stale token \(token)")
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
        self.free.append(token.index)
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
        precondition(
            self.free.allSatisfy { [slots = self.slots] in slots[Int($0)].generation & 1 == 0 },
            "a living slot is free")
        precondition(Set(self.free).count == self.free.count, "a slot is free twice")
    }
}
