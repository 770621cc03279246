import Protocol

/// From an accepted call to the worker that gets it.
extension SupervisorCore {
    /// A call or a notification for a worker: routed, given a deadline, queued, and sent if a slot is free.
    mutating func accept(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ method: MethodTable.Index,
        _ effects: inout some SupervisorEffects
    ) {
        if let error = self.reasonNotToAccept(incoming) { return self.refuse(incoming, error, &effects) }
        let pool: Int
        switch self.route(incoming) {
        case .pool(let index): pool = index
        case .refused(let error): return self.refuse(incoming, error, &effects)
        }
        if let error = self.poisonRefusal(incoming, pool: pool) {
            return self.refuse(incoming, error, &effects)
        }
        if method == .embeddingCreate, incoming.id != nil {
            return self.acceptEmbedding(incoming, metadata, pool, &effects)
        }
        let plan = self.planCaching(incoming, metadata, method, pool)
        guard !self.answerFromCache(plan, incoming, metadata, method, pool, &effects) else { return }
        guard !self.pools[pool].isHopeless else {
            let error = self.noHealthyWorker(pool, incoming.caller.connection)
            return self.refuse(incoming, error, plan, &effects)
        }
        let worker = self.idleWorker(in: pool, isNotification: incoming.id == nil, &effects)
        guard self.hasRoom(in: pool, with: worker) else {
            return self.refuse(incoming, self.overloaded(pool), plan, &effects)
        }
        let call =
            plan == .bypass
            ? self.register(
                incoming, metadata, method, pool: pool, timeout: self.methods.timeout(of: method))
            : self.lead(plan, incoming, metadata, method, pool)
        self.start(call, on: worker, &effects)
    }

    /// Where nobody waits and a slot is free, a call need not queue.
    mutating func idleWorker(
        in pool: Int, isNotification: Bool, _ effects: inout some SupervisorEffects
    ) -> WorkerToken? {
        guard self.requests.queued(in: pool) == 0 else { return nil }
        return self.chooseWorker(in: pool, avoiding: nil, isNotification: isNotification, &effects)
    }

    /// Whether a call can be taken in. Calls of all priorities are counted together, and the newcomer is refused
    /// whatever its own.
    ///
    /// - Parameter worker: the one that it would go to at once.
    func hasRoom(in pool: Int, with worker: WorkerToken?) -> Bool {
        // A flight takes two places.
        guard self.requests.count + 1 < RequestTable.maximumCount else { return false }
        return worker != nil || self.requests.queued(in: pool) < self.configuration.loadBalancer.queueSize
            || !self.holds(.queueBound)
    }

    /// Sends a call that is in no list, or puts it into the queue.
    mutating func start(
        _ call: RequestToken, on worker: WorkerToken?, _ effects: inout some SupervisorEffects
    ) {
        if let worker { return self.send(call, to: worker, &effects) }
        let pool = self.requests[call].pool
        let othersWait = self.requests.queued(in: pool) > 0
        self.requests.enqueue(call)
        self.startClocks(of: call)
        if othersWait { self.dispatch(pool, &effects) }
    }

    func reasonNotToAccept(_ incoming: IncomingRequest) -> RPCError? {
        guard self.phase == .running || !self.holds(.refuseWhileStopping) else { return self.shuttingDown }
        let limit = self.limits.inFlightPerConnection
        guard self.requests.open(of: incoming.caller.connection) < limit || !self.holds(.inFlightLimit) else {
            return RPCError(
                .resourceExhausted, reason: "too_many_in_flight",
                "Too many calls in flight: at most \(limit) on one connection", retryable: true)
        }
        return nil
    }

    /// What a request in the table is.
    enum Part {
        /// It goes to a worker itself.
        case call
        /// It will wait for the call of a flight, which has the params. One that gets vectors keeps its own: it may
        /// have to ask anew.
        case waiter(EmbeddingPlan?)

        fileprivate var needsParams: Bool {
            switch self {
            case .call, .waiter(.some): true
            case .waiter(nil): false
            }
        }
    }

    /// Takes a request into the table.
    ///
    /// - Parameters:
    ///   - timeout: how long it may take unless its caller says otherwise; what the caller says is cut at
    ///     `timeouts.max`, or at this where it is more.
    ///   - part: what it has to do with the worker.
    mutating func register(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ method: MethodTable.Index, pool: Int,
        timeout standard: Nanoseconds, _ part: Part = .call
    ) -> RequestToken {
        let most = max(standard, self.configuration.timeouts.max)
        var timeout = standard
        if let asked = metadata.timeoutMilliseconds {
            timeout = min(min(asked, most / .milliseconds(1)) * .milliseconds(1), most)
        }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let now = self.now
        // Drawn also when the caller brought an id, so that what is drawn later does not depend on it.
        let uuid = UUIDv7(
            millisecondsSince1970: self.wallClock, random: (self.random.next(), self.random.next()))
        let priority = self.methods.isForEveryWorker(method) ? .high : metadata.priority
        return self.requests.insert { request in
            request.pool = pool
            request.priority = priority
            request.method = method
            request.arrivedAt = now
            request.deadline = now.advanced(by: timeout)
            request.wantsMetadata = incoming.wantsMetadata
            if case .waiter(let plan?) = part { request.embedding = .answer(plan) }
            request.stream.isNamedByCaller = metadata.requestID != nil
            request.stream.hasOwnTimeout = metadata.timeoutMilliseconds != nil
            if method == .ragStream, incoming.id != nil { request.stream.state = .open }
            request.origin =
                incoming.id == nil
                ? .notification(incoming.caller.connection)
                : .client(incoming.caller.connection, batch: incoming.caller.batch)
            request.setBytes(
                id: incoming.id ?? empty, method: incoming.slice(incoming.envelope.method),
                params: part.needsParams ? incoming.params ?? empty : empty,
                requestID: metadata.requestID.map { .text(incoming.slice($0)) } ?? .made(uuid),
                traceparent: metadata.traceparent.map(incoming.slice) ?? empty)
        }
    }

    /// When a call that begins to wait in a queue now has waited for `queue_timeout` (0: no limit).
    var queueLimit: Instant {
        let patience = self.configuration.loadBalancer.queueTimeout
        return patience == 0 ? .distantFuture : self.now.advanced(by: patience)
    }

    /// A call has been queued, or sent: from now on it may wait, or take, so long. Of a flight's call each of those
    /// who wait for it has a deadline of its own.
    mutating func startClocks(of call: RequestToken) {
        let limit = self.requests[call].state == .queued ? self.queueLimit : self.idleLimit(of: call)
        if let flight = self.requests[call].flight {
            self.requests.setWaiterDeadlines(flight, notAfter: limit)
            guard self.requests.flights[flight].isRefresh else { return }
        }
        self.requests.setDeadline(call, to: min(self.requests[call].deadline, limit))
    }

    /// Sends queued calls to workers while there are both, in the order of the queue.
    mutating func dispatch(_ pool: Int, _ effects: inout some SupervisorEffects) {
        // Set when a call waits for another worker than the one that lost it. That one may be free for the others,
        // and no slot comes free in here: it is the only one that may be.
        var unsuitable: WorkerToken?
        while let request = self.requests.next(in: pool, at: self.now, unsuitable: unsuitable) {
            // What happens late in a tick may come here before the deadlines that have passed meanwhile.
            guard self.requests[request].deadline > self.now else {
                self.expire(request, &effects)
                continue
            }
            let avoided = self.requests[request].avoided
            let isNotification = self.requests[request].isNotification
            if let worker = self.chooseWorker(
                in: pool, avoiding: avoided, isNotification: isNotification, &effects)
            {
                self.requests.takeFromQueue(request)
                self.send(request, to: worker, &effects)
            } else if avoided != nil, unsuitable == nil {
                unsuitable = avoided
            } else {
                return
            }
        }
    }

    /// All output of the tick is written as far as it can be: what waited for that goes on.
    mutating func outputWasFlushed(_ effects: inout some SupervisorEffects) {
        if !self.pausedConnections.isEmpty { self.resumeConnections(&effects) }
        defer { self.tellEvents(&effects) }
        guard self.isHeldBack else { return }
        self.isHeldBack = false
        for pool in self.pools.indices { self.dispatch(pool, &effects) }
    }

    private mutating func send(
        _ request: RequestToken, to worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let isNotification = self.requests[request].isNotification
        self.noteSending(request, to: worker)
        let left = self.requests[request].deadline.duration(since: self.now)
        let number = isNotification ? nil : RequestTable.number(of: request)
        self.requests.withParts(of: request) { parts in
            effects.send(
                to: worker,
                CallMessage(
                    number: number, method: parts.method, params: parts.params, owner: parts.owner,
                    requestID: parts.requestID, traceparent: parts.traceparent,
                    deadlineMilliseconds: max(1, left.millisecondsRoundedUp),
                    fallback: parts.fallback.map { ($0.from, $0.code) }))
        }
        guard !isNotification else {
            let connection = self.requests[request].connection
            self.requests.remove(request)
            if let connection { self.closeIfDone(connection, &effects) }
            return
        }
        self.requests.assign(request, to: worker, now: self.now)
        self.noteTraffic()
        self.workers[worker].ejection.sent(request)
        self.startClocks(of: request)
    }
}
