import Protocol

/// One message for a worker, from the moment it is accepted until the worker owes nothing more for it.
///
/// It cannot be copied: it lives in its slot of the table, and is looked at there.
struct Request: ~Copyable {
    enum State: Equatable {
        /// In no list: a health check, a message to all workers, an operator's call that waits for workers, or a free
        /// slot of the table.
        case none
        /// Waits in its pool's queue. → inFlight, or answered and gone
        case queued
        /// Sent to a worker; the caller waits. → queued (its worker died), abandoned, or answered and gone
        case inFlight(WorkerToken)
        /// The caller has its answer (timeout, cancel) or is gone; the worker still works on it and keeps the
        /// slot taken until it answers, dies or overruns. → gone
        case abandoned(WorkerToken)
        /// Its caller shares the flight's call with others: it takes neither a place in the queue nor a slot.
        /// → answered and gone
        case waiting(FlightToken)
    }

    /// Who is to be answered.
    enum Origin: Equatable {
        case client(ConnectionToken, batch: BatchToken?)
        /// Nobody: passed on when a worker has a slot free.
        case notification(ConnectionToken)
        /// The supervisor itself, asking that worker for its health.
        case healthCheck(WorkerToken)
        /// The supervisor, telling every worker something.
        case broadcast(BroadcastToken, WorkerToken)
        /// Those who wait for the flight; in a queue it takes that connection's turn.
        case flight(FlightToken, turn: ConnectionToken?)
        /// Nobody any more: the caller was answered or is gone.
        case nobody
    }

    var state = State.none
    var origin = Origin.nobody
    var pool = 0
    var priority = RequestMetadata.Priority.normal
    var method = MethodTable.Index.other
    /// The id's text, the method, params, request_id and traceparent, one behind the other.
    private(set) var bytes = ByteBlock()
    private var ends = (id: 0, method: 0, params: 0, requestID: 0)
    /// Whether the caller sent `metadata`, and so gets some back.
    var wantsMetadata = false
    var cacheUse = CacheUse.bypass
    /// Whether its caller takes an old response in place of an error.
    var acceptsStale = false
    /// What it has to do with embeddings; nil for all but `embedding.create`.
    var embedding: EmbeddingRole?

    var arrivedAt = Instant(nanoseconds: 0)
    /// When it was sent to its worker; of the last attempt.
    var dispatchedAt = Instant(nanoseconds: 0)
    var deadline = Instant.distantFuture
    /// Workers it was sent to.
    var attempts = 0
    /// The worker that lost it: it goes to another one.
    var avoided: WorkerToken?
    var deaths = DeathsInFlight()
    /// Why another technique was taken than the caller asked for; nil: none was.
    var fallback: TechniqueFallback?
    var stream = Stream()

    /// Memory that it takes for its caller.
    var heldBytes: Int { self.bytes.count + (self.embedding?.bytes ?? 0) }

    var id: Range<Int> { 0..<self.ends.id }
    var methodName: Range<Int> { self.ends.id..<self.ends.method }
    var params: Range<Int> { self.ends.method..<self.ends.params }
    var requestID: Range<Int> { self.ends.params..<self.ends.requestID }
    var traceparent: Range<Int> { self.ends.requestID..<self.bytes.count }

    /// What its chunks are named by: the caller's own `request_id`, else its id, as it stands between quotes.
    var streamName: Range<Int> {
        if self.stream.isNamedByCaller { return self.requestID }
        let isQuoted = self.bytes[self.id].first == UInt8(ascii: "\"")
        return isQuoted ? 1..<self.ends.id - 1 : self.id
    }

    var connection: ConnectionToken? {
        switch self.origin {
        case .client(let connection, _), .notification(let connection): connection
        case .healthCheck, .broadcast, .flight, .nobody: nil
        }
    }

    /// The connection whose turn it takes in a queue.
    var turn: ConnectionToken? {
        if case .flight(_, let turn) = self.origin { return turn }
        return self.connection
    }

    /// The flight whose call it is.
    var flight: FlightToken? {
        if case .flight(let flight, _) = self.origin { return flight }
        return nil
    }

    var isNotification: Bool {
        if case .notification = self.origin { return true }
        return false
    }

    /// What a request is named by in the logs of both sides.
    enum RequestID {
        /// The caller's own, as it stands between quotes.
        case text(UnsafeRawBufferPointer)
        case made(UUIDv7)

        var count: Int {
            switch self {
            case .text(let text): text.count
            case .made: UUIDv7.textCount
            }
        }
    }

    mutating func setBytes(
        id: UnsafeRawBufferPointer, method: UnsafeRawBufferPointer, params: UnsafeRawBufferPointer,
        requestID: RequestID, traceparent: UnsafeRawBufferPointer
    ) {
        self.ends.id = id.count
        self.ends.method = self.ends.id + method.count
        self.ends.params = self.ends.method + params.count
        self.ends.requestID = self.ends.params + requestID.count
        let ends = self.ends
        self.bytes.set(count: ends.requestID + traceparent.count) { memory in
            memory.copy(id)
            (memory + ends.id).copy(method)
            (memory + ends.method).copy(params)
            switch requestID {
            case .text(let text): (memory + ends.params).copy(text)
            case .made(let uuid): uuid.write(to: memory + ends.params)
            }
            (memory + ends.requestID).copy(traceparent)
        }
    }

    /// Puts other params in the place of those it has.
    mutating func replaceParams(_ params: [UInt8]) {
        var old = ByteBlock()
        swap(&old, &self.bytes)
        let (id, method, requestID) = (old[self.id], old[self.methodName], old[self.requestID])
        let traceparent = old[self.ends.requestID..<old.count]
        params.withUnsafeBytes {
            self.setBytes(
                id: id, method: method, params: $0, requestID: .text(requestID), traceparent: traceparent)
        }
    }

    mutating func clear() {
        self.state = .none
        self.origin = .nobody
        self.priority = .normal
        self.attempts = 0
        self.avoided = nil
        self.deaths = DeathsInFlight()
        self.fallback = nil
        self.stream = Stream()
        self.wantsMetadata = false
        self.cacheUse = .bypass
        self.acceptsStale = false
        self.dropBytes()
    }

    mutating func dropBytes() {
        self.embedding = nil
        self.ends = (0, 0, 0, 0)
        self.bytes.removeAll()
    }

    /// What a worker is sent of it.
    struct Parts {
        var method: UnsafeRawBufferPointer
        var params: UnsafeRawBufferPointer
        /// The array that they all lie in, if it is not one of those that are kept for the next tenant.
        var owner: [UInt8]?
        var requestID: UnsafeRawBufferPointer
        var traceparent: UnsafeRawBufferPointer
        var fallback: TechniqueFallback?
    }

    func withParts<Result>(_ body: (Parts) -> Result) -> Result {
        body(
            Parts(
                method: self.bytes[self.methodName], params: self.bytes[self.params],
                owner: self.bytes.large, requestID: self.bytes[self.requestID],
                traceparent: self.bytes[self.traceparent], fallback: self.fallback))
    }

    func text(_ range: Range<Int>) -> String { String(decoding: self.bytes[range], as: UTF8.self) }

    /// The request id as text, escapes resolved.
    var requestIDText: String {
        self.bytes.withUnsafeBytes { JSONScanner.unescaped($0, self.requestID) }
    }
}

/// What the cache had to do with a call, as its caller is told (protocol §2).
enum CacheUse: Equatable {
    case hit, miss
    /// Answered by a response that is past its time.
    case stale(age: Nanoseconds)
    /// It shared the call of another.
    case coalesced
    /// It could not be cached, or was not to be.
    case bypass

    var word: String {
        switch self {
        case .hit: "hit"
        case .miss: "miss"
        case .stale: "stale"
        case .coalesced: "coalesced"
        case .bypass: "bypass"
        }
    }

    /// The members of a response's metadata that say so.
    var members: [JSONValue.Member] {
        let word = JSONValue.Member("cache", .string(self.word))
        guard case .stale(let age) = self else { return [word] }
        return [word, .init("age_ms", .integer(Int(age / 1_000_000)))]
    }
}

/// Deaths of workers that a call was in flight at.
struct DeathsInFlight: Equatable {
    private(set) var count = 0
    /// At one of them nothing else was on the worker: no neighbour can be to blame.
    private(set) var wasAlone = false

    mutating func note(alone: Bool) {
        self.count += 1
        self.wasAlone = self.wasAlone || alone
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func copy(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { self.copyMemory(from: base, byteCount: bytes.count) }
    }
}
