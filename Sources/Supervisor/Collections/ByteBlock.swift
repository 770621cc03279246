/// Bytes that are set as a whole and read in place, in memory that is kept for the next ones.
struct ByteBlock: ~Copyable {
    /// A small block of memory is kept when the bytes go, a large one given back.
    private static let keptCapacity = 16 * 1024

    private var memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
    private var capacity = 64
    private(set) var count = 0

    init() {}

    deinit { self.memory.deallocate() }

    /// Forgets what there is, and makes room.
    ///
    /// - Returns: where that many bytes are to be written, at once.
    mutating func set(count: Int) -> UnsafeMutableRawPointer {
        if count > self.capacity {
            self.memory.deallocate()
            self.capacity = max(count, 2 * self.capacity)
            self.memory = .allocate(byteCount: self.capacity, alignment: 16)
        }
        self.count = count
        return self.memory
    }

    mutating func removeAll() {
        self.count = 0
        guard self.capacity > Self.keptCapacity else { return }
        self.memory.deallocate()
        self.capacity = 64
        self.memory = .allocate(byteCount: self.capacity, alignment: 16)
    }

    /// Valid until the bytes are changed.
    subscript(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.upperBound <= self.count, "\(range) of \(self.count) bytes")
        return UnsafeRawBufferPointer(start: self.memory + range.lowerBound, count: range.count)
    }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(self[0..<self.count])
    }
}
