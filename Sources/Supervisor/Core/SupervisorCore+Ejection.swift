import Protocol

/// Workers that fail calls again and again are taken out of balancing for a time.
extension SupervisorCore {
    /// A call was answered, and not by a fault of the worker's own.
    mutating func noteSuccess(
        of call: RequestToken, on worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        self.workers[worker].succeededSinceCheck = true
        guard self.workers[worker].ejection.callSucceeded(call) == .readmitted else { return }
        self.removeTimer(.ejection, Int(worker.index))
        // It joins the others like a new worker; what it took while it failed says nothing any more.
        self.workers[worker].latency = PeakLatency()
        self.workers[worker].joinedAt = self.now
        self.logReadmission(worker, why: "its call on probation succeeded", &effects)
    }

    /// A call failed by the worker's own fault, however quickly.
    mutating func noteFault(
        of call: RequestToken, on worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let latency = self.now.duration(since: self.requests[call].dispatchedAt)
        let counted = self.holds(.slowFaults) ? max(latency, PeakLatency.fault) : latency
        self.workers[worker].latency.record(counted, at: self.now)
        let action = self.workers[worker].ejection.callFailed(call, at: self.now)
        self.perform(action, worker, &effects)
    }

    /// A health check failed.
    mutating func noteFailedCheck(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.workers[worker].latency.record(PeakLatency.fault, at: self.now)
        let action = self.workers[worker].ejection.checkFailed()
        self.perform(action, worker, &effects)
    }

    /// The deadline of a call has passed. That is the worker's fault unless the caller wanted the answer sooner
    /// than the method's own timeout, or the call spent most of that time in the queue.
    mutating func noteTimeout(
        of call: RequestToken, on worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let allowed = self.methods.timeout(of: self.requests[call].method)
        let (arrivedAt, attempts) = (self.requests[call].arrivedAt, self.requests[call].attempts)
        guard self.requests[call].deadline >= arrivedAt.advanced(by: allowed),
            self.now.duration(since: self.requests[call].dispatchedAt) >= allowed / 2
        else { return }
        let waited = self.now.duration(since: arrivedAt)
        self.log(
            .warning, "request.timed_out", of: call, on: worker,
            ["total_ms": .number(waited.inMilliseconds), "attempts": .integer(attempts)], &effects)
        self.noteFault(of: call, on: worker, &effects)
    }

    private mutating func perform(
        _ action: Ejection.Action, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        switch action {
        case .none, .readmitted:
            break
        case .eject:
            guard self.holds(.ejection), self.workers[worker].takesCalls, self.canSpareOne(of: worker) else {
                return
            }
            let term = self.workers[worker].ejection.eject(at: self.now)
            self.leftBalancing(worker, term, &effects)
        case .ejectedAgain(let term):
            self.leftBalancing(worker, term, &effects)
        }
    }

    private mutating func leftBalancing(
        _ worker: WorkerToken, _ term: Ejection.Term, _ effects: inout some SupervisorEffects
    ) {
        self.setTimer(.ejection, Int(worker.index), after: term.length)
        self.healthMayHaveChanged = true
        self.rostersAreStale = true
        self.log(
            .warning, "worker.ejected", of: worker,
            ["for_ms": .integer(term.length / .milliseconds(1)), "in_a_row": .integer(term.number)], &effects)
    }

    /// A worker is on probation from now on: a call that waits may be the one.
    mutating func ejectionTimerFired(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.dispatch(self.workers[worker].pool, &effects)
    }

    private mutating func logReadmission(
        _ worker: WorkerToken, why: StaticString, _ effects: inout some SupervisorEffects
    ) {
        self.healthMayHaveChanged = true
        self.rostersAreStale = true
        self.log(.info, "worker.readmitted", of: worker, ["reason": .string("\(why)")], &effects)
    }
}

// MARK: - Never more than half

extension SupervisorCore {
    /// Workers of a pool that are ready, and those among them that are out of balancing.
    private func census(_ pool: Int) -> (ready: Int, ejected: Int) {
        var census = (ready: 0, ejected: 0)
        for slot in self.pools[pool].slots.indices {
            guard let worker = self.pools[pool].slots[slot].process, self.workers[worker].takesCalls else {
                continue
            }
            census.ready += 1
            if self.workers[worker].ejection.term != nil { census.ejected += 1 }
        }
        return census
    }

    /// Whether the pool stays at least half in balancing without the worker.
    private func canSpareOne(of worker: WorkerToken) -> Bool {
        let (ready, ejected) = self.census(self.workers[worker].pool)
        return ejected + 1 <= ready / 2 || !self.holds(.ejectedShare)
    }

    /// When the others have left, so that more than half of the ready workers are ejected, those that have been
    /// ejected longest serve again: a pool of doubtful workers is better than calls that wait for nobody (after
    /// Envoy's panic threshold).
    mutating func recallEjected(in pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.holds(.ejectedShare) else { return }
        var (ready, ejected) = self.census(pool)
        while ejected > ready / 2, let worker = self.longestEjected(in: pool) {
            self.workers[worker].ejection.recall()
            self.removeTimer(.ejection, Int(worker.index))
            self.logReadmission(worker, why: "too few others are ready", &effects)
            ejected -= 1
        }
    }

    /// Those that `recallEjected` would have serve again.
    func wouldBeRecalled(in pool: Int) -> [WorkerToken] {
        guard self.holds(.ejectedShare) else { return [] }
        let (ready, ejected) = self.census(pool)
        let workers = self.pools[pool].slots.compactMap(\.process).filter {
            self.workers[$0].takesCalls && self.workers[$0].ejection.term != nil
        }
        func since(_ worker: WorkerToken) -> Instant { self.workers[worker].ejection.term?.since ?? self.now }
        let longestFirst = workers.enumerated().sorted {
            (since($0.element), $0.offset) < (since($1.element), $1.offset)
        }
        return longestFirst.prefix(max(0, ejected - ready / 2)).map(\.element)
    }

    private func longestEjected(in pool: Int) -> WorkerToken? {
        var longest: (worker: WorkerToken, since: Instant)?
        for slot in self.pools[pool].slots.indices {
            guard let worker = self.pools[pool].slots[slot].process, self.workers[worker].takesCalls,
                let since = self.workers[worker].ejection.term?.since
            else { continue }
            if since < longest?.since ?? .distantFuture { longest = (worker, since) }
        }
        return longest?.worker
    }
}
