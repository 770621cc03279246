import Protocol

/// Equal calls in flight share one call to a worker (the states are in `Flight`).
extension SupervisorCore {
    /// Has a call wait for an equal one that is open.
    ///
    /// - Parameter plan: what it gets of vectors, when it asks for embeddings.
    /// - Returns: false when there is none.
    mutating func join(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ method: MethodTable.Index, _ pool: Int,
        _ plan: EmbeddingPlan? = nil
    ) -> Bool {
        guard self.holds(.singleFlight), self.requests.count < RequestTable.maximumCount,
            let flight = self.requests.flights.find(self.flightKey.bytes)
        else { return false }
        if plan == nil { self.responses.coalesced += 1 }
        let request = self.register(
            incoming, metadata, method, pool: pool, timeout: self.methods.timeout(of: method),
            .waiter(plan))
        self.requests.wait(request, for: flight, .coalesced, acceptsStale: plan == nil)
        let call = self.requests.flights[flight].call
        let limit = self.requests[call].state == .queued ? self.queueLimit : .distantFuture
        self.requests.setDeadline(request, to: min(self.requests[request].deadline, limit))
        return true
    }

    /// Begins a flight for a call that found nothing: its caller is the first to wait for it.
    ///
    /// - Returns: the flight's call, to be started.
    mutating func lead(
        _ plan: CachePlan, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ method: MethodTable.Index, _ pool: Int
    ) -> RequestToken {
        if plan == .use { self.responses.misses += 1 }
        let waiter = self.register(
            incoming, metadata, method, pool: pool, timeout: self.methods.timeout(of: method), .waiter(nil))
        let call = self.beginFlight(for: waiter, params: incoming.params)
        self.join(waiter, to: call, .miss, acceptsStale: plan == .use)
        return call
    }

    /// Begins a flight that asks for what a caller wants.
    ///
    /// - Returns: its call, for which nobody waits yet.
    mutating func beginFlight(
        for waiter: RequestToken, params: UnsafeRawBufferPointer?, _ embedding: EmbeddingFetch? = nil
    ) -> RequestToken {
        // The waiter's bytes stay where they are while the table takes in the call.
        let parts = self.requests.withParts(of: waiter) { $0 }
        let (method, pool) = (self.requests[waiter].method, self.requests[waiter].pool)
        let (priority, deadline) = (self.requests[waiter].priority, self.requests[waiter].deadline)
        return self.beginFlight(
            method, parts.method, pool, params, .text(parts.requestID),
            turn: self.requests[waiter].connection, traceparent: parts.traceparent
        ) { request in
            request.priority = priority
            request.deadline = deadline
            request.embedding = embedding.map { .question($0) }
        }
    }

    mutating func join(_ waiter: RequestToken, to call: RequestToken, _ use: CacheUse, acceptsStale: Bool) {
        guard let flight = self.requests[call].flight else { preconditionFailure("a call of no flight") }
        self.requests.wait(waiter, for: flight, use, acceptsStale: acceptsStale)
    }

    /// Fetches a new response in place of a stale one that was just given: nobody waits for it, so it goes when
    /// there is room, and else not at all.
    mutating func refresh(
        _ incoming: IncomingRequest, _ method: MethodTable.Index, _ pool: Int,
        _ effects: inout some SupervisorEffects
    ) {
        let isUnderWay = self.requests.flights.find(self.flightKey.bytes) != nil
        guard !isUnderWay, !self.pools[pool].isHopeless else { return }
        let worker = self.idleWorker(in: pool, isNotification: false, &effects)
        guard self.hasRoom(in: pool, with: worker) else { return }
        let uuid = UUIDv7(
            millisecondsSince1970: self.wallClock, random: (self.random.next(), self.random.next()))
        let deadline = self.now.advanced(by: self.methods.timeout(of: method))
        let name = incoming.slice(incoming.envelope.method)
        let call = self.beginFlight(
            method, name, pool, incoming.params, .made(uuid), turn: nil, traceparent: nil
        ) {
            $0.priority = .low
            $0.deadline = deadline
        }
        self.start(call, on: worker, &effects)
    }

    /// - Parameter turn: the connection whose turn the call takes in the queue; nil: it is a refresh, for which
    ///   nobody waits.
    private mutating func beginFlight(
        _ method: MethodTable.Index, _ name: UnsafeRawBufferPointer, _ pool: Int,
        _ params: UnsafeRawBufferPointer?, _ requestID: Request.RequestID, turn: ConnectionToken?,
        traceparent: UnsafeRawBufferPointer?, _ fill: (inout Request) -> Void
    ) -> RequestToken {
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let now = self.now
        return self.requests.beginFlight(
            self.flightKey.bytes, pool: pool, generation: self.pools[pool].generation, turn: turn,
            isRefresh: turn == nil
        ) { request in
            request.method = method
            request.arrivedAt = now
            fill(&request)
            request.setBytes(
                id: empty, method: name, params: params ?? empty, requestID: requestID,
                traceparent: traceparent ?? empty)
        }
    }

    /// Those who wait for a call: its own caller, or all who wait for its flight. O(waiters)
    func callers(of call: RequestToken) -> [RequestToken] {
        guard let flight = self.requests[call].flight else { return [call] }
        return self.requests.waiters(for: flight)
    }

    /// A call is about to be sent. What a worker answers that has another epoch than the pool, or is being
    /// exchanged for a new one, is passed on to those who wait already, but neither stored nor joined.
    mutating func noteSending(_ call: RequestToken, to worker: WorkerToken) {
        guard let flight = self.requests[call].flight else { return }
        self.requests.settleDeadline(of: flight)
        if !self.isCurrent(worker), self.holds(.workerEpoch) { self.requests.closeFlight(flight) }
    }
}

// MARK: - The end of a flight

extension SupervisorCore {
    /// A call has its outcome: those who wait for it are told. The call itself goes on to exist: the caller of this
    /// removes it.
    mutating func conclude(
        _ call: RequestToken, _ outcome: Outcome, by worker: WorkerToken?,
        _ effects: inout some SupervisorEffects
    ) {
        guard let flight = self.requests[call].flight else {
            return self.answer(call, outcome, by: worker, &effects)
        }
        if case .result(let bytes) = outcome {
            if self.requests[call].embedding != nil {
                return self.concludeEmbeddings(call, flight, by: worker, &effects)
            }
            self.store(bytes, of: flight)
        }
        while let waiter = self.requests.firstWaiter(for: flight) {
            self.finish(waiter, outcome, by: worker, &effects)
        }
        self.requests.endFlight(flight)
    }

    /// Whether a worker answered with an error because the deadline it was told had passed, while somebody who
    /// joined later has more time: then it is asked once more.
    func gaveUpEarly(_ call: RequestToken, _ outcome: Outcome) -> Bool {
        guard case .workerError = outcome, !self.requests[call].stream.hasBegun,
            let flight = self.requests[call].flight,
            self.requests.flights[flight].toldDeadline <= self.now, self.phase == .running
        else { return false }
        return self.requests[call].deadline > self.now && !self.requests.flights[flight].waiters.isEmpty
    }

    /// One of those who waited for a flight is gone; without any the call is not needed.
    mutating func waiterLeft(_ flight: FlightToken, _ effects: inout some SupervisorEffects) {
        guard self.requests.flights[flight].waiters.isEmpty, !self.requests.flights[flight].isRefresh else {
            return
        }
        let call = self.requests.flights[flight].call
        switch self.requests[call].state {
        case .queued, .none:
            self.requests.endFlight(flight)
            self.requests.remove(call)
        case .inFlight:
            guard self.holds(.flightBound) else { return }
            self.requests.endFlight(flight)
            self.abandon(call, answering: nil, &effects)
        case .abandoned, .waiting:
            preconditionFailure("a flight's call while \(self.requests[call].state)")
        }
    }

    /// The time of one who waits for a flight is over; the others wait on.
    mutating func waiterIsDue(
        _ request: RequestToken, _ flight: FlightToken, _ effects: inout some SupervisorEffects
    ) {
        let call = self.requests.flights[flight].call
        guard case .inFlight(let worker) = self.requests[call].state else {
            let isLate = self.requests[request].deadline <= self.now
            let error = isLate ? self.timedOut(request) : self.queueTimeout(request)
            return self.end(request, .failure(error), &effects)
        }
        if self.requests.flights[flight].waiters.count == 1 {
            self.noteTimeout(of: call, on: worker, &effects)
        }
        self.end(request, .failure(self.timedOut(request)), by: worker, &effects)
    }

    mutating func refreshIsDue(_ flight: FlightToken, _ effects: inout some SupervisorEffects) {
        let call = self.requests.flights[flight].call
        if self.requests.flights[flight].waiters.isEmpty,
            case .inFlight(let worker) = self.requests[call].state
        {
            self.noteTimeout(of: call, on: worker, &effects)
        }
        self.dropRefresh(flight, &effects)
    }

    /// A flight need not go on when nobody waits for it.
    mutating func dropRefresh(_ flight: FlightToken, _ effects: inout some SupervisorEffects) {
        self.requests.endRefresh(flight)
        self.waiterLeft(flight, &effects)
    }

    /// All who waited for a queued call are answered; if it was that of a refresh, it is still there.
    mutating func dropRefresh(_ call: RequestToken, _ effects: inout some SupervisorEffects) {
        guard self.requests.contains(call), let flight = self.requests[call].flight else { return }
        self.dropRefresh(flight, &effects)
    }

    /// The deadline of a queued call has passed.
    mutating func expire(_ call: RequestToken, _ effects: inout some SupervisorEffects) {
        for caller in self.callers(of: call) {
            self.end(caller, .failure(self.timedOut(caller)), &effects)
        }
        self.dropRefresh(call, &effects)
    }
}
