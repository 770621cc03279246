import Protocol

/// Exchanging one process for a new one without a gap: the new one is ready first (recycling, restarts, reloads).
extension SupervisorCore {
    /// Starts a new process for a slot. What serves there goes on until the new one is ready; what does not (it
    /// starts, or waits for its next try) makes room at once.
    mutating func beginExchange(
        _ pool: Int, _ slot: Int, _ reason: DepartureReason, _ effects: inout some SupervisorEffects
    ) {
        precondition(self.pools[pool].exchange == nil, "two exchanges in pool \(pool)")
        let old = self.pools[pool].slots[slot].process
        let newcomer: WorkerToken
        if let old, self.serves(old) {
            newcomer = self.spawnServing(pool, slot, &effects)
            self.pools[pool].exchange = Exchange(
                slot: slot, reason: reason, stage: .starting(newcomer, old: old))
            if !self.holds(.readyFirst) {
                self.perform(self.workers[old].life.terminate(reason), old, &effects)
            }
        } else {
            self.removeTimer(.slotRestart, self.slotIndex(pool, slot))
            self.pools[pool].slots[slot].policy.forgiveFailedStarts()
            // One that is on its way out already may have calls to finish.
            if let old, self.workers[old].life.state == .starting {
                self.perform(self.workers[old].life.terminate(reason), old, &effects)
            }
            newcomer = self.startWorker(pool, slot, &effects)
            self.pools[pool].exchange = Exchange(
                slot: slot, reason: reason, stage: .starting(newcomer, old: old))
        }
    }

    /// Whether it does something that a new process would have to go on with.
    private func serves(_ worker: WorkerToken) -> Bool {
        let life = self.workers[worker].life
        return life.isReady || life.isHeld
    }

    /// A worker is ready: if it was waited for, it takes its slot, and the old one leaves.
    mutating func newcomerIsReady(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        let pool = self.workers[worker].pool
        guard var exchange = self.pools[pool].exchange,
            case .starting(worker, let old) = exchange.stage
        else { return }
        self.pools[pool].slots[exchange.slot].state = .running(worker)
        self.rostersAreStale = true
        self.noteStep(in: pool, exchange.slot, old: old, new: worker)
        guard let old else { return self.endExchange(pool, &effects) }
        exchange.stage = .leaving(old)
        self.pools[pool].exchange = exchange
        self.logReplacement(of: old, by: worker, exchange.reason, &effects)
        let isIdle = !self.hasCallers(old)
        self.perform(self.workers[old].life.retire(exchange.reason, isIdle: isIdle), old, &effects)
    }

    /// The old process of an exchange cannot serve any more: the new one has the slot, ready or not.
    ///
    /// - Returns: whether there is a new one.
    mutating func newcomerTakesOver(from worker: WorkerToken) -> Bool {
        let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
        guard self.pools[pool].slots[slot].process == worker,
            case .starting(let newcomer, old: worker)? = self.pools[pool].exchange?.stage
        else { return false }
        self.pools[pool].slots[slot].state = .running(newcomer)
        self.rostersAreStale = true
        return true
    }

    /// A process is gone, whatever it was in an exchange.
    mutating func leftExchange(
        _ worker: WorkerToken, of pool: Int, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        switch self.pools[pool].exchange?.stage {
        case .starting(let newcomer, old: worker)?:
            self.pools[pool].exchange?.stage = .starting(newcomer, old: nil)
        case .starting(worker, _)?:
            self.exchangeFailed(pool, exit, &effects)
        case .leaving(worker)?:
            self.endExchange(pool, &effects)
        case .starting, .leaving, nil: break
        }
    }

    private mutating func exchangeFailed(
        _ pool: Int, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        guard let exchange = self.pools[pool].exchange else { return }
        // The pool has become smaller meanwhile: there is nothing to exchange any more, or another process is there
        // because the pool has grown again.
        guard self.pools[pool].slots[exchange.slot].isWanted,
            exit.reason != DepartureReason.scaledDown.rawValue
        else { return self.endExchange(pool, &effects) }
        self.pools[pool].exchange = nil
        effects.log(
            .error, "worker.replacement_failed",
            [
                "pool": .string(self.pools[pool].configuration.name), "slot": .integer(exchange.slot),
                "how": .string(exit.sentence), "reason": .string(exchange.reason.rawValue),
                "stderr_tail": .tail(exit.stderrTail),
            ])
        if self.rollouts.first?.active == .init(pool: pool, slot: exchange.slot) {
            if self.holds(.abortAtFirstFailure) {
                self.abortRollout(at: .init(pool: pool, slot: exchange.slot), exit, &effects)
            } else {
                self.rollouts[0].active = nil
            }
        }
        // Others may be due, and have waited for this one.
        self.setTimer(.exchangeRetry, pool, after: self.configuration.restart.backoffMax)
        self.continueRollout(&effects)
    }

    private mutating func endExchange(_ pool: Int, _ effects: inout some SupervisorEffects) {
        self.pools[pool].exchange = nil
        if self.rollouts.first?.active?.pool == pool { self.rollouts[0].active = nil }
        self.continueRollout(&effects)
        self.recycleNext(pool, &effects)
    }
}

// MARK: - Recycling

extension SupervisorCore {
    /// How much of `value` is left once a random part of the jitter is taken off, so that workers that started
    /// together are not recycled together.
    private mutating func lessJitter(_ value: Int64) -> Int64 {
        max(1, value - Int64(Double(value) * self.configuration.recycle.jitter * self.chance()))
    }

    /// A worker is ready, and from here on its age and its calls count; or they count by other limits.
    mutating func setRecycling(of worker: WorkerToken) {
        let settings = self.configuration.recycle
        self.workers[worker].requestsAllowed = settings.maxRequests.map { self.lessJitter($0) }
        self.removeTimer(.age, Int(worker.index))
        if let age = settings.maxAge {
            let lived = self.workers[worker].readyAt.map { self.now.duration(since: $0) } ?? 0
            self.setTimer(.age, Int(worker.index), after: max(0, self.lessJitter(age) - lived))
        }
    }

    /// It has answered a call.
    mutating func countAnswer(of worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.workers[worker].answered += 1
        guard let allowed = self.workers[worker].requestsAllowed, self.workers[worker].answered >= allowed
        else { return }
        self.isDue(worker, for: .maxRequests, &effects)
    }

    /// It is to be recycled, now or when those before it are done.
    mutating func isDue(
        _ worker: WorkerToken, for reason: DepartureReason, _ effects: inout some SupervisorEffects
    ) {
        guard self.workers[worker].isDueFor == nil, self.workers[worker].life.isReady else { return }
        self.workers[worker].isDueFor = reason
        self.recycleNext(self.workers[worker].pool, &effects)
    }

    /// One at a time in a pool: the next worker that is due is exchanged.
    mutating func recycleNext(_ pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.phase == .running, self.pools[pool].exchange == nil,
            !self.timers.isSet(self.key(.exchangeRetry, pool))
        else { return }
        for slot in self.pools[pool].slots.indices {
            guard let worker = self.pools[pool].slots[slot].process,
                let reason = self.workers[worker].isDueFor, self.workers[worker].life.isReady
            else { continue }
            return self.beginExchange(pool, slot, reason, &effects)
        }
    }
}
