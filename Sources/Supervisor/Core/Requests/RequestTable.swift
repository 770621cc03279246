import Protocol

/// All requests that the supervisor owes something for, and the only place that knows where each of them is:
/// in which pool's queue, on which worker, of which connection, waiting for which flight.
///
/// Counts (calls in flight on a worker, calls queued in a pool, open calls of a connection) are lengths of
/// the table's own lists, changed only together with a request's state, so that a slot of a worker is freed
/// exactly once whatever happens to its call. All operations are O(1); deadlines are O(log n).
struct RequestTable: ~Copyable {
    /// The requests of a connection that it waits for.
    struct ConnectionRequests {
        var list = SlotList()
        var bytes = 0
    }

    private(set) var requests = SlotMap<Request>()
    private(set) var queues = DenseTable<CallQueue>()
    /// The calls of each worker.
    var workers = DenseTable<WorkerCalls>()
    /// Which workers have room, by pool.
    var rosters = DenseTable<Roster>()
    /// What is open of each connection.
    private(set) var connections = DenseTable<ConnectionRequests>()
    private(set) var flights = FlightTable()
    /// Of the queues, the workers' lists and the flights' waiters: a request is in one of them at most.
    private(set) var placeLinks = SlotLinks()
    private(set) var connectionLinks = SlotLinks()
    private(set) var deadlines = DeadlineQueue()
    /// Bytes of all requests' ids and params.
    private(set) var heldBytes = 0
    /// Calls that were taken from their first worker and are not over.
    private(set) var retriesOpen = 0

    init(pools: Int) {
        for _ in 0..<pools {
            self.queues.append(CallQueue())
            self.rosters.append(Roster())
        }
    }

    var count: Int { self.requests.count }

    func contains(_ token: RequestToken) -> Bool { self.requests.contains(token) }

    subscript(_ token: RequestToken) -> Request {
        unsafeAddress { UnsafePointer(self.requests.address(of: token)) }
    }

    /// The parts of a call as they are sent to a worker, without a copy of them.
    func withParts<Result>(of token: RequestToken, _ body: (Request.Parts) -> Result) -> Result {
        self.requests[token].withParts(body)
    }

    subscript(stream token: RequestToken) -> Stream {
        get { self.requests[token].stream }
        _modify { yield &self.requests[token].stream }
    }

    // MARK: Numbers

    /// Bits of a call's number that hold the slot; the rest is the generation. 52 bits in all: a number that
    /// every JSON library keeps exactly.
    private static let slotBits: UInt64 = 20
    /// Requests that can be told apart by their numbers.
    private static let slots = 1 << Self.slotBits
    /// Calls of clients that are accepted at once. The rest of the slots is for the supervisor's own questions and
    /// operators' calls, which are bounded by the workers and connections there may be.
    static let maximumCount = Self.slots / 4 * 3

    /// The number by which a worker knows the call.
    static func number(of token: RequestToken) -> UInt64 {
        UInt64(token.generation) << Self.slotBits | UInt64(token.index)
    }

    /// The call of that number; nil when it is none of ours or is over.
    ///
    /// - Parameter ofAnyGeneration: the slot's present call is found by the number of a former one too: what must
    ///   never be, and a test looks at.
    func call(numbered number: UInt64, ofAnyGeneration: Bool = false) -> RequestToken? {
        guard number >> Self.slotBits <= UInt64(UInt32.max) else { return nil }
        let token = RequestToken(
            index: UInt32(number & (1 << Self.slotBits - 1)),
            generation: UInt32(number >> Self.slotBits))
        if ofAnyGeneration { return self.requests.token(at: Int(token.index)) }
        return self.requests.contains(token) ? token : nil
    }

    // MARK: Life

    /// Takes a request in, in no list but its connection's. The caller queues or sends it at once.
    @inline(__always)
    mutating func insert(_ fill: (inout Request) -> Void) -> RequestToken {
        let token = self.requests.claim(fresh: Request())
        fill(&self.requests[token])
        let bytes = self.requests[token].heldBytes
        self.heldBytes += bytes
        if let connection = self.requests[token].connection {
            let index = Int(connection.index)
            self.connections.grow(toHold: index) { ConnectionRequests() }
            self.connections[index].list.append(Int(token.index), &self.connectionLinks)
            self.connections[index].bytes += bytes
        }
        return token
    }

    /// Forgets a request, wherever it is.
    ///
    /// Its connection may be gone already only if its requests went first.
    mutating func remove(_ token: RequestToken) {
        self.leavePlace(token)
        self.leaveConnection(token)
        self.endRetry(token)
        self.heldBytes -= self.requests[token].heldBytes
        self.deadlines.remove(Int(token.index))
        self.requests[token].clear()
        self.requests.remove(token)
    }

    mutating func setDeadline(_ token: RequestToken, to time: Instant) {
        self.deadlines.set(Int(token.index), to: time)
    }

    /// The request whose deadline is due, if any; its deadline is taken back.
    mutating func popDue(now: Instant) -> RequestToken? {
        guard let index = self.deadlines.popDue(now: now) else { return nil }
        guard let token = self.requests.token(at: index) else {
            preconditionFailure("a deadline of free request slot \(index)")
        }
        return token
    }

    // MARK: Places

    /// Puts a request into its pool's queue.
    mutating func enqueue(_ token: RequestToken) {
        self.leavePlace(token)
        self.requests[token].state = .queued
        self.enterQueue(token)
    }

    private mutating func enterQueue(_ token: RequestToken) {
        let pool = self.requests[token].pool
        if self.requests[token].avoided == nil {
            self.queues[pool].append(token, self.requests, &self.placeLinks)
        } else {
            self.queues[pool].prependRetried(token, self.requests, &self.placeLinks)
        }
    }

    /// Puts a call that its worker lost into the queue again, before the others of its priority.
    mutating func requeue(_ token: RequestToken, avoiding worker: WorkerToken) {
        self.leavePlace(token)
        self.requests[token].state = .queued
        if self.requests[token].avoided == nil { self.retriesOpen += 1 }
        self.requests[token].avoided = worker
        self.enterQueue(token)
    }

    /// A queued request is about to be sent: it is in no list but its connection's.
    mutating func takeFromQueue(_ token: RequestToken) {
        precondition(self.requests[token].state == .queued, "taken while \(self.requests[token].state)")
        self.queues[self.requests[token].pool].take(token, self.requests, &self.placeLinks)
        self.requests[token].state = .none
    }

    /// Notes that the worker died that has the call.
    mutating func noteDeath(_ token: RequestToken, alone: Bool) {
        self.requests[token].deaths.note(alone: alone)
    }

    /// Notes that a call was sent to a worker, whose slot it takes until it leaves it.
    mutating func assign(_ token: RequestToken, to worker: WorkerToken, now: Instant) {
        precondition(self.requests[token].state == .none, "sent while \(self.requests[token].state)")
        self.requests[token].state = .inFlight(worker)
        self.requests[token].dispatchedAt = now
        self.requests[token].attempts += 1
        let index = Int(worker.index)
        self.workers.grow(toHold: index) { WorkerCalls() }
        self.workers[index].list.append(Int(token.index), &self.placeLinks)
        self.noteLoad(ofWorkerAt: index)
    }

    /// The caller has its answer; the worker still has the call, and its slot.
    mutating func abandon(_ token: RequestToken) {
        guard case .inFlight(let worker) = self.requests[token].state else {
            preconditionFailure("abandoned while \(self.requests[token].state)")
        }
        self.leaveConnection(token)
        self.endRetry(token)
        self.requests[token].state = .abandoned(worker)
        self.requests[token].origin = .nobody
        self.heldBytes -= self.requests[token].heldBytes
        self.requests[token].dropBytes()
    }

    // MARK: Flights

    /// Takes in the call of a new flight, for which nobody waits yet. One of the same key is not joined any more.
    ///
    /// - Parameter turn: the connection whose turn the call takes when it has to queue.
    mutating func beginFlight(
        _ key: UnsafeRawBufferPointer, pool: Int, generation: UInt64, turn: ConnectionToken?, isRefresh: Bool,
        _ fill: (inout Request) -> Void
    ) -> RequestToken {
        let flight = self.flights.begin(key, pool: pool, generation: generation, isRefresh: isRefresh)
        let call = self.insert {
            fill(&$0)
            $0.pool = pool
            $0.origin = .flight(flight, turn: turn)
        }
        self.flights[flight].call = call
        return call
    }

    /// A request that is in no list waits for a flight, whose call is as urgent as the most urgent of its waiters.
    ///
    /// - Parameter acceptsStale: whether an old response may be given in place of an error.
    mutating func wait(
        _ token: RequestToken, for flight: FlightToken, _ use: CacheUse, acceptsStale: Bool
    ) {
        precondition(self.requests[token].state == .none, "waits while \(self.requests[token].state)")
        self.requests[token].state = .waiting(flight)
        self.requests[token].cacheUse = use
        self.requests[token].acceptsStale = acceptsStale
        self.flights[flight].waiters.append(Int(token.index), &self.placeLinks)
        let call = self.flights[flight].call
        self.requests[call].deadline = max(self.requests[call].deadline, self.requests[token].deadline)
        self.raise(call, to: self.requests[token].priority)
    }

    private mutating func raise(_ call: RequestToken, to priority: RequestMetadata.Priority) {
        guard priority.level < self.requests[call].priority.level else { return }
        let isQueued = self.requests[call].state == .queued
        if isQueued { self.queues[self.requests[call].pool].remove(call, self.requests, &self.placeLinks) }
        self.requests[call].priority = priority
        if isQueued { self.enterQueue(call) }
    }

    /// The call of a flight is about to be sent; the worker is told the deadline of its longest waiter. O(waiters)
    mutating func settleDeadline(of flight: FlightToken) {
        let (call, isRefresh) = (self.flights[flight].call, self.flights[flight].isRefresh)
        var longest = isRefresh ? self.requests[call].deadline : Instant(nanoseconds: .min)
        var next = self.flights[flight].waiters.first
        while let slot = next {
            next = SlotList.next(after: slot, self.placeLinks)
            guard let waiter = self.requests.token(at: slot) else { continue }
            longest = max(longest, self.requests[waiter].deadline)
        }
        self.requests[call].deadline = longest
        self.flights[flight].toldDeadline = longest
    }

    /// Those who wait for a flight do so until their own deadlines, or that time where it is earlier. O(waiters)
    mutating func setWaiterDeadlines(_ flight: FlightToken, notAfter limit: Instant) {
        var next = self.flights[flight].waiters.first
        while let slot = next {
            next = SlotList.next(after: slot, self.placeLinks)
            guard let waiter = self.requests.token(at: slot) else { continue }
            self.deadlines.set(slot, to: min(self.requests[waiter].deadline, limit))
        }
    }

    /// Takes a request from the flight it waits for; the caller of this has it wait for another.
    mutating func leaveFlight(_ token: RequestToken, for plan: EmbeddingPlan) {
        self.leavePlace(token)
        self.change(token) { $0.embedding = .answer(plan) }
    }

    /// Takes a call from its worker, to be asked in another way and maybe in another pool; the caller of this starts it.
    mutating func takeBack(_ token: RequestToken, params: [UInt8], pool: Int, _ fallback: TechniqueFallback) {
        self.leavePlace(token)
        self.change(token) {
            $0.replaceParams(params)
            $0.pool = pool
            $0.fallback = fallback
        }
    }

    /// Changes what a request holds.
    private mutating func change(_ token: RequestToken, _ body: (inout Request) -> Void) {
        let before = self.requests[token].heldBytes
        body(&self.requests[token])
        let difference = self.requests[token].heldBytes - before
        self.heldBytes += difference
        if let connection = self.requests[token].connection {
            self.connections[Int(connection.index)].bytes += difference
        }
    }

    /// A chunk of a call is about to be passed on: it may take until that time, and no old response may take the place
    /// of what is to follow.
    ///
    /// - Parameter caller: the call itself, or the one who waits for it.
    mutating func beginStream(_ caller: RequestToken, of call: RequestToken, deadline: Instant) {
        self.requests[caller].deadline = deadline
        self.requests[call].deadline = deadline
        self.requests[caller].acceptsStale = false
    }

    /// It is answered by an old response.
    mutating func noteStale(_ token: RequestToken, _ use: CacheUse) { self.requests[token].cacheUse = use }

    /// Nobody joins a flight any more, and its result is not stored.
    mutating func closeFlight(_ flight: FlightToken) { self.flights.close(flight) }

    /// A refresh has nothing more to wait for by itself.
    mutating func endRefresh(_ flight: FlightToken) { self.flights[flight].isRefresh = false }

    /// Forgets a flight for which nobody waits any more. Its call is removed or abandoned by the caller, at once.
    mutating func endFlight(_ flight: FlightToken) { self.flights.remove(flight) }

    func firstWaiter(for flight: FlightToken) -> RequestToken? {
        self.flights[flight].waiters.first.flatMap { self.requests.token(at: $0) }
    }

    /// In the order in which they came. O(waiters)
    func waiters(for flight: FlightToken) -> [RequestToken] {
        self.tokens(self.flights[flight].waiters.slots(self.placeLinks))
    }
}

// MARK: - Lists

extension RequestTable {
    /// Takes a request out of the queue or off the worker it is on.
    private mutating func leavePlace(_ token: RequestToken) {
        switch self.requests[token].state {
        case .none:
            return
        case .queued:
            self.queues[self.requests[token].pool].remove(token, self.requests, &self.placeLinks)
        case .inFlight(let worker), .abandoned(let worker):
            self.workers[Int(worker.index)].list.remove(Int(token.index), &self.placeLinks)
            self.noteLoad(ofWorkerAt: Int(worker.index))
        case .waiting(let flight):
            self.flights[flight].waiters.remove(Int(token.index), &self.placeLinks)
        }
        self.requests[token].state = .none
    }

    private mutating func leaveConnection(_ token: RequestToken) {
        guard let connection = self.requests[token].connection else { return }
        let index = Int(connection.index)
        self.connections[index].list.remove(Int(token.index), &self.connectionLinks)
        self.connections[index].bytes -= self.requests[token].heldBytes
    }

    private mutating func endRetry(_ token: RequestToken) {
        guard self.requests[token].avoided != nil else { return }
        self.requests[token].avoided = nil
        self.retriesOpen -= 1
    }
}
