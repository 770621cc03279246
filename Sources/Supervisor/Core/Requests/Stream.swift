/// What of a call's answer is passed on before its end, in chunks (protocol §2).
///
/// Where a call is shared (`Flight`), both the call that the worker has and the request of the one who waits have a
/// stream: the first knows whether a chunk was passed on, the second what is owed to its caller.
struct Stream {
    enum State: Equatable {
        /// No chunk was passed on, and none is owed. → open, muted
        case none
        /// A final chunk is owed before the answer: the method is `rag.stream`, or a chunk was passed on. → ended
        case open
        /// The final chunk was passed on: only the answer may follow.
        case ended
        /// Its chunks are for nobody: several wait for the call, or it makes vectors.
        case muted
    }

    /// How much of one stream may wait for its client to read it. What is beyond ends the stream.
    static let waitingChunks = 256
    static let waitingBytes = 1 << 20

    var state = State.none
    /// Chunks passed on; the number of the next one.
    var sequence = 0
    /// When the last of them was passed on.
    var passedOnAt = Instant(nanoseconds: 0)
    /// Of them, those that stand unsent in their connection's output, as far as `ChunkBacklog` has looked.
    var waiting = (chunks: 0, bytes: 0)
    /// The caller gave a `request_id`, by which its chunks are named; else they are by the call's id.
    var isNamedByCaller = false
    /// The caller gave a `timeout_ms`.
    var hasOwnTimeout = false

    /// Whether its chunks have to follow each other in time.
    var isTimed: Bool { self.state == .open || self.state == .ended }
    /// Whether there is no way back to another worker.
    var hasBegun: Bool { self.sequence > 0 }
}

/// The chunks in a connection's output that may not have been sent yet, in the order in which they stand there: what
/// tells how much of each of its streams waits.
///
/// Looked at when a chunk is added, so that a chunk costs O(1) whatever waits. It holds at most as many chunks as the
/// streams that the connection has had since its output was last empty may leave unsent.
struct ChunkBacklog {
    struct Entry {
        /// Where it ends, in bytes sent to the connection since it began.
        var end: Int
        var bytes: Int
        var stream: RequestToken
    }

    private var entries: [Entry] = []
    /// Those before it are gone.
    private var head = 0

    private static let keptCapacity = 4096

    /// Those that may not have been sent.
    var unsent: ArraySlice<Entry> { self.entries[self.head...] }

    mutating func append(_ entry: Entry) { self.entries.append(entry) }

    /// The next chunk that was sent whole, if any; it is forgotten.
    mutating func popSent(_ sent: Int) -> Entry? {
        guard self.head < self.entries.count, self.entries[self.head].end <= sent else { return nil }
        let entry = self.entries[self.head]
        self.head += 1
        if self.head == self.entries.count {
            self.entries.removeAll(keepingCapacity: self.entries.capacity <= Self.keptCapacity)
            self.head = 0
        } else if self.head > Self.keptCapacity, self.head > self.entries.count / 2 {
            self.entries.removeFirst(self.head)
            self.head = 0
        }
        return entry
    }
}
