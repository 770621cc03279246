import CLinux

/// How malloc treats the memory of large messages, which is taken and freed again with each of them.
///
/// By itself it would give the end of the heap back to the system at almost every such message and take it anew at the
/// next, where each page is first a fault and then filled with zeros: of a call with a mebibyte each way that was more
/// than half of the time. So it keeps what was freed while large messages come and go, and when none has come for a
/// while it gives everything back.
enum Heap {
    /// Kept at most; what is larger comes straight from the system and goes straight back.
    private static let keptBytes: Int32 = 16 << 20
    /// How long after the last large message.
    static let patience = Nanoseconds.seconds(1)

    static func keepFreedMemory() {
        _ = mallopt(M_MMAP_THRESHOLD, Self.keptBytes)
        _ = mallopt(M_TRIM_THRESHOLD, Self.keptBytes)
    }

    /// Gives back what nothing is in, also in the midst of the heap.
    ///
    /// - Complexity: O(free blocks). What the caches hold is not in the heap.
    static func giveBack() { _ = malloc_trim(0) }
}
