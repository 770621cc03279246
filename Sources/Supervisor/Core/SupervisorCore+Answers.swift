import Protocol

/// Answers to clients: each call gets exactly one, whatever happens to it.
extension SupervisorCore {
    /// Answers a call that never got a place in the table, or lost it.
    ///
    /// - Parameters:
    ///   - requestID: the caller's own; what has none gets one, so that it can be found in the logs of both sides.
    ///   - wantsMetadata: whether the caller sent `metadata`.
    mutating func answer(
        _ caller: Caller, id: UnsafeRawBufferPointer?, _ error: RPCError, requestID: String? = nil,
        wantsMetadata: Bool = false, _ effects: inout some SupervisorEffects
    ) {
        let requestID = requestID ?? self.makeRequestID()
        self.noteBadMessage(from: caller.connection, error, requestID: requestID, &effects)
        let metadata = wantsMetadata ? Self.metadata(ofUnsent: requestID, .bypass) : []
        error.value(requestID: requestID).bytes.withUnsafeBytes { payload in
            metadata.withUnsafeBytes { metadata in
                let id = id ?? UnsafeRawBufferPointer(start: nil, count: 0)
                self.write(
                    AnswerMessage(id: id, isError: true, payload: payload, metadata: metadata), to: caller,
                    &effects)
            }
        }
    }

    /// Answers a call by the supervisor itself; a notification is not answered.
    mutating func answer(
        _ incoming: IncomingRequest, result: JSONValue, _ effects: inout some SupervisorEffects
    ) {
        guard let id = incoming.id else { return }
        result.bytes.withUnsafeBytes { self.write($0, .bypass, to: incoming, id: id, &effects) }
    }

    /// Answers a call by what a cache has.
    mutating func answer(
        _ incoming: IncomingRequest, stored result: UnsafeRawBufferPointer, _ use: CacheUse,
        _ effects: inout some SupervisorEffects
    ) {
        guard let id = incoming.id else { return }
        if self.hasNoRoom(for: result.count, incoming.caller, effects) {
            return self.refuse(incoming, self.slowConsumer(result.count), &effects)
        }
        self.write(result, use, to: incoming, id: id, &effects)
    }

    /// Answers a call that went to no worker by a result.
    private mutating func write(
        _ result: UnsafeRawBufferPointer, _ use: CacheUse, to incoming: IncomingRequest,
        id: UnsafeRawBufferPointer, _ effects: inout some SupervisorEffects
    ) {
        self.count(incoming, isError: false)
        var metadata: [UInt8] = []
        if incoming.wantsMetadata {
            let requestID = self.requestID(of: incoming) ?? self.makeRequestID()
            metadata = Self.metadata(ofUnsent: requestID, use)
        }
        metadata.withUnsafeBytes {
            self.write(
                AnswerMessage(id: id, isError: false, payload: result, metadata: $0), to: incoming.caller,
                &effects)
        }
    }

    mutating func makeRequestID() -> String {
        UUIDv7(millisecondsSince1970: self.wallClock, random: (self.random.next(), self.random.next())).text
    }

    func requestID(of incoming: IncomingRequest) -> String? {
        incoming.requestIDText(limit: self.limits.messages.metadataTextCharacters)
    }

    /// What the caller of a call learns that went to no worker, as JSON text.
    private static func metadata(ofUnsent requestID: String, _ use: CacheUse) -> [UInt8] {
        let metadata = JSONValue.object(
            [.init("request_id", .string(requestID)), .init("worker_id", .null)] + use.members
                + [.init("attempts", 0), .init("queue_time_ms", 0), .init("processing_time_ms", 0)])
        return metadata.bytes
    }

    /// How a call ended.
    enum Outcome {
        /// The worker's result, or its error object, as bytes.
        case result(UnsafeRawBufferPointer)
        case workerError(UnsafeRawBufferPointer)
        case failure(RPCError)
    }

    /// Answers the caller of a request in the table, which goes on to exist: the caller of this removes or
    /// abandons it.
    mutating func answer(
        _ request: RequestToken, _ outcome: Outcome, by worker: WorkerToken?,
        _ effects: inout some SupervisorEffects
    ) {
        guard case .client(let connection, let batch) = self.requests[request].origin else { return }
        if let found = self.oldResponse(for: request, insteadOf: outcome) {
            return self.answer(request, .result(found.value), by: nil, &effects)
        }
        let caller = Caller(connection: connection, batch: batch)
        switch outcome {
        case .result(let bytes), .workerError(let bytes):
            if self.hasNoRoom(for: bytes.count, caller, effects) {
                return self.answer(
                    request, .failure(self.slowConsumer(bytes.count)), by: worker, &effects)
            }
            if self.requests[request].stream.state == .open { self.endStream(of: request, outcome, &effects) }
            let isError = if case .result = outcome { false } else { true }
            self.count(request, isError: isError)
            self.write(bytes, isError: isError, by: worker, answering: request, to: caller, &effects)
        case .failure(var error):
            if self.requests[request].stream.state == .open { self.endStream(of: request, outcome, &effects) }
            if error.workerID == nil, let worker { error.workerID = self.workers[worker].id }
            self.count(request, isError: true)
            let payload = error.value(requestID: self.requests[request].requestIDText).bytes
            payload.withUnsafeBytes {
                self.write($0, isError: true, by: worker, answering: request, to: caller, &effects)
            }
        }
        self.noteDuration(of: request, outcome, by: worker, &effects)
        self.pauseIfNeeded(connection, &effects)
    }

    /// Writes what a call in the table is answered with, and what its caller learns of it.
    private mutating func write(
        _ payload: UnsafeRawBufferPointer, isError: Bool, by worker: WorkerToken?,
        answering request: RequestToken, to caller: Caller, _ effects: inout some SupervisorEffects
    ) {
        let metadata = self.requests[request].wantsMetadata ? self.metadata(of: request, by: worker) : []
        metadata.withUnsafeBytes { metadata in
            let id = self.requests[request].bytes[self.requests[request].id]
            let answer = AnswerMessage(id: id, isError: isError, payload: payload, metadata: metadata)
            if let batch = caller.batch {
                self.connections[caller.connection].batchBytes += self.batches[batch].append(answer)
            } else {
                effects.send(to: caller.connection, answer)
            }
        }
        if let batch = caller.batch { self.closeShare(of: batch, &effects) }
    }

    /// What the caller learns of its call, when it sent metadata of its own, as JSON text.
    private func metadata(of request: RequestToken, by worker: WorkerToken?) -> [UInt8] {
        let phases = self.phases(of: request)
        let metadata = JSONValue.object(
            [
                .init("request_id", .string(self.requests[request].requestIDText)),
                .init("worker_id", worker.map { .string(self.workers[$0].id) } ?? .null),
            ] + self.requests[request].cacheUse.members + [
                .init("attempts", .integer(phases.attempts)),
                .init("queue_time_ms", .double(phases.queue.inMilliseconds)),
                .init("processing_time_ms", .double(phases.worker.inMilliseconds)),
            ])
        return metadata.bytes
    }

    /// Where a call has spent its time so far: until it was sent to the last of its workers, and since.
    func phases(of request: RequestToken) -> (attempts: Int, queue: Nanoseconds, worker: Nanoseconds) {
        let arrivedAt = self.requests[request].arrivedAt
        var call = request
        if case .waiting(let flight) = self.requests[request].state {
            call = self.requests.flights[flight].call
        }
        let attempts = self.requests[call].attempts
        // A call that was joined when it had been sent already was never queued.
        let sentAt = attempts > 0 ? max(self.requests[call].dispatchedAt, arrivedAt) : self.now
        return (attempts, sentAt.duration(since: arrivedAt), self.now.duration(since: sentAt))
    }

    private func hasNoRoom(for bytes: Int, _ caller: Caller, _ effects: some SupervisorEffects) -> Bool {
        let waiting =
            effects.outputBacklog(of: caller.connection) + self.connections[caller.connection].batchBytes
        // An answer larger than the limit is still sent when nothing else waits.
        return waiting > 0 && Int64(waiting + bytes) > self.limits.bytesPerConnection
    }

    private func slowConsumer(_ bytes: Int) -> RPCError {
        RPCError(
            .resourceExhausted, reason: "slow_consumer",
            "The answer of \(bytes) bytes was dropped: too much output waits for this connection to read it")
    }

    /// Writes an answer as a message, or as an element of the caller's batch.
    private mutating func write(
        _ answer: AnswerMessage, to caller: Caller, _ effects: inout some SupervisorEffects
    ) {
        guard let batch = caller.batch else { return effects.send(to: caller.connection, answer) }
        self.connections[caller.connection].batchBytes += self.batches[batch].append(answer)
        self.closeShare(of: batch, &effects)
    }

    /// One call fewer is open in a batch; after the last its array is sent.
    mutating func closeShare(of batch: BatchToken, _ effects: inout some SupervisorEffects) {
        self.batches[batch].open -= 1
        guard self.batches[batch].open == 0 else { return }
        let connection = self.batches[batch].connection
        if !self.batches[batch].answers.isEmpty {
            self.batches[batch].answers.withUnsafeBytes { effects.send(to: connection, BatchMessage($0)) }
        }
        self.connections[connection].batchBytes -= self.batches[batch].answers.count
        self.batches[batch].answers = []
        self.batches.remove(batch)
        self.connections[connection].openBatches -= 1
        self.closeIfDone(connection, &effects)
    }
}

// MARK: - Calls that end without the worker

extension SupervisorCore {
    /// A deadline in the request table has come.
    mutating func requestIsDue(_ request: RequestToken, _ effects: inout some SupervisorEffects) {
        if self.requests[request].stream.isTimed, self.goesOn(request) { return }
        switch (self.requests[request].state, self.requests[request].origin) {
        case (.waiting(let flight), _):
            self.waiterIsDue(request, flight, &effects)
        case (_, .flight(let flight, _)):
            self.refreshIsDue(flight, &effects)
        case (.queued, _):
            let isLate = self.requests[request].deadline <= self.now
            self.end(
                request, .failure(isLate ? self.timedOut(request) : self.queueTimeout(request)), &effects)
        case (.inFlight(let worker), _):
            guard self.holds(.answerAtDeadline) else { return }
            self.noteTimeout(of: request, on: worker, &effects)
            self.abandon(request, answering: self.timedOut(request), &effects)
        case (.abandoned(let worker), _):
            // It went on with the call beyond all grace.
            guard self.holds(.overrun) else { return }
            self.replace(worker, .overrun, &effects)
        case (.none, .healthCheck(let worker)):
            self.healthCheckFailed(worker, &effects)
        case (.none, .broadcast):
            self.broadcastAnswered(request, .none, &effects)
        case (.none, _):
            // An operator's call; what it asked for goes on.
            self.end(request, .failure(self.timedOut(request)), &effects)
        }
    }

    /// Answers a call that no worker has, or one that waits for a flight, and forgets it.
    mutating func end(
        _ request: RequestToken, _ outcome: Outcome, by worker: WorkerToken? = nil,
        _ effects: inout some SupervisorEffects
    ) {
        let state = self.requests[request].state
        self.finish(request, outcome, by: worker, &effects)
        if case .waiting(let flight) = state { self.waiterLeft(flight, &effects) }
    }

    /// Answers a call and forgets it; if it waits for a flight, the caller of this sees to that.
    mutating func finish(
        _ request: RequestToken, _ outcome: Outcome, by worker: WorkerToken?,
        _ effects: inout some SupervisorEffects
    ) {
        let connection = self.requests[request].connection
        self.answer(request, outcome, by: worker, &effects)
        self.requests.remove(request)
        if let connection { self.closeIfDone(connection, &effects) }
    }

    /// Answers a call that a worker has; the worker is told to stop and keeps the slot until it has, dies or
    /// overruns.
    ///
    /// - Parameter error: nil when nobody is left to be answered.
    mutating func abandon(
        _ request: RequestToken, answering error: RPCError?, _ effects: inout some SupervisorEffects
    ) {
        guard case .inFlight(let worker) = self.requests[request].state else {
            preconditionFailure("abandoned while \(self.requests[request].state)")
        }
        let connection = self.requests[request].connection
        if let error { self.answer(request, .failure(error), by: worker, &effects) }
        self.noteNoFaster(than: self.now.duration(since: self.requests[request].dispatchedAt), worker)
        self.count(request, on: worker, isError: true)
        self.workers[worker].ejection.gaveUp(request)
        if self.holds(.cancelSent) { self.sendCancel(of: request, to: worker, &effects) }
        self.requests.setDeadline(request, to: self.overrunTime(of: request, on: worker))
        if self.holds(.abandonedKeepsSlot) {
            self.requests.abandon(request)
        } else {
            self.requests.remove(request)
        }
        if let connection { self.closeIfDone(connection, &effects) }
        self.retireIfDrained(worker, &effects)
    }

    private mutating func sendCancel(
        of request: RequestToken, to worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let number = RequestTable.number(of: request)
        var cancel: [UInt8] = []
        MessageWriter.append(
            "{\"jsonrpc\":\"2.0\",\"method\":\"$/cancelRequest\",\"params\":{\"id\":", to: &cancel)
        JSONText.append(unsigned: number, to: &cancel)
        MessageWriter.append("}}", to: &cancel)
        effects.send(to: worker, cancel)
    }

    /// When a worker that goes on with an abandoned call is no longer waited for. What a client asked for in
    /// `timeout_ms` must not cost a worker its life: without a promise to honour cancels it has the method's
    /// own timeout.
    private func overrunTime(of request: RequestToken, on worker: WorkerToken) -> Instant {
        if self.workers[worker].capabilities.honoursCancel {
            return self.now.advanced(by: self.configuration.timeouts.cancelGrace)
        }
        let allowed = self.allowedTime(of: request)
        return max(self.now, self.requests[request].dispatchedAt.advanced(by: allowed))
    }

    /// The caller is gone: nobody is answered.
    mutating func withdraw(_ request: RequestToken, _ effects: inout some SupervisorEffects) {
        switch self.requests[request].state {
        case .queued, .none: self.requests.remove(request)
        case .waiting(let flight):
            self.requests.remove(request)
            self.waiterLeft(flight, &effects)
        case .inFlight: self.abandon(request, answering: nil, &effects)
        case .abandoned: preconditionFailure("withdrawn while \(self.requests[request].state)")
        }
    }

    /// `$/cancelRequest {"id"}` or `notifications/cancelled {"requestId"}`: ends the oldest such call of the
    /// same connection. A cancel that comes too late is normal.
    mutating func cancel(
        _ incoming: IncomingRequest, member: StaticString, _ effects: inout some SupervisorEffects
    ) {
        guard let params = incoming.params, let id = ParamsReader.value(member, in: params) else { return }
        let calls = self.requests.requests(of: incoming.caller.connection)
        let call = calls.first { request in
            guard case .client = self.requests[request].origin else { return false }
            return self.requests[request].bytes.withUnsafeBytes {
                RequestIdentifier.areEqual(
                    UnsafeRawBufferPointer(rebasing: $0[self.requests[request].id]), id)
            }
        }
        guard let call else { return }
        let error = RPCError(.requestCancelled, reason: "cancelled", "Request cancelled")
        switch self.requests[call].state {
        case .queued, .none, .waiting:
            guard self.holds(.cancelQueued) else { return }
            self.end(call, .failure(error), &effects)
        case .inFlight: self.abandon(call, answering: error, &effects)
        case .abandoned: preconditionFailure("an open call while \(self.requests[call].state)")
        }
    }

    /// - Returns: what a call is answered with whose deadline has passed, or whose stream has stood still for too long.
    func timedOut(_ request: RequestToken) -> RPCError {
        guard self.requests[request].deadline <= self.now else { return self.idled(request) }
        let waited = self.now.duration(since: self.requests[request].arrivedAt)
        return RPCError(
            .communicationTimeout, reason: "deadline_exceeded",
            "No answer within \(waited / .milliseconds(1)) ms",
            retryable: self.methods.isIdempotent(
                self.requests[request].method, in: self.requests[request].pool))
    }

    func queueTimeout(_ request: RequestToken) -> RPCError {
        let pool = self.requests[request].pool
        let waited = self.now.duration(since: self.requests[request].arrivedAt)
        return RPCError(
            .workerUnavailable, reason: "queue_timeout",
            "No worker was free within \(waited / .milliseconds(1)) ms", retryable: true,
            retryAfterMilliseconds: 1000,
            details: [
                .init("pool", .string(self.pools[pool].configuration.name)),
                .init("queue_depth", .integer(self.requests.queued(in: pool))),
            ])
    }
}
