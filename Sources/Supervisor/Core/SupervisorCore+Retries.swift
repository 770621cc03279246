import Protocol

/// Calls of a worker that is gone: tried once more where that is safe, or failed.
extension SupervisorCore {
    /// Its calls are tried once more on another worker, where that is safe, or fail with 2001.
    mutating func settleCalls(
        of worker: WorkerToken, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let calls = self.requests.calls(on: worker)
        // A process that only closed a pipe lives on, and one that was sent away is no loss of the call's making.
        let isDeath = exit.status != nil && self.workers[worker].deathCause(exit.status) != nil
        let budget = self.retryBudget
        // The youngest first, each in front of the queue: in the end the oldest is first.
        for request in calls.reversed() {
            self.workers[worker].ejection.gaveUp(request)
            switch self.requests[request].state {
            case .abandoned:
                self.requests.remove(request)
            case .inFlight:
                self.count(request, on: worker, isError: true)
                // One that was given up on may be the culprit as well: only without it the call was alone.
                if isDeath {
                    self.requests.noteDeath(request, alone: calls.count == 1)
                    self.notePoison(request, &effects)
                }
                let isRetried = self.mayRetry(request, budget: budget)
                self.log(
                    .warning, "request.lost", of: request, on: worker,
                    [
                        "attempts": .integer(self.requests[request].attempts), "retried": .bool(isRetried),
                    ], &effects)
                if isRetried {
                    self.requeue(request, avoiding: worker)
                } else {
                    self.fail(request, of: worker, exit, &effects)
                }
            case .queued, .none, .waiting:
                preconditionFailure("\(self.requests[request].state) on a worker")
            }
        }
    }

    private mutating func fail(
        _ request: RequestToken, of worker: WorkerToken, _ exit: LastExit,
        _ effects: inout some SupervisorEffects
    ) {
        guard self.holds(.answerOnDeath) else { return self.requests.remove(request) }
        guard let flight = self.requests[request].flight else {
            let error = self.crashed(worker, exit, request, for: request)
            return self.finish(request, .failure(error), by: worker, &effects)
        }
        while let waiter = self.requests.firstWaiter(for: flight) {
            let error = self.crashed(worker, exit, request, for: waiter)
            self.finish(waiter, .failure(error), by: worker, &effects)
        }
        self.requests.endFlight(flight)
        self.requests.remove(request)
    }

    /// Calls that may be retries at once, so that a pool that is dying is not beaten further: a share of the
    /// calls that the workers have, those that are to be settled now among them.
    var retryBudget: Int {
        let settings = self.configuration.retry
        return max(settings.budgetMin, Int(settings.budgetRatio * Double(self.requests.inFlight)))
    }

    /// Whether a call that its worker lost may be sent again: idempotent methods only, not more often than
    /// configured, never after two deaths or a chunk, before the deadline, and within the budget. Of those who share a call
    /// all but the one that began it have had no attempt yet: one of them leads the second, which is no retry of
    /// theirs, whatever the method.
    func mayRetry(_ request: RequestToken, budget: Int) -> Bool {
        let pool = self.requests[request].pool
        let (attempts, deaths) = (self.requests[request].attempts, self.requests[request].deaths.count)
        // While the supervisor drains nothing is started any more: only a worker that is there can help.
        guard self.phase == .running || self.hasReadyWorker(pool),
            self.requests[request].deadline > self.now, !self.pools[pool].isHopeless
        else { return false }
        if self.requests[request].stream.hasBegun, self.holds(.retryBeforeChunks) { return false }
        if let flight = self.requests[request].flight {
            let waiters = self.requests.flights[flight].waiters.count
            if waiters == 0 { return false }
            if waiters > 1, attempts < 2, deaths < 2, self.holds(.takeover) { return true }
        }
        guard
            self.methods.isIdempotent(self.requests[request].method, in: pool)
                || !self.holds(.retryIdempotentOnly)
        else { return false }
        let isFirst = attempts < self.configuration.retry.maxAttempts && deaths < 2
        return (isFirst || !self.holds(.retryOnce))
            && (self.requests.retriesOpen < budget || !self.holds(.retryBudget))
    }

    func hasReadyWorker(_ pool: Int) -> Bool {
        self.pools[pool].slots.contains { self.isReady($0) }
    }

    mutating func requeue(_ request: RequestToken, avoiding worker: WorkerToken) {
        self.requests.requeue(request, avoiding: worker)
        self.startClocks(of: request)
    }

    /// - Parameter caller: the request of the one who is told.
    private func crashed(
        _ worker: WorkerToken, _ exit: LastExit, _ request: RequestToken, for caller: RequestToken
    ) -> RPCError {
        let process = self.workers[worker]
        var details: [JSONValue.Member] = [
            .init("exit_code", .null), .init("signal", .null),
            .init("uptime_seconds", .double(exit.uptime.inSeconds)),
            .init("attempts", .integer(self.requests[request].attempts)),
        ]
        switch exit.status {
        case .exited(let code): details[0].value = .integer(code)
        case .signaled(let number): details[1].value = .string(SignalName.text(number))
        case nil: break
        }
        if let connection = self.requests[caller].connection, self.connections[connection].isOperator {
            details.append(.init("stderr_tail", .string(exit.stderrTail)))
        }
        let isTornDown = process.life.departure == .overrun
        return RPCError(
            .workerCrashed, reason: isTornDown ? "torn_down" : "worker_crashed",
            "The worker \(exit.sentence) with the call in flight",
            retryable: self.methods.isIdempotent(
                self.requests[request].method, in: self.requests[request].pool),
            recovery: .retryRequest, workerID: process.id, details: details)
    }
}
