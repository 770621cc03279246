/// Bytes that are set as a whole and read in place.
///
/// Small ones lie in memory that is kept for the next. Large ones are an array that lives as long as they do: whoever
/// sends them may keep it in place of a copy.
struct ByteBlock: ~Copyable {
    private static let keptCapacity = 16 * 1024

    private var memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
    private var capacity = 64
    private(set) var count = 0
    /// The bytes, if there are many of them.
    private(set) var large: [UInt8]?

    init() {}

    deinit { self.memory.deallocate() }

    /// Forgets what there is for other bytes.
    ///
    /// - Parameter write: writes that many, all of them.
    @inline(__always)
    mutating func set(count: Int, _ write: (UnsafeMutableRawPointer) -> Void) {
        self.count = count
        guard count <= Self.keptCapacity else { return self.setLarge(write) }
        self.large = nil
        if count > self.capacity { self.grow(count) }
        write(self.memory)
    }

    private mutating func setLarge(_ write: (UnsafeMutableRawPointer) -> Void) {
        self.large = [UInt8](unsafeUninitializedCapacity: self.count) { [count] buffer, written in
            if let base = buffer.baseAddress { write(UnsafeMutableRawPointer(base)) }
            written = count
        }
    }

    private mutating func grow(_ count: Int) {
        self.memory.deallocate()
        self.capacity = max(count, 2 * self.capacity)
        self.memory = .allocate(byteCount: self.capacity, alignment: 16)
    }

    mutating func removeAll() {
        self.count = 0
        self.large = nil
    }

    /// Valid until the bytes are changed.
    subscript(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.upperBound <= self.count, "\(range) of \(self.count) bytes")
        return UnsafeRawBufferPointer(start: self.start + range.lowerBound, count: range.count)
    }

    /// Nobody changes the array: its bytes stay where they are as long as it lives, which is as long as it is here.
    private var start: UnsafeRawPointer {
        guard let large else { return UnsafeRawPointer(self.memory) }
        return large.withUnsafeBytes { $0.baseAddress ?? UnsafeRawPointer(self.memory) }
    }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(self[0..<self.count])
    }
}
