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
        guard !self.pools[pool].isHopeless else {
            return self.refuse(incoming, self.noHealthyWorker(pool, incoming.caller.connection), &effects)
        }
        guard self.hasRoom(in: pool, effects) else {
            return self.refuse(incoming, self.overloaded(pool), &effects)
        }
        let request = self.register(incoming, metadata, method, pool: pool)
        self.requests.enqueue(request)
        self.requests.setDeadline(request, to: self.queueDeadline(of: request))
        self.dispatch(pool, &effects)
    }

    /// In the queue, or with a worker at once.
    private mutating func hasRoom(in pool: Int, _ effects: some SupervisorEffects) -> Bool {
        let queued = self.requests.queued(in: pool)
        if queued < self.configuration.loadBalancer.queueSize {
            return self.requests.count < RequestTable.maximumCount
        }
        return queued == 0 && self.chooseWorker(in: pool, avoiding: nil, turning: false, effects) != nil
    }

    private func reasonNotToAccept(_ incoming: IncomingRequest) -> RPCError? {
        guard self.phase == .running else { return self.shuttingDown }
        let limit = self.limits.inFlightPerConnection
        guard self.requests.open(of: incoming.caller.connection) < limit else {
            return RPCError(
                .resourceExhausted, reason: "too_many_in_flight",
                "Too many calls in flight: at most \(limit) on one connection", retryable: true)
        }
        return nil
    }

    private mutating func register(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ method: MethodTable.Index, pool: Int
    ) -> RequestToken {
        let timeouts = self.configuration.timeouts
        var timeout = self.methods.timeout(of: method)
        if let asked = metadata.timeoutMilliseconds {
            timeout = min(asked, timeouts.max / .milliseconds(1)) * .milliseconds(1)
            timeout = min(timeout, timeouts.max)
        }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let now = self.now
        // Drawn also when the caller brought an id, so that what is drawn later does not depend on it.
        let uuid = UUIDv7(
            millisecondsSince1970: self.wallClock, random: (self.random.next(), self.random.next()))
        return self.requests.insert { request in
            request.pool = pool
            request.method = method
            request.arrivedAt = now
            request.deadline = now.advanced(by: timeout)
            request.wantsMetadata = incoming.wantsMetadata
            request.origin =
                incoming.id == nil
                ? .notification(incoming.caller.connection)
                : .client(incoming.caller.connection, batch: incoming.caller.batch)
            request.setBytes(
                id: incoming.id ?? empty, method: incoming.slice(incoming.envelope.method),
                params: incoming.params ?? empty,
                requestID: { output in
                    if let range = metadata.requestID {
                        output.append(contentsOf: incoming.slice(range))
                    } else {
                        uuid.append(to: &output)
                    }
                }, traceparent: metadata.traceparent.map(incoming.slice) ?? empty)
        }
    }

    /// A call waits no longer than `queue_timeout` (0: than its own deadline).
    func queueDeadline(of request: RequestToken) -> Instant {
        let patience = self.configuration.loadBalancer.queueTimeout
        let deadline = self.requests[request].deadline
        return patience == 0 ? deadline : min(deadline, self.now.advanced(by: patience))
    }

    /// Bytes that may wait for a worker before it gets more: one that stopped reading is not buffered for, nor
    /// are notifications, which take no slot.
    private static let inputHighWatermark = 1 << 20

    /// Sends queued calls to workers while there are both.
    mutating func dispatch(_ pool: Int, _ effects: inout some SupervisorEffects) {
        var next = self.requests.firstQueued(in: pool)
        while let request = next {
            next = self.requests.queued(after: request)
            // What happens late in a tick may come here before the deadlines that have passed meanwhile.
            guard self.requests[request].deadline > self.now else {
                self.end(request, .failure(self.timedOut(request)), &effects)
                continue
            }
            let avoided = self.requests[request].avoided
            if let worker = self.chooseWorker(in: pool, avoiding: avoided, turning: true, effects) {
                self.send(request, to: worker, &effects)
            } else if avoided == nil {
                return
            }
            // A call that waits for another worker than the one that failed it does not hold up the rest.
        }
    }

    /// All output of the tick is written as far as it can be: what waited for that goes on.
    mutating func outputWasFlushed(_ effects: inout some SupervisorEffects) {
        if !self.pausedConnections.isEmpty { self.resumeConnections(&effects) }
        guard self.isHeldBack else { return }
        self.isHeldBack = false
        for pool in self.pools.indices { self.dispatch(pool, &effects) }
    }

    private mutating func send(
        _ request: RequestToken, to worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let isNotification = self.requests[request].isNotification
        let left = self.requests[request].deadline.duration(since: self.now)
        let number = isNotification ? nil : RequestTable.number(of: request)
        effects.send(to: worker) { output in
            let call = self.requests[request]
            call.bytes.withUnsafeBytes { bytes in
                func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
                    UnsafeRawBufferPointer(rebasing: bytes[range])
                }
                MessageWriter.appendCall(
                    number, method: slice(call.methodName), params: slice(call.params),
                    requestID: slice(call.requestID), traceparent: slice(call.traceparent),
                    deadlineMilliseconds: max(1, left.millisecondsRoundedUp), to: &output)
            }
        }
        guard !isNotification else {
            let connection = self.requests[request].connection
            self.requests.remove(request)
            if let connection { self.closeIfDone(connection, &effects) }
            return
        }
        self.requests.assign(request, to: worker, now: self.now)
        self.requests.setDeadline(request, to: self.requests[request].deadline)
    }
}

// MARK: - Routing

extension SupervisorCore {
    private enum Destination {
        case pool(Int)
        case refused(RPCError)
    }

    /// The first pool whose methods match and that offers the technique, where one is named.
    private func route(_ incoming: IncomingRequest) -> Destination {
        // No array of pools is made on the way of a call whose technique does not matter.
        let first = incoming.withMethod { method in
            self.pools.indices.first { self.pools[$0].serves(method) }
        }
        guard let first else {
            if incoming.withMethod(Self.isForEveryWorker) { return .pool(0) }
            return .refused(.methodNotFound(incoming.methodText, nearest: self.nearestMethod(incoming)))
        }
        guard self.techniquesMatter, let technique = self.technique(of: incoming) else {
            return .pool(first)
        }
        let matching = incoming.withMethod { method in
            self.pools.indices.filter { self.pools[$0].serves(method) }
        }
        if let name = self.configuration.loadBalancer.techniqueRouting[technique],
            let pool = matching.first(where: { self.pools[$0].configuration.name == name })
        {
            return .pool(pool)
        }
        // A pool that has declared none takes any.
        let offering = matching.first { self.pools[$0].techniques?.contains(technique) ?? true }
        if let offering { return .pool(offering) }
        let known = matching.flatMap { self.pools[$0].techniques ?? [] }
        return .refused(Self.noWorker(forTechnique: technique, known: known))
    }

    /// What every worker answers, whatever methods its pool is for.
    private static func isForEveryWorker(_ method: UnsafeRawBufferPointer) -> Bool {
        method.elementsEqual("health.check".utf8) || method.elementsEqual("metrics.get".utf8)
    }

    private func nearestMethod(_ incoming: IncomingRequest) -> String? {
        NearestName.find(incoming.methodText, in: self.methods.knownNames)
    }

    /// `params.technique` of the methods that have one; nil when it is absent or no string.
    private func technique(of incoming: IncomingRequest) -> String? {
        let hasTechnique = incoming.withMethod {
            $0.elementsEqual("rag.execute".utf8) || $0.elementsEqual("rag.stream".utf8)
        }
        guard hasTechnique, let params = incoming.params else { return nil }
        return ParamsReader.string("technique", in: params)
    }

    private static func noWorker(forTechnique technique: String, known: [String]) -> RPCError {
        let nearest = NearestName.find(technique, in: known)
        let hint = nearest.map { "; did you mean \($0)?" } ?? ""
        return RPCError(
            .workerUnavailable, reason: "no_worker_for_technique",
            "Pipeline not found: \(Excerpt.escaped(technique))\(hint)",
            details: nearest.map { [.init("nearest", .string($0))] } ?? [])
    }

    /// - Parameter connection: whose call it is; what it may see depends on that.
    func noHealthyWorker(_ pool: Int, _ connection: ConnectionToken?) -> RPCError {
        let isOperator = connection.map { self.connections[$0].isOperator } ?? false
        let cause = self.pools[pool].hopelessReason(forOperator: isOperator)
        return RPCError(
            .workerUnavailable, reason: "no_healthy_worker", "No available workers and max limit reached",
            retryable: true, retryAfterMilliseconds: RestartPolicy.quarantineRetryAlone / .milliseconds(1),
            recovery: .restartWorker,
            details: [
                .init("pool", .string(self.pools[pool].configuration.name)),
                .init("cause", .string(cause)),
            ])
    }

    private func overloaded(_ pool: Int) -> RPCError {
        let depth = self.requests.queued(in: pool)
        return RPCError(
            .workerOverloaded, reason: "queue_full", "The queue is full: \(depth) calls wait",
            retryable: true,
            retryAfterMilliseconds: self.retryAfter(pool),
            details: [
                .init("pool", .string(self.pools[pool].configuration.name)),
                .init("queue_depth", .integer(depth)),
            ])
    }

    /// How long the queue probably takes to get shorter: its length by the rate at which slots come free.
    private func retryAfter(_ pool: Int) -> Int64 {
        let tokens = self.pools[pool].slots.compactMap(\.process)
        let slots = tokens.reduce(0) { $0 + self.workers[$1].maxConcurrency }
        let measured = tokens.compactMap { self.workers[$0].latency.expected(at: self.now) }
        guard slots > 0, !measured.isEmpty else { return 1000 }
        let mean = measured.reduce(0, +) / Double(measured.count)
        let wait = mean * Double(self.requests.queued(in: pool)) / Double(slots) / 1e6
        return Int64(min(max(wait, 10), 60_000))
    }

    var shuttingDown: RPCError {
        RPCError(
            .workerUnavailable, reason: "shutting_down", "The supervisor is shutting down", retryable: true)
    }
}

// MARK: - Balancing

extension SupervisorCore {
    /// A ready worker of the pool with a free slot, by the strategy; nil when there is none.
    ///
    /// - Parameters:
    ///   - avoided: a worker that failed the call before; taken only when the pool has no other.
    ///   - turning: false only asks, and leaves the turn where it is.
    private mutating func chooseWorker(
        in pool: Int, avoiding avoided: WorkerToken?, turning: Bool, _ effects: some SupervisorEffects
    ) -> WorkerToken? {
        self.collectCandidates(pool, effects)
        if let avoided, self.hasWorker(otherThan: avoided, in: pool) {
            self.candidates.removeAll { $0.token == avoided }
        }
        guard turning else { return self.candidates.first?.token }
        let chosen =
            switch self.configuration.loadBalancer.strategy {
            case .roundRobin: Balancer.roundRobin(self.candidates, turn: &self.pools[pool].turn)
            case .leastLoad: Balancer.leastLoad(self.candidates, turn: &self.pools[pool].turn)
            case .performanceBased: Balancer.performanceBased(self.candidates, random: &self.random)
            }
        return chosen?.token
    }

    /// Whether the pool has another worker that takes calls, be it busy.
    func hasWorker(otherThan worker: WorkerToken, in pool: Int) -> Bool {
        self.pools[pool].slots.contains { slot in
            guard let process = slot.process else { return false }
            return process != worker && self.workers[process].takesCalls
        }
    }

    private mutating func collectCandidates(_ pool: Int, _ effects: some SupervisorEffects) {
        self.candidates.removeAll(keepingCapacity: true)
        let needsLatency = self.configuration.loadBalancer.strategy == .performanceBased
        for slot in self.pools[pool].slots.indices {
            guard let token = self.pools[pool].slots[slot].process, self.workers[token].takesCalls else {
                continue
            }
            let inFlight = self.requests.inFlight(on: token)
            let maxConcurrency = self.workers[token].maxConcurrency
            guard inFlight < maxConcurrency else { continue }
            guard effects.inputBacklog(of: token) <= Self.inputHighWatermark else {
                self.isHeldBack = true
                continue
            }
            self.candidates.append(
                Balancer.Candidate(
                    token: token, slot: slot, inFlight: inFlight, maxConcurrency: maxConcurrency,
                    latency: needsLatency ? self.expectedLatency(of: token) : nil))
        }
    }

    /// The worker's measured latency, or the age of its oldest open call when that is more already.
    private func expectedLatency(of worker: WorkerToken) -> Double? {
        let measured = self.workers[worker].latency.expected(at: self.now)
        guard let oldest = self.requests.oldestDispatch(on: worker) else { return measured }
        return max(measured ?? 0, Double(self.now.duration(since: oldest)))
    }
}
