import CLinux
import Glibc
import Protocol

/// Messages on their way out, of bytes that are appended at the end and sent from the front.
///
/// What is small is copied into memory of its own, one piece behind the other; of what is large only the array is kept
/// that it lies in already, and the place that it has between the others:
///
///     memory   {"jsonrpc":"2.0","id":7,"result":}⏎{"jsonrpc":"2.0",…
///     large                                    ↑ position, and a megabyte of somebody's array
///
/// An array is copied by nobody as long as nobody changes it; the others that have it have the same.
struct MessageBuffer: ~Copyable {
    /// From here on a payload is kept where it is. Below, a copy costs less than a piece more to send.
    static let largeBytes = 64 * 1024
    /// Memory that grew beyond this is given back once it is empty.
    private static let keptCapacity = 256 * 1024
    private static let leastCapacity = 4 * 1024

    private struct LargePiece {
        /// Before which byte of the memory it is sent.
        var position: Int
        var array: [UInt8]
        /// What of the array is still to be sent.
        var unsent: Range<Int>
    }

    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    /// What of the memory is still to be sent: `start..<end`.
    private var start = 0
    private var end = 0
    private var large: [LargePiece] = []
    private var largeCount = 0
    /// Bytes that were ever sent.
    private(set) var sentInAll = 0

    deinit { free(self.memory) }

    var count: Int { self.end - self.start + self.largeCount }
    var isEmpty: Bool { self.count == 0 }

    /// Appends what the closure writes: no more than so many bytes.
    mutating func append(atMost count: Int, _ write: (inout ByteWriter) -> Void) {
        let place = self.place(for: count)
        var writer = ByteWriter(place, count: count)
        write(&writer)
        self.end += writer.position - place
    }

    /// Appends a part of an array without copying it.
    mutating func append(large array: [UInt8], _ part: Range<Int>) {
        self.large.append(LargePiece(position: self.end, array: array, unsent: part))
        self.largeCount += part.count
    }

    @inline(__always)
    private mutating func place(for count: Int) -> UnsafeMutableRawPointer {
        if let memory, self.capacity - self.end >= count { return memory + self.end }
        return self.makePlace(for: count)
    }

    /// Moves what is unsent to the front, where that makes room enough and is less than what was sent; else grows.
    @inline(never)
    private mutating func makePlace(for count: Int) -> UnsafeMutableRawPointer {
        let unsent = self.end - self.start
        if let memory, self.start > unsent {
            memmove(memory, memory + self.start, unsent)
            for index in self.large.indices { self.large[index].position -= self.start }
            self.end = unsent
            self.start = 0
            if self.capacity - self.end >= count { return memory + self.end }
        }
        let wanted = max(self.end + count, self.capacity * 2, Self.leastCapacity)
        // Nothing can be answered without memory, and Swift's own allocations end the process as well. That is safe: the
        // guardian ends the workers, and the callers see their connections close.
        guard let grown = realloc(self.memory, wanted) else { fatalError("no memory: \(wanted) bytes") }
        self.memory = grown
        self.capacity = wanted
        return grown + self.end
    }

    // MARK: Sending

    /// Hands the first pieces of what is unsent to a system call, in order: at most three, so that a large one goes
    /// together with what stands around it.
    func withUnsent<Result>(_ body: (UnsafeMutableBufferPointer<iovec>) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: 3) { pieces in
            var count = 0
            func add(_ base: UnsafeRawPointer?, _ length: Int) {
                guard length > 0 else { return }
                pieces.initializeElement(
                    at: count, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: base), iov_len: length))
                count += 1
            }
            guard let first = self.large.first else {
                add(self.memory.map { $0 + self.start }, self.end - self.start)
                return body(UnsafeMutableBufferPointer(rebasing: pieces[..<count]))
            }
            let behind = self.large.count > 1 ? self.large[1].position : self.end
            add(self.memory.map { $0 + self.start }, first.position - self.start)
            return first.array.withUnsafeBytes { array in
                add(array.baseAddress.map { $0 + first.unsent.lowerBound }, first.unsent.count)
                add(self.memory.map { $0 + first.position }, behind - first.position)
                return body(UnsafeMutableBufferPointer(rebasing: pieces[..<count]))
            }
        }
    }

    /// So many bytes were sent.
    mutating func drop(_ count: Int) {
        self.sentInAll += count
        if self.large.isEmpty { self.start += count } else { self.dropAlsoLarge(count) }
        guard self.start == self.end, self.large.isEmpty else { return }
        if self.capacity > Self.keptCapacity { self.giveBack() }
        self.start = 0
        self.end = 0
    }

    private mutating func dropAlsoLarge(_ count: Int) {
        var left = count
        while let first = self.large.first {
            let before = min(left, first.position - self.start)
            self.start += before
            left -= before
            guard left > 0 else { return }
            let taken = min(left, first.unsent.count)
            left -= taken
            self.largeCount -= taken
            self.large[0].unsent = first.unsent.lowerBound + taken..<first.unsent.upperBound
            guard taken == first.unsent.count else { return }
            self.large.removeFirst()
        }
        self.start += left
    }

    mutating func removeAll() {
        self.giveBack()
        self.large = []
        self.largeCount = 0
        self.start = 0
        self.end = 0
    }

    private mutating func giveBack() {
        free(self.memory)
        self.memory = nil
        self.capacity = 0
    }
}
