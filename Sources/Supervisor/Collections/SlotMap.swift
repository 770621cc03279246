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
/// stays in its slot until the slot is claimed again, so that its arrays keep their capacity.
struct SlotMap<Element> {
    private var elements: [Element] = []
    /// Odd: in use.
    private var generations: [UInt32] = []
    private var free: [UInt32] = []

    /// Living elements.
    var count: Int { self.elements.count - self.free.count }
    /// Slots ever used; indices are below it.
    var capacity: Int { self.elements.count }

    /// Takes a slot. Its element is what was last there, or `fresh` in a slot never used: the caller sets it.
    mutating func claim(fresh: @autoclosure () -> Element) -> Token<Element> {
        if let index = self.free.popLast() {
            self.generations[Int(index)] &+= 1
            return Token(index: index, generation: self.generations[Int(index)])
        }
        self.elements.append(fresh())
        self.generations.append(1)
        return Token(index: UInt32(self.elements.count - 1), generation: 1)
    }

    /// Takes a slot for this element.
    mutating func insert(_ element: Element) -> Token<Element> {
        let token = self.claim(fresh: element)
        self.elements[Int(token.index)] = element
        return token
    }

    func contains(_ token: Token<Element>) -> Bool {
        let index = Int(token.index)
        // A worker may name any generation, also the even one of a slot that is free.
        return index < self.generations.count && self.generations[index] == token.generation
            && token.generation & 1 == 1
    }

    /// The element of a living token. A stale token is a defect: ask `contains` where it may be.
    subscript(_ token: Token<Element>) -> Element {
        get {
            precondition(self.contains(token), "stale token \(token)")
            return self.elements[Int(token.index)]
        }
        _modify {
            precondition(self.contains(token), "stale token \(token)")
            yield &self.elements[Int(token.index)]
        }
    }

    /// The token of the element in that slot; nil when the slot is free.
    func token(at index: Int) -> Token<Element>? {
        guard index < self.generations.count, self.generations[index] & 1 == 1 else { return nil }
        return Token(index: UInt32(index), generation: self.generations[index])
    }

    mutating func remove(_ token: Token<Element>) {
        precondition(self.contains(token), "stale token \(token)")
        self.generations[Int(token.index)] &+= 1
        self.free.append(token.index)
    }

    /// The tokens of all living elements, by slot. O(capacity).
    var tokens: [Token<Element>] { (0..<self.capacity).compactMap { self.token(at: $0) } }

    func _checkInvariants() {
        precondition(self.elements.count == self.generations.count)
        let living = self.generations.count { $0 & 1 == 1 }
        precondition(living == self.count, "\(living) living, \(self.count) counted")
        precondition(self.free.allSatisfy { self.generations[Int($0)] & 1 == 0 }, "a living slot is free")
        precondition(Set(self.free).count == self.free.count, "a slot is free twice")
    }
}
