/// Bytes on their way out: appended at the end, sent from the front.
///
/// A struct around an array: appending is a copy into place, nothing is moved until a good part was sent.
struct OutputBuffer {
    /// What is appended to. The first `sent` bytes are gone already.
    var bytes: [UInt8] = []
    private var sent = 0
    /// Bytes that were ever sent.
    private(set) var sentInAll = 0

    /// A buffer that grew beyond this is given back once it is empty.
    private static let keptCapacity = 256 * 1024

    var count: Int { self.bytes.count - self.sent }
    var isEmpty: Bool { self.count == 0 }

    func withUnsent<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.sent...])) }
    }

    mutating func drop(_ count: Int) {
        self.sent += count
        self.sentInAll += count
        if self.isEmpty {
            if self.bytes.capacity > Self.keptCapacity {
                self.bytes = []
            } else {
                self.bytes.removeAll(keepingCapacity: true)
            }
            self.sent = 0
        } else if self.sent > 1 << 20, self.sent > self.bytes.count / 2 {
            self.bytes.removeFirst(self.sent)
            self.sent = 0
        }
    }

    mutating func removeAll() {
        self.bytes = []
        self.sent = 0
    }
}
