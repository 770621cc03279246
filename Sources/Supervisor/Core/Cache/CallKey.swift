/// What a call has in common with those it may share (`ResponseCache`), written into memory that is kept for the next.
struct CallKey: ~Copyable {
    private var start: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0
    /// Of the whole key, for the store of responses; 0 where the key is none of its.
    var hash: UInt32 = 0

    private static let leastCapacity = 1024
    /// Memory for a large key is given back by the next one.
    private static let keptCapacity = 64 * 1024

    init() {
        self.capacity = Self.leastCapacity
        self.start = .allocate(byteCount: Self.leastCapacity, alignment: 8)
    }

    deinit { self.start.deallocate() }

    /// Good until the key is changed.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.start, count: self.count) }

    mutating func removeAll() {
        self.count = 0
        self.hash = 0
        if self.capacity > Self.keptCapacity { self.move(to: Self.leastCapacity) }
    }

    mutating func removeAll(from place: Int) {
        precondition(place <= self.count)
        self.count = place
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        self.reserve(bytes.count)
        (self.start + self.count).copyMemory(from: base, byteCount: bytes.count)
        self.count += bytes.count
    }

    /// Appends a number as it lies in memory.
    mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(bytesOf number: Number) {
        self.reserve(MemoryLayout<Number>.size)
        (self.start + self.count).storeBytes(of: number, as: Number.self)
        self.count += MemoryLayout<Number>.size
    }

    private mutating func reserve(_ more: Int) {
        if self.capacity - self.count < more { self.move(to: 2 * self.capacity + more) }
    }

    private mutating func move(to capacity: Int) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
        memory.copyMemory(from: self.start, byteCount: self.count)
        self.start.deallocate()
        self.start = memory
        self.capacity = capacity
    }
}
