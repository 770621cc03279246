/// All requests that the supervisor owes something for, and the only place that knows where each of them is:
/// in which pool's queue, on which worker, of which connection.
///
/// Counts (calls in flight on a worker, calls queued in a pool, open calls of a connection) are lengths of
/// the table's own lists, changed only together with a request's state, so that a slot of a worker is freed
/// exactly once whatever happens to its call. All operations are O(1); deadlines are O(log n).
struct RequestTable {
    private var requests = SlotMap<Request>()
    private var queues: [ListEnds]
    private var workers: [ListEnds] = []
    private var connections: [ListEnds] = []
    private(set) var deadlines = DeadlineQueue()
    /// Bytes of all requests' ids and params.
    private(set) var heldBytes = 0
    /// The same by connection.
    private var connectionBytes: [Int] = []
    /// Calls that were taken from their first worker and are not over.
    private(set) var retriesOpen = 0

    init(pools: Int) { self.queues = Array(repeating: ListEnds(), count: pools) }

    var count: Int { self.requests.count }

    func contains(_ token: RequestToken) -> Bool { self.requests.contains(token) }

    subscript(_ token: RequestToken) -> Request { _read { yield self.requests[token] } }

    // MARK: Numbers

    /// Bits of a call's number that hold the slot; the rest is the generation. 52 bits in all: a number that
    /// every JSON library keeps exactly.
    private static let slotBits: UInt64 = 20
    /// Requests that can be told apart by their numbers.
    static let maximumCount = 1 << 20

    /// The number by which a worker knows the call.
    static func number(of token: RequestToken) -> UInt64 {
        UInt64(token.generation) << Self.slotBits | UInt64(token.index)
    }

    /// The call of that number; nil when it is none of ours or is over.
    func call(numbered number: UInt64) -> RequestToken? {
        guard number >> Self.slotBits <= UInt64(UInt32.max) else { return nil }
        let token = RequestToken(
            index: UInt32(number & (1 << Self.slotBits - 1)),
            generation: UInt32(number >> Self.slotBits))
        return self.requests.contains(token) ? token : nil
    }

    // MARK: Life

    /// Takes a request in, in no list but its connection's. The caller queues or sends it at once.
    mutating func insert(_ fill: (inout Request) -> Void) -> RequestToken {
        let token = self.requests.claim(fresh: Request())
        fill(&self.requests[token])
        self.heldBytes += self.requests[token].bytes.count
        if let connection = self.requests[token].connection {
            Self.grow(&self.connections, toHold: Int(connection.index))
            let index = Int(connection.index)
            self.connections[index] = self.appending(token, .connection, self.connections[index])
            while self.connectionBytes.count <= index { self.connectionBytes.append(0) }
            self.connectionBytes[index] += self.requests[token].bytes.count
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
        self.heldBytes -= self.requests[token].bytes.count
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

    /// Puts a request at the end of its pool's queue.
    mutating func enqueue(_ token: RequestToken) {
        self.leavePlace(token)
        self.requests[token].state = .queued
        let pool = self.requests[token].pool
        self.queues[pool] = self.appending(token, .place, self.queues[pool])
    }

    /// Puts a call that its worker lost in front of the queue: it has waited already.
    mutating func requeue(_ token: RequestToken, avoiding worker: WorkerToken) {
        self.leavePlace(token)
        self.requests[token].state = .queued
        if self.requests[token].avoided == nil { self.retriesOpen += 1 }
        self.requests[token].avoided = worker
        let pool = self.requests[token].pool
        self.queues[pool] = self.prepending(token, .place, self.queues[pool])
    }

    /// Notes that the worker died that has the call.
    mutating func noteDeath(_ token: RequestToken, alone: Bool) {
        self.requests[token].deaths.note(alone: alone)
    }

    /// Notes that a call was sent to a worker, whose slot it takes until it leaves it.
    mutating func assign(_ token: RequestToken, to worker: WorkerToken, now: Instant) {
        self.leavePlace(token)
        self.requests[token].state = .inFlight(worker)
        self.requests[token].dispatchedAt = now
        self.requests[token].attempts += 1
        Self.grow(&self.workers, toHold: Int(worker.index))
        let index = Int(worker.index)
        self.workers[index] = self.appending(token, .place, self.workers[index])
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
        self.heldBytes -= self.requests[token].bytes.count
        self.requests[token].dropBytes()
    }

    // MARK: Questions

    /// Bytes of a connection's requests.
    func heldBytes(of connection: ConnectionToken) -> Int {
        Int(connection.index) < self.connectionBytes.count ? self.connectionBytes[Int(connection.index)] : 0
    }

    /// Calls that take a slot of the worker, health checks not counted.
    func inFlight(on worker: WorkerToken) -> Int {
        Int(worker.index) < self.workers.count ? self.workers[Int(worker.index)].count : 0
    }

    /// Calls that take a slot of some worker. O(workers).
    var inFlight: Int { self.workers.reduce(0) { $0 + $1.count } }

    func queued(in pool: Int) -> Int { self.queues[pool].count }

    /// The request that waits longest in the pool's queue.
    func firstQueued(in pool: Int) -> RequestToken? { self.token(self.queues[pool].head) }

    /// The request behind a queued one.
    func queued(after token: RequestToken) -> RequestToken? {
        self.token(self.requests[token].placeLinks.next)
    }

    /// Open calls and waiting notifications of a connection.
    func open(of connection: ConnectionToken) -> Int {
        Int(connection.index) < self.connections.count ? self.connections[Int(connection.index)].count : 0
    }

    /// The calls that take a slot of the worker, the oldest first.
    func calls(on worker: WorkerToken) -> [RequestToken] {
        guard Int(worker.index) < self.workers.count else { return [] }
        return self.tokens(self.workers[Int(worker.index)], .place)
    }

    /// When the call that has been longest on the worker was sent.
    func oldestDispatch(on worker: WorkerToken) -> Instant? {
        guard Int(worker.index) < self.workers.count,
            let token = self.token(self.workers[Int(worker.index)].head)
        else { return nil }
        return self.requests[token].dispatchedAt
    }

    /// The requests of a connection, the oldest first.
    func requests(of connection: ConnectionToken) -> [RequestToken] {
        guard Int(connection.index) < self.connections.count else { return [] }
        return self.tokens(self.connections[Int(connection.index)], .connection)
    }

    /// The requests that wait in a pool's queue, in order.
    func requests(queuedIn pool: Int) -> [RequestToken] { self.tokens(self.queues[pool], .place) }

    /// All requests, by slot.
    var all: [RequestToken] { self.requests.tokens }
}

// MARK: - Lists

extension RequestTable {
    /// Which of a request's two pairs of links a list runs through.
    private enum Links { case place, connection }

    private static func grow(_ lists: inout [ListEnds], toHold index: Int) {
        while lists.count <= index { lists.append(ListEnds()) }
    }

    private func token(_ index: Int32) -> RequestToken? {
        index < 0 ? nil : self.requests.token(at: Int(index))
    }

    private func tokens(_ ends: ListEnds, _ links: Links) -> [RequestToken] {
        var tokens: [RequestToken] = []
        var next = self.token(ends.head)
        while let token = next {
            tokens.append(token)
            next = self.token(self.links(token, links).next)
        }
        return tokens
    }

    private func links(_ token: RequestToken, _ links: Links) -> ListLinks {
        links == .place ? self.requests[token].placeLinks : self.requests[token].connectionLinks
    }

    private mutating func setLinks(_ token: RequestToken, _ links: Links, _ value: ListLinks) {
        if links == .place {
            self.requests[token].placeLinks = value
        } else {
            self.requests[token].connectionLinks = value
        }
    }

    private mutating func setNext(_ index: Int32, _ links: Links, _ next: Int32) {
        guard let token = self.token(index) else { return }
        self.setLinks(token, links, ListLinks(previous: self.links(token, links).previous, next: next))
    }

    private mutating func setPrevious(_ index: Int32, _ links: Links, _ previous: Int32) {
        guard let token = self.token(index) else { return }
        self.setLinks(token, links, ListLinks(previous: previous, next: self.links(token, links).next))
    }

    /// The list with the request at its end.
    private mutating func appending(_ token: RequestToken, _ links: Links, _ ends: ListEnds) -> ListEnds {
        let index = Int32(token.index)
        self.setLinks(token, links, ListLinks(previous: ends.tail, next: -1))
        self.setNext(ends.tail, links, index)
        return ListEnds(head: ends.head < 0 ? index : ends.head, tail: index, count: ends.count + 1)
    }

    /// The list with the request in front.
    private mutating func prepending(_ token: RequestToken, _ links: Links, _ ends: ListEnds) -> ListEnds {
        let index = Int32(token.index)
        self.setLinks(token, links, ListLinks(previous: -1, next: ends.head))
        self.setPrevious(ends.head, links, index)
        return ListEnds(head: index, tail: ends.tail < 0 ? index : ends.tail, count: ends.count + 1)
    }

    /// The list without the request.
    private mutating func removing(_ token: RequestToken, _ links: Links, _ ends: ListEnds) -> ListEnds {
        let gap = self.links(token, links)
        self.setNext(gap.previous, links, gap.next)
        self.setPrevious(gap.next, links, gap.previous)
        self.setLinks(token, links, ListLinks())
        return ListEnds(
            head: gap.previous < 0 ? gap.next : ends.head, tail: gap.next < 0 ? gap.previous : ends.tail,
            count: ends.count - 1)
    }

    /// Takes a request out of the queue or off the worker it is on.
    private mutating func leavePlace(_ token: RequestToken) {
        switch self.requests[token].state {
        case .none:
            return
        case .queued:
            let pool = self.requests[token].pool
            self.queues[pool] = self.removing(token, .place, self.queues[pool])
        case .inFlight(let worker), .abandoned(let worker):
            self.workers[Int(worker.index)] = self.removing(token, .place, self.workers[Int(worker.index)])
        }
        self.requests[token].state = .none
    }

    private mutating func leaveConnection(_ token: RequestToken) {
        guard let connection = self.requests[token].connection else { return }
        let index = Int(connection.index)
        self.connections[index] = self.removing(token, .connection, self.connections[index])
        self.connectionBytes[index] -= self.requests[token].bytes.count
    }

    private mutating func endRetry(_ token: RequestToken) {
        guard self.requests[token].avoided != nil else { return }
        self.requests[token].avoided = nil
        self.retriesOpen -= 1
    }

    /// Checks every list against every request's state. O(requests).
    func _checkInvariants() {
        self.requests._checkInvariants()
        self.deadlines._checkInvariants()
        var placed = 0
        for (pool, ends) in self.queues.enumerated() {
            let tokens = self.tokens(ends, .place)
            precondition(tokens.count == ends.count, "queue \(pool)")
            precondition(
                tokens.allSatisfy { self.requests[$0].state == .queued && self.requests[$0].pool == pool })
            placed += tokens.count
        }
        for (worker, ends) in self.workers.enumerated() {
            let tokens = self.tokens(ends, .place)
            precondition(tokens.count == ends.count, "worker \(worker)")
            for token in tokens {
                switch self.requests[token].state {
                case .inFlight(let at), .abandoned(let at): precondition(Int(at.index) == worker)
                default: preconditionFailure("\(self.requests[token].state) on a worker")
                }
            }
            placed += tokens.count
        }
        let living = self.requests.tokens
        let unplaced = living.count { self.requests[$0].state == .none }
        precondition(placed + unplaced == living.count, "\(placed) placed of \(living.count)")
        precondition(self.heldBytes == living.reduce(0) { $0 + self.requests[$1].bytes.count }, "held bytes")
        let retries = living.count { self.requests[$0].avoided != nil }
        precondition(retries == self.retriesOpen, "\(retries) retries, \(self.retriesOpen) counted")
    }
}
