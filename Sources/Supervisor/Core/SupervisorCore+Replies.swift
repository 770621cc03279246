import Protocol

/// What workers say on stdout.
extension SupervisorCore {
    /// One line of a worker's stdout.
    mutating func workerWrote(
        _ line: UnsafeRawBufferPointer, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let message = WorkerMessage.scan(line, limits: self.limits.messages)
        self.take(message, line, bytes: line.count, worker, &effects)
    }

    /// A line over the size limit, of which only the beginning is there.
    mutating func workerWroteOversize(
        prefix: UnsafeRawBufferPointer, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let message = WorkerMessage.oversize(prefix: prefix, limits: self.limits.messages)
        self.take(message, prefix, bytes: self.limits.messages.messageBytes, worker, &effects)
    }

    private mutating func take(
        _ message: WorkerMessage, _ line: UnsafeRawBufferPointer, bytes: Int, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        // What `prepare` prints is for people: it speaks no protocol, but that it may use the cache of embeddings.
        guard self.workers[worker].role == .serving || self.isAboutEmbeddings(message, line) else {
            return self.log(
                .info, "prepare.stdout", of: worker,
                ["line": .escaped(Excerpt.escaped(line, limit: Excerpt.lineBytes))], &effects)
        }
        switch message {
        case .result(let number, let range):
            let result = UnsafeRawBufferPointer(rebasing: line[range])
            self.replied(number, .result(result), worker, &effects)
        case .error(let number, let range):
            let error = UnsafeRawBufferPointer(rebasing: line[range])
            self.replied(number, .workerError(error), worker, &effects)
        case .unreadable(let number, let reason):
            self.unreadableReply(
                number, reason, "The worker's reply is not a JSON-RPC response, or too large", worker,
                &effects)
        case .foreign:
            self.countLateReply(worker)
        case .request(let request):
            self.workerAsked(request, line, worker, &effects)
        case .notification(let notification):
            self.workerTold(notification, line, worker, &effects)
        case .noise:
            self.heardNoise(line, bytes: bytes, worker, &effects)
        }
    }

    /// The call of that number, if this very worker has it; a late, foreign or second reply finds none.
    func call(_ number: UInt64, on worker: WorkerToken) -> RequestToken? {
        let anyGeneration = !self.holds(.callGeneration)
        guard let request = self.requests.call(numbered: number, ofAnyGeneration: anyGeneration) else {
            return nil
        }
        switch (self.requests[request].state, self.requests[request].origin) {
        case (.inFlight(let assigned), _), (.abandoned(let assigned), _):
            return assigned == worker || !self.holds(.replyOfItsWorker) ? request : nil
        case (.none, .healthCheck(let asked)), (.none, .broadcast(_, let asked)):
            return asked == worker ? request : nil
        case (.queued, _), (.none, _), (.waiting, _):
            return nil
        }
    }

    private mutating func replied(
        _ number: UInt64, _ outcome: Outcome, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        guard let request = self.call(number, on: worker) else { return self.countLateReply(worker) }
        switch self.requests[request].state {
        case .none:
            if case .broadcast = self.requests[request].origin {
                self.broadcastAnswered(request, .answered(outcome), &effects)
            } else {
                self.healthAnswered(outcome, worker, &effects)
            }
        case .abandoned:
            self.noteLateReply(request, worker)
            self.requests.remove(request)
            self.slotCameFree(worker, &effects)
        case .inFlight:
            if let fault = self.faultOfEmbeddings(request, outcome) {
                return self.unreadableReply(number, .notEmbeddings, fault, worker, &effects)
            }
            self.noteAnswered(request, outcome, worker, &effects)
            if self.gaveUpEarly(request, outcome) {
                self.requests.enqueue(request)
                self.startClocks(of: request)
                self.slotCameFree(worker, &effects)
            } else if self.fallBack(request, outcome, &effects) {
                self.slotCameFree(worker, &effects)
            } else {
                self.conclude(request, outcome, by: worker, &effects)
                self.release(request, worker, &effects)
            }
        case .queued, .waiting:
            preconditionFailure("\(self.requests[request].state), and answered")
        }
    }

    /// Forgets a call that was answered; its slot is free again.
    private mutating func release(
        _ request: RequestToken, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let connection = self.requests[request].connection
        self.requests.remove(request)
        if let connection { self.closeIfDone(connection, &effects) }
        self.slotCameFree(worker, &effects)
    }

    private mutating func slotCameFree(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.retireIfDrained(worker, &effects)
        if self.holds(.dispatchWhenFree) { self.dispatch(self.workers[worker].pool, &effects) }
    }

    private mutating func noteAnswered(
        _ request: RequestToken, _ outcome: Outcome, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        let latency = self.now.duration(since: self.requests[request].dispatchedAt)
        switch Self.verdict(outcome) {
        case .success:
            self.noteSuccess(of: request, on: worker, &effects)
            self.workers[worker].latency.record(latency, at: self.now)
        case .refusal:
            self.noteSuccess(of: request, on: worker, &effects)
            self.noteNoFaster(than: latency, worker)
        case .fault:
            self.noteFault(of: request, on: worker, &effects)
        }
        let isFirst = !self.workers[worker].hasAnsweredCall
        self.workers[worker].hasAnsweredCall = true
        let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
        let isError = if case .workerError = outcome { true } else { false }
        self.pools[pool].slots[slot].noteAnswer(after: latency, isError: isError)
        self.count(request, outcome, on: worker)
        if isFirst { self.pools[pool].slots[slot].policy.forgiveFailedStarts() }
        self.countAnswer(of: worker, &effects)
    }

    /// What an answer says of the worker that gave it.
    enum Verdict {
        case success
        /// An error that may well be the caller's: the worker works, but how fast is not to be learned from it.
        case refusal
        /// An error that names the worker's own fault.
        case fault
    }

    static func verdict(_ outcome: Outcome) -> Verdict {
        switch outcome {
        case .result: return .success
        case .failure: return .refusal
        case .workerError(let error):
            guard let code = ParamsReader.value("code", in: error) else { return .refusal }
            return self.faultCodes.contains { code.elementsEqual($0) } ? .fault : .refusal
        }
    }

    /// Internal error, no database, no resources.
    private static let faultCodes = ["-32603", "5001", "5002"].map { Array($0.utf8) }

    /// A reply to a call of ours that cannot be passed on: the call is tried elsewhere, or fails with 1003.
    private mutating func unreadableReply(
        _ number: UInt64, _ reason: WorkerMessage.UnreadableReason, _ words: String, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        guard let request = self.call(number, on: worker) else { return self.countLateReply(worker) }
        self.log(
            .warning, "worker.unreadable_reply", of: request, on: worker,
            ["reason": .string(reason.rawValue), "error": .string(words)], &effects)
        switch self.requests[request].state {
        case .none:
            if case .broadcast = self.requests[request].origin {
                self.broadcastAnswered(request, .unreadable, &effects)
            } else {
                self.healthCheckFailed(worker, &effects)
            }
        case .abandoned:
            self.noteLateReply(request, worker)
            self.requests.remove(request)
            self.slotCameFree(worker, &effects)
        case .inFlight:
            guard self.holds(.unreadableReply) else { return }
            self.noteFault(of: request, on: worker, &effects)
            self.count(request, on: worker, isError: true)
            let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
            self.pools[pool].slots[slot].errors += 1
            if self.hasWorker(otherThan: worker, in: pool),
                self.mayRetry(request, budget: self.retryBudget)
            {
                self.requeue(request, avoiding: worker)
                self.slotCameFree(worker, &effects)
            } else {
                let error = RPCError(
                    .serializationError, reason: reason.rawValue, words, recovery: .retryRequest)
                self.conclude(request, .failure(error), by: worker, &effects)
                self.release(request, worker, &effects)
            }
        case .queued, .waiting:
            preconditionFailure("\(self.requests[request].state), and answered")
        }
    }

    /// The caller has given up on the call: all that its answer still tells is how long it took.
    private mutating func noteLateReply(_ request: RequestToken, _ worker: WorkerToken) {
        self.noteNoFaster(than: self.now.duration(since: self.requests[request].dispatchedAt), worker)
        self.countLateReply(worker)
    }

    mutating func countLateReply(_ worker: WorkerToken) {
        let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
        self.pools[pool].slots[slot].lateReplies += 1
    }

    private mutating func workerTold(
        _ notification: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        let method = line[notification.method]
        if method.elementsEqual("stream_chunk".utf8) {
            return self.takeChunk(notification, line, worker, &effects)
        }
        if method.elementsEqual("embedding_cache.put".utf8) {
            return self.workerPutEmbeddings(notification, line, worker, &effects)
        }
        guard method.elementsEqual("worker.capabilities".utf8), let params = notification.params,
            let value = try? JSONValue(parsing: UnsafeRawBufferPointer(rebasing: line[params]))
        else {
            return self.log(
                .debug, "worker.unknown_notification", of: worker, ["bytes": .integer(line.count)], &effects)
        }
        var capabilities = self.workers[worker].capabilities
        capabilities.update(with: value)
        self.adopt(capabilities, worker, &effects)
        self.dispatch(self.workers[worker].pool, &effects)
    }

    /// A line that is no message: survived, counted, logged; a flood costs the worker its place.
    ///
    /// - Parameter bytes: at least so many, of which an oversize line shows only the first.
    private mutating func heardNoise(
        _ line: UnsafeRawBufferPointer, bytes: Int, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
        self.pools[pool].slots[slot].noiseLines += 1
        let isFlood = self.workers[worker].noteNoise(bytes: bytes, at: self.now, self.configuration.health)
        self.log(
            .warning, "worker.noise", of: worker, ["line": .escaped(Excerpt.escaped(line, limit: 200))],
            &effects)
        if isFlood, self.holds(.noiseFlood) { self.replace(worker, .stdoutNoise, &effects) }
    }
}
