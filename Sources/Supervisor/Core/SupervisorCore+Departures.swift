import Protocol

/// How workers leave: retired, replaced, cut off, told to go.
extension SupervisorCore {
    /// A worker is taken out of balancing and leaves when its calls are done; its slot gets a new process now.
    mutating func replace(
        _ worker: WorkerToken, _ reason: DepartureReason, _ effects: inout some SupervisorEffects
    ) {
        let (pool, slot) = (self.workers[worker].pool, self.workers[worker].slot)
        // One that is held is an operator's to look at, whatever it does.
        guard self.workers[worker].life.departure == nil, !self.workers[worker].life.isHeld else { return }
        self.logReplacement(of: worker, by: nil, reason, &effects)
        let isIdle = !self.hasCallers(worker)
        let action = self.workers[worker].life.retire(reason, isIdle: isIdle)
        self.perform(action, worker, &effects)
        guard self.phase == .running, self.pools[pool].slots[slot].process == worker,
            !self.countsAsFailedStart(worker, reason)
        else { return }
        if !self.newcomerTakesOver(from: worker) { self.startWorker(pool, slot, &effects) }
        self.dispatch(pool, &effects)
    }

    /// One that misbehaves before it was of any use has no successor until it is gone, and then after a wait:
    /// else a program that floods its stdout would be started without end.
    private func countsAsFailedStart(_ worker: WorkerToken, _ reason: DepartureReason) -> Bool {
        guard !self.workers[worker].hasAnsweredCall else { return false }
        switch reason {
        case .stdoutNoise, .stdoutClosed, .stdinClosed: return true
        case .shutdown, .restarted, .scaledDown, .maxRequests, .maxAge, .maxRSS, .memory, .startTimeout,
            .overrun, .unhealthy, .crashed, .exited:
            return false
        }
    }

    /// Whether anybody waits for an answer from the worker.
    func hasCallers(_ worker: WorkerToken) -> Bool {
        self.requests.calls(on: worker).contains {
            if case .inFlight = self.requests[$0].state { return true }
            return false
        }
    }

    mutating func retireIfDrained(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard case .draining = self.workers[worker].life.state, !self.hasCallers(worker) else { return }
        self.perform(self.workers[worker].life.drained(), worker, &effects)
    }

    mutating func perform(
        _ action: WorkerLife.Action, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let grace = self.configuration.timeouts.termGrace
        self.healthMayHaveChanged = true
        self.rostersAreStale = true
        if action != .none { self.reviewEpoch(of: self.workers[worker].pool, &effects) }
        switch action {
        case .none: break
        case .becomeReady: self.becameReady(worker, &effects)
        case .leaveAlone:
            self.removeTimer(.life, Int(worker.index))
            self.removeTimer(.health, Int(worker.index))
            self.removeTimer(.age, Int(worker.index))
            self.workers[worker].isDueFor = nil
        case .drain: self.removeTimer(.life, Int(worker.index))
        case .closeInput:
            effects.closeInput(of: worker)
            self.setTimer(.life, Int(worker.index), after: grace)
        case .terminate:
            effects.signal(worker, .terminate)
            self.setTimer(.life, Int(worker.index), after: grace)
        case .kill:
            effects.signal(worker, .kill)
            self.removeTimer(.life, Int(worker.index))
        }
    }

    mutating func lifeTimerFired(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard self.workers[worker].life.state == .starting else {
            guard self.holds(.killAfterTerm) else { return }
            return self.perform(self.workers[worker].life.timerFired(), worker, &effects)
        }
        guard self.holds(.startTimeout) else { return }
        let timeout = self.pools[self.workers[worker].pool].configuration.startTimeout
        let tail = effects.stderrTail(of: worker)
        self.log(
            .error, "worker.start_timeout", of: worker,
            [
                "pid": .integer(self.workers[worker].pid ?? 0), "after_ms": .number(timeout.inMilliseconds),
                "stderr_tail": .tail(tail),
            ], &effects)
        self.perform(self.workers[worker].life.retire(.startTimeout, isIdle: true), worker, &effects)
    }

    /// How long a worker whose pipe has ended may take to end itself: a dying process closes its pipes a moment
    /// before it can be seen to be dead, and then it crashed.
    private static let exitMargin = Nanoseconds.milliseconds(100)

    /// Its stdin does not take what it is sent: nothing can reach it any more.
    mutating func inputFailed(_ worker: WorkerToken) { self.cutOff(worker, .stdinClosed) }

    /// It closed its stdout: nothing can come from it any more.
    mutating func outputClosed(_ worker: WorkerToken) { self.cutOff(worker, .stdoutClosed) }

    private mutating func cutOff(_ worker: WorkerToken, _ reason: DepartureReason) {
        guard self.workers.contains(worker), self.workers[worker].role == .serving,
            self.workers[worker].cutOff == nil
        else { return }
        self.workers[worker].cutOff = reason
        self.rostersAreStale = true
        self.setTimer(.cutOff, Int(worker.index), after: Self.exitMargin)
    }

    /// It was cut off and lives on: it is replaced, and its calls need not wait for its end.
    mutating func cutOffTimerFired(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard let reason = self.workers[worker].cutOff else { return }
        if self.workers[worker].life.state == .starting {
            self.perform(self.workers[worker].life.terminate(reason), worker, &effects)
        } else {
            self.replace(worker, reason, &effects)
            self.loseCalls(of: worker, reason, &effects)
        }
    }

    /// The process lives, but its calls are lost: they need not wait for its end.
    private mutating func loseCalls(
        of worker: WorkerToken, _ reason: DepartureReason, _ effects: inout some SupervisorEffects
    ) {
        let exit = LastExit(
            status: nil, reason: reason.rawValue, at: self.wallClock,
            uptime: self.now.duration(since: self.workers[worker].startedAt),
            stderrTail: effects.stderrTail(of: worker))
        self.settleCalls(of: worker, exit, &effects)
        self.retireIfDrained(worker, &effects)
        self.dispatch(self.workers[worker].pool, &effects)
    }
}
