import Protocol

typealias FlightToken = Token<Flight>

/// Equal cacheable calls that share one call to a worker (single flight).
///
/// Nobody's own request goes to the worker: the flight has a **call**, a request of its own whose origin is the
/// flight, and every caller, the first one too, is a **waiter**: a request with its own id, deadline, metadata,
/// connection and batch, in state `waiting`. So no waiter matters to the call more than another, and none of them
/// takes a place in the queue or a slot of a worker.
///
///     event                                    the call                          the waiters
///     ──────────────────────────────────────── ───────────────────────────────── ────────────────────────────────
///     an equal call arrives, the flight open   its deadline and priority rise    one more
///     a waiter's cancel, deadline, disconnect  goes on                           that one is answered, and gone
///     … of the last waiter                     leaves the queue; or is cancelled none; the flight is over
///                                              and keeps its slot (abandoned)
///     sent to a worker                         inFlight                          wait for their own deadlines only
///     the worker dies, or writes nonsense      queued again, once                wait at most queue_timeout again
///     … a second time                          gone                              all get the error; it is over
///     the worker answers                       gone                              all get the answer; it is over
///     a refresh of the same key; a worker      goes on                           keep waiting; but the flight is
///     whose answers do not count gets it                                         not open any more
///
/// An **open** flight is the one that its key finds: others may join it, and its result is stored. A flight that
/// refreshes a stale response in the background needs no waiters to live; it ends at its own deadline.
struct Flight {
    /// What its callers have in common (`ResponseCache`).
    var key: [UInt8] = []
    fileprivate var hash = 0
    var pool = 0
    /// The pool's generation of responses when it began.
    var generation: UInt64 = 0
    /// The request that goes to a worker; it lives as long as the flight.
    var call = RequestToken(index: 0, generation: 0)
    var waiters = SlotList()
    var isOpen = false
    /// Nobody need wait for it.
    var isRefresh = false
    /// The deadline that the worker was told.
    var toldDeadline = Instant.distantFuture
}

/// The flights, and where the open ones are found by key. All operations are O(1).
struct FlightTable: ~Copyable {
    private var flights = SlotMap<Flight>()
    /// Open flights by the hash of their keys. Of two keys with one hash only the first has an open flight.
    private var open: [Int: FlightToken] = [:]

    private static let keptCapacity = 4096

    var count: Int { self.flights.count }

    subscript(_ token: FlightToken) -> Flight {
        _read { yield self.flights[token] }
        _modify { yield &self.flights[token] }
    }

    /// The open flight of a key.
    func find(_ key: UnsafeRawBufferPointer) -> FlightToken? {
        guard let flight = self.open[Self.hash(key)],
            self.flights[flight].key.withUnsafeBytes({ $0.isEqual(to: key) })
        else { return nil }
        return flight
    }

    /// Begins a flight; one of the same key that was open is so no more.
    mutating func begin(
        _ key: UnsafeRawBufferPointer, pool: Int, generation: UInt64, isRefresh: Bool
    ) -> FlightToken {
        if let older = self.find(key) { self.close(older) }
        let token = self.flights.claim(fresh: Flight())
        let hash = Self.hash(key)
        let isOpen = self.open[hash] == nil
        self.flights[token].key.removeAll(keepingCapacity: true)
        self.flights[token].key.append(contentsOf: key)
        self.flights[token].hash = hash
        self.flights[token].pool = pool
        self.flights[token].generation = generation
        self.flights[token].waiters = SlotList()
        self.flights[token].isOpen = isOpen
        self.flights[token].isRefresh = isRefresh
        self.flights[token].toldDeadline = .distantFuture
        if isOpen { self.open[hash] = token }
        return token
    }

    /// Nobody joins it from now on, and its result is not stored.
    mutating func close(_ token: FlightToken) {
        guard self.flights[token].isOpen else { return }
        self.flights[token].isOpen = false
        self.open[self.flights[token].hash] = nil
    }

    mutating func remove(_ token: FlightToken) {
        precondition(self.flights[token].waiters.isEmpty, "a flight ends while somebody waits for it")
        self.close(token)
        // A small buffer is kept for the next tenant of the slot, a large one given back.
        if self.flights[token].key.capacity > Self.keptCapacity { self.flights[token].key = [] }
        self.flights.remove(token)
    }

    /// By slot. O(flights)
    var tokens: [FlightToken] { self.flights.tokens }

    private static func hash(_ key: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: key)
        return hasher.finalize()
    }

    private var openTokens: [FlightToken] {
        var open: [FlightToken] = []
        for token in self.flights.tokens where self.flights[token].isOpen { open.append(token) }
        return open
    }

    func _checkInvariants() {
        self.flights._checkInvariants()
        let open = self.openTokens
        precondition(open.count == self.open.count, "\(open.count) open flights, \(self.open.count) found")
        for token in open {
            precondition(self.open[self.flights[token].hash] == token, "an open flight that is not found")
        }
    }
}
