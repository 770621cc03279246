import Protocol

/// The life of pools, slots and processes.
extension SupervisorCore {
    /// Prepares a pool if it has to be, and fills its slots.
    mutating func startPool(_ pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.phase == .running else { return }
        switch self.pools[pool].preparation {
        case .done:
            for slot in self.pools[pool].slots.indices where self.pools[pool].slots[slot].isWanted {
                self.startWorker(pool, slot, &effects)
            }
        case .pending, .failed:
            // A reload may have taken it away.
            guard !self.pools[pool].configuration.prepare.isEmpty else {
                self.pools[pool].preparation = .done
                return self.startPool(pool, &effects)
            }
            let worker = self.spawn(pool, slot: 0, role: .preparing, &effects)
            self.pools[pool].preparation = .running(worker)
        case .running:
            preconditionFailure("pool \(pool) is being prepared")
        }
    }

    /// Starts a process, which fills its slot from now on.
    @discardableResult
    mutating func startWorker(
        _ pool: Int, _ slot: Int, _ effects: inout some SupervisorEffects
    ) -> WorkerToken {
        let worker = self.spawnServing(pool, slot, &effects)
        self.pools[pool].slots[slot].state = .running(worker)
        return worker
    }

    /// Starts a process for a slot that another one may still fill.
    mutating func spawnServing(
        _ pool: Int, _ slot: Int, _ effects: inout some SupervisorEffects
    ) -> WorkerToken {
        precondition(self.phase == .running, "a worker is started while \(self.phase)")
        if self.pools[pool].slots[slot].starts > 0 { self.pools[pool].slots[slot].restarts += 1 }
        self.pools[pool].slots[slot].starts += 1
        return self.spawn(pool, slot: slot, role: .serving, &effects)
    }

    private mutating func spawn(
        _ pool: Int, slot: Int, role: SpawnRequest.Role, _ effects: inout some SupervisorEffects
    ) -> WorkerToken {
        let id = self.makeWorkerID()
        let worker = self.workers.insert(
            WorkerProcess(pool: pool, slot: slot, role: role, id: id, startedAt: self.now))
        self.workers[worker].cohort = self.pools[pool].cohort
        effects.spawn(
            SpawnRequest(
                worker: worker, pool: pool, role: role, workerID: id,
                configuration: self.pools[pool].configuration))
        return worker
    }

    /// `worker_<ms since 1970>_<9 characters of base 36>`
    private mutating func makeWorkerID() -> String {
        let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz")
        var random = self.random.next() % 101_559_956_668_416  // 36⁹
        var suffix = ""
        for _ in 0..<9 {
            suffix.append(digits[Int(random % 36)])
            random /= 36
        }
        return "worker_\(self.wallClock)_\(suffix)"
    }

    /// The process is there.
    mutating func workerSpawned(
        _ worker: WorkerToken, pid: Int32, _ effects: inout some SupervisorEffects
    ) {
        guard self.workers.contains(worker) else { return }
        self.workers[worker].pid = pid
        let process = self.workers[worker]
        self.log(
            .info, process.role == .serving ? "worker.started" : "pool.preparing", of: worker,
            ["pid": .integer(pid)], &effects)
        // One that was told to go before it was there has the timer of its leaving.
        guard process.role == .serving, process.life.state == .starting else { return }
        self.setTimer(
            .life, Int(worker.index), after: self.pools[process.pool].configuration.startTimeout)
        self.askHealth(worker, &effects)
    }

    /// The process could not be started; it never was.
    ///
    /// - Parameters:
    ///   - reason: a sentence that names the program and what the system said.
    ///   - isShortage: the system has run out of something, such as descriptors; the command may be right.
    mutating func spawnFailed(
        _ worker: WorkerToken, reason: String, isShortage: Bool = false,
        _ effects: inout some SupervisorEffects
    ) {
        guard self.workers.contains(worker) else { return }
        self.log(.error, "worker.spawn_failed", of: worker, ["error": .string(reason)], &effects)
        let exit = LastExit(
            status: nil, reason: reason, at: self.wallClock, uptime: 0, stderrTail: "",
            isShortage: isShortage)
        self.gone(worker, exit, &effects)
    }

    /// The process is gone and all it wrote has been read.
    mutating func workerExited(
        _ worker: WorkerToken, _ status: ExitStatus, _ effects: inout some SupervisorEffects
    ) {
        let process = self.workers[worker]
        self.workers[worker].life.exited()
        var reason = process.life.departure ?? .crashed
        if reason == .crashed, case .exited(code: 0) = status { reason = .exited }
        let exit = LastExit(
            status: status, reason: reason.rawValue, at: self.wallClock,
            uptime: self.now.duration(since: process.startedAt), stderrTail: effects.stderrTail(of: worker))
        let level: LogLevel = process.life.departure == nil && process.role == .serving ? .warning : .info
        self.log(
            level, "worker.exited", of: worker,
            [
                "pid": .integer(process.pid ?? 0), "how": .string(exit.sentence),
                "reason": .string(reason.rawValue),
                "cause": .string(process.deathCause(status)?.rawValue ?? "ordered"),
                "in_flight": .integer(self.requests.inFlight(on: worker)),
            ], &effects)
        self.gone(worker, exit, &effects)
    }

    /// After an exit or a failed start: the calls, the slot, the record.
    private mutating func gone(
        _ worker: WorkerToken, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let process = self.workers[worker]
        if let check = process.healthCheck { self.requests.remove(check) }
        self.workers[worker].healthCheck = nil
        self.healthMayHaveChanged = true
        self.rostersAreStale = true
        self.forgetBroadcasts(to: worker, &effects)
        self.forgetFailures(of: worker)
        self.settleCalls(of: worker, exit, &effects)
        self.removeTimer(.life, Int(worker.index))
        self.removeTimer(.health, Int(worker.index))
        self.removeTimer(.cutOff, Int(worker.index))
        self.removeTimer(.age, Int(worker.index))
        self.removeTimer(.ejection, Int(worker.index))
        switch process.role {
        case .preparing:
            self.workers.remove(worker)
            self.prepared(process, exit, &effects)
        case .serving:
            self.pools[process.pool].slots[process.slot].lastExit = exit
            if let cause = process.deathCause(exit.status) {
                self.pools[process.pool].slots[process.slot].deaths.note(cause)
            }
            let isReplaced = self.newcomerTakesOver(from: worker)
            let isCurrent = self.pools[process.pool].slots[process.slot].process == worker
            if isCurrent { self.pools[process.pool].slots[process.slot].state = .empty }
            if let place = process.figuresPlace {
                self.history.retire(worker: place, now: self.now.nanoseconds)
            }
            self.workers.remove(worker)
            if isCurrent || isReplaced { self.noteDeath(process, exit, refilling: isCurrent, &effects) }
            self.leftExchange(worker, of: process.pool, exit, &effects)
            self.noteReplacementDied(process, exit, &effects)
            self.hastenTries(process.pool)
            self.reviewEpoch(of: process.pool, &effects)
        }
        self.dispatch(process.pool, &effects)
    }

    /// The process that filled a slot died.
    ///
    /// - Parameter refilling: whether nothing fills it now.
    private mutating func noteDeath(
        _ process: WorkerProcess, _ exit: LastExit, refilling: Bool, _ effects: inout some SupervisorEffects
    ) {
        let (pool, slot) = (process.pool, process.slot)
        guard self.phase == .running else { return }
        let chance = self.chance()
        var settings = self.configuration.restart
        if !self.holds(.backoffGrowth) { settings.backoffMax = settings.backoffInitial }
        if !self.holds(.quarantine) { settings.maxDeaths = 1_000_000 }
        let now = self.now
        if let readyAt = process.readyAt, now.duration(since: readyAt) >= RestartPolicy.forgivenAfter {
            self.pools[pool].slots[slot].policy.forgiveFailedStarts()
        }
        let verdict =
            process.hasAnsweredCall
            ? self.pools[pool].slots[slot].policy.diedInService(at: now, settings, chance: chance)
            : self.pools[pool].slots[slot].policy.failedStart(at: now, settings, chance: chance)
        guard refilling else { return }
        switch verdict {
        case .restart(let wait):
            self.pools[pool].slots[slot].state = .backoff(until: now.advanced(by: wait))
            self.setTimer(.slotRestart, self.slotIndex(pool, slot), after: wait)
        case .quarantine:
            self.quarantine(pool, slot, exit, &effects)
        }
    }

    private mutating func quarantine(
        _ pool: Int, _ slot: Int, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let wait =
            !self.hasReadyWorker(pool) ? RestartPolicy.quarantineRetryAlone : RestartPolicy.quarantineRetry
        let failures = self.pools[pool].slots[slot].policy.failedStartsInARow
        self.pools[pool].slots[slot].state = .quarantined(nextTry: self.now.advanced(by: wait))
        self.setTimer(.slotRestart, self.slotIndex(pool, slot), after: wait)
        effects.log(
            .error, "worker.quarantined",
            [
                "pool": .string(self.pools[pool].configuration.name), "slot": .integer(slot),
                "failed_starts": .integer(failures), "how": .string(exit.sentence),
                "stderr_tail": .tail(exit.stderrTail), "next_try_ms": .integer(wait / .milliseconds(1)),
            ])
        self.refuseQueueIfHopeless(pool, &effects)
    }

    /// A pool that has lost its last ready worker tries its quarantined slots more often.
    private mutating func hastenTries(_ pool: Int) {
        guard self.phase == .running, !self.hasReadyWorker(pool) else { return }
        let soon = self.now.advanced(by: RestartPolicy.quarantineRetryAlone)
        for slot in self.pools[pool].slots.indices {
            guard case .quarantined(let nextTry) = self.pools[pool].slots[slot].state, nextTry > soon else {
                continue
            }
            self.pools[pool].slots[slot].state = .quarantined(nextTry: soon)
            self.setTimer(
                .slotRestart, self.slotIndex(pool, slot), after: RestartPolicy.quarantineRetryAlone)
        }
    }

    /// Nothing will come for these calls: they are told at once.
    private mutating func refuseQueueIfHopeless(_ pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.pools[pool].isHopeless else { return }
        for request in self.requests.requests(queuedIn: pool) {
            for caller in self.callers(of: request) {
                let error = self.noHealthyWorker(pool, self.requests[caller].connection)
                self.end(caller, .failure(error), &effects)
            }
            self.dropRefresh(request, &effects)
        }
    }

    mutating func slotRestartFired(_ pool: Int, _ slot: Int, _ effects: inout some SupervisorEffects) {
        switch self.pools[pool].slots[slot].state {
        case .backoff, .quarantined: self.startWorker(pool, slot, &effects)
        case .empty, .running, .unwanted: break  // filled or given up since
        }
    }

    /// The process that prepares a pool is gone.
    private mutating func prepared(
        _ process: WorkerProcess, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let pool = process.pool
        // However it ended: no worker will be started.
        guard self.phase == .running else {
            for request in self.requests.requests(queuedIn: pool) {
                for caller in self.callers(of: request) {
                    self.end(caller, .failure(self.shuttingDown), &effects)
                }
                self.dropRefresh(request, &effects)
            }
            return
        }
        if process.life.departure == .restarted {
            // It made way for another one; what became of it does not matter.
            self.pools[pool].preparation = .pending
            self.startPool(pool, &effects)
        } else if exit.status == .exited(code: 0) {
            self.pools[pool].preparation = .done
            self.pools[pool].preparePolicy.forgiveFailedStarts()
            effects.log(
                .info, "pool.prepared", ["pool": .string(self.pools[pool].configuration.name)])
            self.startPool(pool, &effects)
        } else {
            self.preparationFailed(pool, exit, &effects)
        }
        self.continueRollout(&effects)
    }

    private mutating func preparationFailed(
        _ pool: Int, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let chance = self.chance()
        let now = self.now
        let settings = self.configuration.restart
        var wait = RestartPolicy.quarantineRetryAlone
        if case .restart(let after) = self.pools[pool].preparePolicy.failedStart(
            at: now, settings, chance: chance)
        {
            wait = after
        }
        self.pools[pool].preparation = .failed(exit, retryAt: now.advanced(by: wait))
        self.setTimer(.prepareRetry, pool, after: wait)
        effects.log(
            .error, "pool.prepare_failed",
            [
                "pool": .string(self.pools[pool].configuration.name), "how": .string(exit.sentence),
                "stderr_tail": .tail(exit.stderrTail), "next_try_ms": .integer(wait / .milliseconds(1)),
            ])
        self.refuseQueueIfHopeless(pool, &effects)
    }
}
