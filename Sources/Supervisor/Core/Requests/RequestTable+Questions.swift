/// What there is to be known of the requests: how many, where, and which are next.
extension RequestTable {
    func tokens(_ slots: [Int]) -> [RequestToken] { slots.compactMap { self.requests.token(at: $0) } }

    /// Bytes of a connection's requests.
    func heldBytes(of connection: ConnectionToken) -> Int {
        Int(connection.index) < self.connections.count ? self.connections[Int(connection.index)].bytes : 0
    }

    /// Calls that take a slot of the worker, health checks not counted.
    func inFlight(on worker: WorkerToken) -> Int {
        Int(worker.index) < self.workers.count ? self.workers[Int(worker.index)].list.count : 0
    }

    /// Calls that take a slot of some worker. O(workers).
    var inFlight: Int {
        var count = 0
        for worker in 0..<self.workers.count { count += self.workers[worker].list.count }
        return count
    }

    func queued(in pool: Int) -> Int { self.queues[pool].count }

    /// The request of the pool's queue to be sent now.
    ///
    /// - Parameter unsuitable: calls that this worker lost are stepped over.
    func next(in pool: Int, at now: Instant, unsuitable: WorkerToken?) -> RequestToken? {
        self.queues[pool].next(at: now, unsuitable: unsuitable, self.requests, self.placeLinks)
    }

    /// Open calls and waiting notifications of a connection.
    func open(of connection: ConnectionToken) -> Int {
        Int(connection.index) < self.connections.count
            ? self.connections[Int(connection.index)].list.count : 0
    }

    /// The calls that take a slot of the worker, the oldest first.
    func calls(on worker: WorkerToken) -> [RequestToken] {
        guard Int(worker.index) < self.workers.count else { return [] }
        return self.tokens(self.workers[Int(worker.index)].list.slots(self.placeLinks))
    }

    /// When the call that has been longest on the worker was sent.
    func oldestDispatch(on worker: WorkerToken) -> Instant? {
        guard Int(worker.index) < self.workers.count,
            let slot = self.workers[Int(worker.index)].list.first, let token = self.requests.token(at: slot)
        else { return nil }
        return self.requests[token].dispatchedAt
    }

    /// The requests of a connection, the oldest first.
    func requests(of connection: ConnectionToken) -> [RequestToken] {
        guard Int(connection.index) < self.connections.count else { return [] }
        return self.tokens(self.connections[Int(connection.index)].list.slots(self.connectionLinks))
    }

    /// The requests that wait in a pool's queue, the higher priorities first.
    func requests(queuedIn pool: Int) -> [RequestToken] {
        self.tokens(self.queues[pool].slots(self.placeLinks))
    }

    /// All requests, by slot.
    var all: [RequestToken] { self.requests.tokens }
}
