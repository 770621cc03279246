/// Elements by small dense numbers, in memory of their own.
///
/// An array that is a member of a struct asks at every change whether it is shared, and so does each array inside it: a
/// dozen instructions for a word. A table is never shared and hands out addresses; and it may hold what cannot be
/// copied. Reading and changing are O(1), appending is O(1) on average.
///
/// A type that is private to its file cannot be an element: debug builds of the compiler (6.3) fail to link its metadata.
struct DenseTable<Element: ~Copyable>: ~Copyable {
    private var elements = UnsafeMutablePointer<Element>.allocate(capacity: 4)
    /// Elements there is memory for.
    private var allocated = 4
    private(set) var count = 0

    init() {}

    deinit {
        self.elements.deinitialize(count: self.count)
        self.elements.deallocate()
    }

    subscript(_ index: Int) -> Element {
        unsafeAddress { UnsafePointer(self.address(of: index)) }
        unsafeMutableAddress { self.address(of: index) }
    }

    @inline(__always)
    private func address(of index: Int) -> UnsafeMutablePointer<Element> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: self.count), "no element \(index)")
        return self.elements + index
    }

    mutating func append(_ element: consuming Element) {
        if self.count == self.allocated { self.reallocate() }
        (self.elements + self.count).initialize(to: element)
        self.count += 1
    }

    /// - Precondition: the table is not empty.
    @discardableResult
    mutating func removeLast() -> Element {
        precondition(self.count > 0, "nothing is left to be removed")
        self.count -= 1
        return (self.elements + self.count).move()
    }

    /// Makes elements until there is one of that number.
    @inline(__always)
    mutating func grow(toHold index: Int, _ fresh: () -> Element) {
        while self.count <= index { self.append(fresh()) }
    }

    private mutating func reallocate() {
        self.allocated *= 2
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: self.allocated)
        larger.moveInitialize(from: self.elements, count: self.count)
        self.elements.deallocate()
        self.elements = larger
    }
}
