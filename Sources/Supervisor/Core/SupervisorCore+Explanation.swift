import Protocol

/// `supervisor.explain {method, params?}`: what would become of a call that came now, and why. It is judged as the
/// call would be, step by step, and nothing is counted, stored or sent.
extension SupervisorCore {
    mutating func explain(
        _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        guard self.connections[incoming.caller.connection].isOperator || !self.holds(.operatorsOnly) else {
            return self.refuseStranger(incoming, &effects)
        }
        var params = try OperatorParams(incoming.params)
        guard let method = try params.string("method") else {
            throw .invalidParams("method", "expected the name of a method")
        }
        let structure = try params.structure("params")
        try params.finish()
        // The params as the caller wrote them: a tree would change numbers.
        let text = structure.flatMap { _ in incoming.params.flatMap { ParamsReader.value("params", in: $0) } }
        let message = Self.message(method, params: text)
        let explanation = message.withUnsafeBytes { bytes in
            self.explanation(of: bytes, by: incoming.caller, effects)
        }
        self.answer(incoming, result: explanation, &effects)
    }

    /// The call as a client would send it.
    private static func message(_ method: String, params: UnsafeRawBufferPointer?) -> [UInt8] {
        var message = Array("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":".utf8)
        JSONText.append(string: method, to: &message)
        if let params {
            message.append(contentsOf: ",\"params\":".utf8)
            message.append(contentsOf: params)
        }
        message.append(UInt8(ascii: "}"))
        return message
    }

    private mutating func explanation(
        of message: UnsafeRawBufferPointer, by caller: Caller, _ effects: some SupervisorEffects
    ) -> JSONValue {
        var explanation = CallExplanation()
        switch ClientMessage.scan(message, limits: self.limits.messages) {
        case .request(let envelope):
            let call = IncomingRequest(envelope, message, Caller(connection: caller.connection, batch: nil))
            self.explain(call, &explanation, effects)
        case .invalid(let reason, _):
            explanation.refuse(.invalidRequest(reason, limits: self.limits.messages))
        case .malformed(let error): explanation.refuse(.parseError(error))
        case .batch: preconditionFailure("one call is no batch")
        }
        return explanation.value
    }

    private mutating func explain(
        _ call: IncomingRequest, _ explanation: inout CallExplanation, _ effects: some SupervisorEffects
    ) {
        switch call.withMethod({ self.methods.route($0) }) {
        case .local(.metrics, let method):
            do throws(RPCError) {
                let isOfPool = try MetricsParameters(scanned: call.params).scope == .pool
                if !isOfPool { self.explain(call, method, &explanation, effects) }
            } catch {
                explanation.refuse(error)
            }
        case .local: explanation.outcome = .answeredHere
        case .reserved: explanation.refuse(.methodNotFound(call.methodText))
        case .worker(let method): self.explain(call, method, &explanation, effects)
        }
    }

    private mutating func explain(
        _ call: IncomingRequest, _ method: MethodTable.Index, _ explanation: inout CallExplanation,
        _ effects: some SupervisorEffects
    ) {
        if let error = self.reasonNotToAccept(call) { return explanation.refuse(error) }
        let pool: Int
        switch self.route(call) {
        case .pool(let index): pool = index
        case .refused(let error): return explanation.refuse(error)
        }
        let candidates = self.explainedCandidates(pool, effects)
        let choice = self.explainedChoice(pool, candidates)
        explanation.note("pool", .string(self.pools[pool].configuration.name))
        explanation.note("technique", .string(self.technique(of: call)))
        explanation.note("strategy", .string(self.configuration.loadBalancer.strategy.rawValue))
        explanation.note("idempotent", .bool(self.methods.isIdempotent(method, in: pool)))
        explanation.note("timeouts", self.explainedTimeouts(method))
        explanation.note("candidates", .array(candidates.map { self.value(of: $0, effects) }))
        let cache = self.explainedCache(call, method, pool)
        explanation.note("cache", cache.value)
        if let error = self.poisonRefusal(call, pool: pool) { return explanation.refuse(error) }
        if let outcome = cache.outcome {
            explanation.outcome = outcome
        } else if self.pools[pool].isHopeless {
            explanation.refuse(self.noHealthyWorker(pool, call.caller.connection))
        } else {
            self.explainQueue(pool, choice, &explanation)
        }
    }

    private func explainQueue(
        _ pool: Int, _ choice: CallExplanation.Choice, _ explanation: inout CallExplanation
    ) {
        let depth = self.requests.queued(in: pool)
        let isSent = depth == 0 && choice != .none
        let size = self.configuration.loadBalancer.queueSize
        explanation.note(
            "queue",
            [
                "depth": .integer(depth), "size": .integer(size),
                "position": isSent || depth >= size ? .null : .integer(depth + 1),
            ])
        guard !isSent else {
            explanation.outcome = .sent
            guard case .worker(let worker) = choice else { return }
            return explanation.note("worker_id", .string(self.workers[worker].id))
        }
        if depth < size { explanation.outcome = .queued } else { explanation.refuse(self.overloaded(pool)) }
    }

    private func explainedTimeouts(_ method: MethodTable.Index) -> JSONValue {
        let patience = self.configuration.loadBalancer.queueTimeout
        return [
            "call_ms": Self.milliseconds(self.methods.timeout(of: method)),
            "queue_ms": Self.milliseconds(patience == 0 ? nil : patience),
            "max_ms": Self.milliseconds(self.configuration.timeouts.max),
        ]
    }

    private static func milliseconds(_ duration: Nanoseconds?) -> JSONValue {
        guard let duration else { return .null }
        let milliseconds: Int64 = duration / Nanoseconds.milliseconds(1)
        return .integer(milliseconds)
    }
}

// MARK: - The cache

extension SupervisorCore {
    private mutating func explainedCache(
        _ call: IncomingRequest, _ method: MethodTable.Index, _ pool: Int
    ) -> (outcome: CallExplanation.Outcome?, value: JSONValue) {
        func entry(_ use: String, _ why: String, age: Nanoseconds? = nil) -> JSONValue {
            ["use": .string(use), "why": .string(why), "age_ms": Self.milliseconds(age)]
        }
        if method == .embeddingCreate {
            return (nil, entry("miss", "embeddings are looked up text by text: only what is missing is sent"))
        }
        guard self.methods.isCacheable(method, in: pool) else {
            return (nil, entry("bypass", "the method is not cacheable in this pool"))
        }
        guard self.responses.isOn else { return (nil, entry("bypass", "the cache is off")) }
        guard self.planCaching(call, RequestMetadata(), method, pool) == .use else {
            return (nil, entry("bypass", "the params are too large for a key, or have no canonical form"))
        }
        if let found = self.responses.peek(self.flightKey, at: self.now) {
            guard found.isStale else {
                return (.cached, entry("hit", "an equal call was answered", age: found.age))
            }
            if self.responses.staleWhileRevalidate > 0,
                found.age < self.configuration.cache.responseCacheTTL + self.responses.staleWhileRevalidate
            {
                return (.cached, entry("stale", "it is given while a new one is fetched", age: found.age))
            }
        }
        guard self.requests.flights.find(self.flightKey.bytes) == nil else {
            return (.shared, entry("coalesced", "an equal call is under way"))
        }
        return (nil, entry("miss", "no equal call was answered"))
    }
}

// MARK: - Candidates

extension SupervisorCore {
    private func explainedCandidates(
        _ pool: Int, _ effects: some SupervisorEffects
    ) -> [CallExplanation.Candidate] {
        let recalled = self.wouldBeRecalled(in: pool)
        return self.pools[pool].slots.indices.compactMap { slot in
            guard let worker = self.pools[pool].slots[slot].process else { return nil }
            let isRecalled = recalled.contains(worker)
            return CallExplanation.Candidate(
                worker: worker, slot: slot,
                obstacle: self.obstacle(for: worker, isTrusted: isRecalled, effects),
                isOnProbation: !isRecalled
                    && self.workers[worker].ejection.admission(at: self.now) == .one)
        }
    }

    /// The one that the strategy would choose, as far as it is not chance.
    private func explainedChoice(
        _ pool: Int, _ candidates: [CallExplanation.Candidate]
    ) -> CallExplanation.Choice {
        let eligible = candidates.filter { $0.obstacle == nil }
        if let onProbation = eligible.first(where: \.isOnProbation) { return .worker(onProbation.worker) }
        let balanced = eligible.map {
            Balancer.Candidate(
                token: $0.worker, slot: $0.slot, inFlight: self.requests.inFlight(on: $0.worker),
                maxConcurrency: self.workers[$0.worker].maxConcurrency)
        }
        var turn = self.pools[pool].turn
        let chosen: Balancer.Candidate?
        switch self.configuration.loadBalancer.strategy {
        case .roundRobin: chosen = Balancer.roundRobin(balanced, turn: &turn)
        case .leastLoad: chosen = Balancer.leastLoad(balanced, turn: &turn)
        case .performanceBased:
            guard balanced.count < 2 else { return .chance }
            chosen = balanced.first
        }
        return chosen.map { .worker($0.token) } ?? .none
    }

    private func value(
        of candidate: CallExplanation.Candidate, _ effects: some SupervisorEffects
    ) -> JSONValue {
        let worker = self.workers[candidate.worker]
        let latency = worker.latency.expected(at: self.now)
        return [
            "worker_id": .string(worker.id),
            "slot": .integer(candidate.slot),
            "state": .string(self.stateName(self.pools[worker.pool].slots[candidate.slot])),
            "in_flight": .integer(self.requests.inFlight(on: candidate.worker)),
            "max_concurrency": .integer(worker.maxConcurrency),
            "latency_ms": latency.map { .double(($0 / 1e3).rounded() / 1e3) } ?? .null,
            "unread_bytes": .integer(effects.inputBacklog(of: candidate.worker)),
            "ejected_for_ms": Self.milliseconds(
                worker.ejection.term.map { max(0, $0.until.duration(since: self.now)) }),
            "eligible": .bool(candidate.obstacle == nil),
            "why": .string(candidate.obstacle?.rawValue ?? (candidate.isOnProbation ? "on_probation" : nil)),
        ]
    }
}
