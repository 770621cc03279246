import Protocol

/// Calls that are answered from the cache of responses, and what fills it.
extension SupervisorCore {
    /// What a call may have to do with the cache.
    enum CachePlan {
        /// Nothing: it is not cacheable, or its caller does not want it.
        case bypass
        /// It is answered by what is there, or shares the call of another; else what it gets is stored.
        case use
        /// It goes to a worker whatever is there, and what it gets is stored.
        case refresh
    }

    /// Decides whether a call takes part, and makes its key.
    mutating func planCaching(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ method: MethodTable.Index, _ pool: Int
    ) -> CachePlan {
        guard incoming.id != nil, metadata.cache != .bypass, self.methods.isCacheable(method, in: pool),
            self.responses.isOn
        else { return .bypass }
        let uid =
            metadata.cacheScope == .private
            ? self.connections[incoming.caller.connection].peer.uid : nil
        let generation = self.holds(.generation) ? self.pools[pool].generation : UInt64(pool)
        let hasKey = incoming.withMethod {
            self.responses.makeKey(
                generation: generation, method: $0, params: incoming.params, uid: uid, &self.flightKey)
        }
        guard hasKey else { return .bypass }
        return metadata.cache == .refresh ? .refresh : .use
    }

    /// Answers a call by what is stored, or has it wait for an equal one.
    ///
    /// - Returns: false when it must go to a worker.
    mutating func answerFromCache(
        _ plan: CachePlan, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ method: MethodTable.Index, _ pool: Int, _ effects: inout some SupervisorEffects
    ) -> Bool {
        guard plan == .use else { return false }
        let window = self.responses.staleWhileRevalidate
        guard let found = self.responses.lookUp(self.flightKey, at: self.now, staleFor: window) else {
            return self.join(incoming, metadata, method, pool)
        }
        self.answer(incoming, stored: found.value, CacheUse(found), &effects)
        if found.isStale { self.refresh(incoming, method, pool, &effects) }
        return true
    }

    /// Refuses a call; where an old response may stand for an error, that is its answer.
    mutating func refuse(
        _ incoming: IncomingRequest, _ error: RPCError, _ plan: CachePlan,
        _ effects: inout some SupervisorEffects
    ) {
        let window = self.responses.staleIfError
        if plan == .use, window > 0,
            let found = self.responses.lookUp(self.flightKey, at: self.now, staleFor: window)
        {
            return self.answer(incoming, stored: found.value, CacheUse(found), &effects)
        }
        self.refuse(incoming, error, &effects)
    }

    /// The old response that one who waits for a flight gets in place of an error of ours or a worker's fault.
    mutating func oldResponse(
        for request: RequestToken, insteadOf outcome: Outcome
    ) -> ResponseCache.Store.Found? {
        let window = self.responses.staleIfError
        guard window > 0, self.requests[request].acceptsStale,
            case .waiting(let flight) = self.requests[request].state, self.counts(flight)
        else { return nil }
        switch outcome {
        case .result: return nil
        case .workerError: guard Self.verdict(outcome) == .fault else { return nil }
        case .failure(let error):
            // A client that does not read has no room for an old response either.
            guard error.code != .requestCancelled, error.code != .resourceExhausted else { return nil }
        }
        let key = self.requests.flights[flight].key
        guard let found = self.responses.lookUp(key, at: self.now, staleFor: window) else { return nil }
        self.requests.noteStale(request, CacheUse(found))
        return found
    }

    /// Whether nothing has been forgotten since a flight began.
    func counts(_ flight: FlightToken) -> Bool {
        let pool = self.requests.flights[flight].pool
        return self.requests.flights[flight].generation == self.pools[pool].generation
            || !self.holds(.generation)
    }

    /// Stores a result of a flight, if it is one that may be given to others.
    mutating func store(_ result: UnsafeRawBufferPointer, of flight: FlightToken) {
        let fill = self.requests.flights[flight]
        guard fill.isOpen, self.counts(flight) else { return }
        self.responses.put(fill.key, result, generation: fill.generation, at: self.now)
    }
}

extension CacheUse {
    init(_ found: ResponseCache.Store.Found) {
        self = found.isStale ? .stale(age: found.age) : .hit
    }
}

// MARK: - Forgetting

extension SupervisorCore {
    /// Between two slices of a sweep.
    private static let sweepInterval = Nanoseconds.milliseconds(1)

    /// What a pool has answered so far does not count any more, nor what it is about to answer.
    mutating func forgetResponses(of pool: Int) {
        self.pools[pool].generation = self.responses.makeGeneration()
        self.responses.beginSweep()
        self.continueSweep()
    }

    private mutating func continueSweep() {
        for (index, isSweeping) in [self.responses.isSweeping, self.embeddings.isSweeping].enumerated() {
            guard isSweeping, !self.timers.isSet(self.key(.sweep, index)) else { continue }
            self.setTimer(.sweep, index, after: Self.sweepInterval)
        }
    }

    mutating func sweepTimerFired(_ index: Int) {
        if index == 0 { self.responses.sweep(self.pools.map(\.generation)) } else { self.embeddings.sweep() }
        self.continueSweep()
    }

    /// What `cache.clear` can be told to clear; the pipelines are the workers'.
    enum CacheType: String, CaseIterable { case embedding, response, pipeline }

    /// - Returns: how many entries of ours there were.
    mutating func clear(_ type: CacheType) -> Int {
        switch type {
        case .response:
            let count = self.responses.count(of: self.pools.map(\.generation))
            for pool in self.pools.indices { self.forgetResponses(of: pool) }
            return count
        case .embedding:
            let count = self.embeddings.clear()
            for pool in self.pools.indices { self.pools[pool].embeddingModel = nil }
            self.continueSweep()
            self.saveEmbeddingsNow()
            return count
        case .pipeline:
            return 0
        }
    }
}
