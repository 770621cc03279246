import Protocol

/// Restarts and reloads that an operator asked for: one worker after the other, none of them missed by a call.
extension SupervisorCore {
    /// Rollouts that may wait for the one under way.
    private static let rolloutLimit = 16

    /// Takes a rollout in; it begins when those before it are over. One of its kind that has not begun does for
    /// both: a storm of SIGHUPs is two reloads.
    ///
    /// - Returns: false when too many wait already.
    mutating func addRollout(_ rollout: Rollout, _ effects: inout some SupervisorEffects) -> Bool {
        guard self.phase == .running else { return false }
        if let same = self.rollouts.firstIndex(where: { !$0.hasBegun && $0.kind == rollout.kind }) {
            self.rollouts[same].waiters += rollout.waiters
            return true
        }
        guard self.rollouts.count < Self.rolloutLimit else { return false }
        self.rollouts.append(rollout)
        self.continueRollout(&effects)
        return true
    }

    /// Does what can be done now: begins rollouts, exchanges the next worker, answers who waited.
    mutating func continueRollout(_ effects: inout some SupervisorEffects) {
        while self.phase == .running, let rollout = self.rollouts.first, rollout.active == nil {
            guard rollout.hasBegun || self.beginRollout(&effects) else { continue }
            guard let place = self.rollouts[0].remaining.last else {
                self.finishRollout(&effects)
                continue
            }
            // A worker of the pool is being recycled: its exchange ends first.
            guard self.pools[place.pool].exchange == nil else { return }
            self.rollouts[0].remaining.removeLast()
            guard self.isReplaceable(place, by: rollout) else { continue }
            self.rollouts[0].active = place
            self.beginExchange(place.pool, place.slot, .restarted, &effects)
        }
    }

    /// - Returns: false when it was over before it began.
    private mutating func beginRollout(_ effects: inout some SupervisorEffects) -> Bool {
        self.rollouts[0].hasBegun = true
        if self.rollouts[0].kind == .reload, !self.readConfiguration(&effects) { return false }
        self.forgetPoison()
        if self.rollouts[0].isOfAll { self.beginCohorts() }
        self.rollouts[0].remaining = self.places(of: self.rollouts[0].kind).reversed()
        effects.log(
            .info, "rollout.begun",
            [
                "kind": .string(Self.name(of: self.rollouts[0].kind)),
                "by": .string(self.rollouts[0].origin),
                "workers": .integer(self.rollouts[0].remaining.count),
            ])
        self.answerWaiters(untilDone: false, &effects)
        return true
    }

    static func name(of kind: Rollout.Kind) -> String { kind == .reload ? "reload" : "restart" }

    private func places(of kind: Rollout.Kind) -> [Rollout.Place] {
        if case .restart(let place?) = kind { return [place] }
        return self.pools.indices.flatMap { pool in
            self.pools[pool].slots.indices.map { Rollout.Place(pool: pool, slot: $0) }
        }
    }

    /// A slot that is not wanted has nothing to be exchanged, nor has one whose pool is still being prepared; and a
    /// worker that an operator looks at is left to him until he names it.
    private func isReplaceable(_ place: Rollout.Place, by rollout: Rollout) -> Bool {
        let slot = self.pools[place.pool].slots[place.slot]
        switch slot.state {
        case .empty, .unwanted: return false
        case .backoff, .quarantined: return true
        case .running(let worker):
            return rollout.kind == .restart(place) || !self.workers[worker].life.isHeld
        }
    }

    mutating func noteStep(in pool: Int, _ slot: Int, old: WorkerToken?, new: WorkerToken) {
        let place = Rollout.Place(pool: pool, slot: slot)
        guard self.rollouts.first?.active == place else { return }
        self.rollouts[0].steps.append(
            Rollout.Step(place: place, old: old.map { self.workers[$0].id }, new: self.workers[new].id))
    }

    private mutating func finishRollout(_ effects: inout some SupervisorEffects) {
        effects.log(
            .info, "rollout.done",
            [
                "kind": .string(Self.name(of: self.rollouts[0].kind)),
                "by": .string(self.rollouts[0].origin), "workers": .integer(self.rollouts[0].steps.count),
            ])
        self.lastAbort = nil
        self.answerWaiters(untilDone: true, &effects)
        self.rollouts.removeFirst()
    }

    /// The first new process that does not become ready ends the rollout; what still serves goes on.
    ///
    /// - Parameter exit: of that process.
    mutating func abortRollout(
        at place: Rollout.Place, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let rollout = self.rollouts.removeFirst()
        if let previous = rollout.previous {
            self.apply(previous.configuration, sizes: previous.sizes, &effects)
        }
        if rollout.isOfAll { self.mergeCohorts() }
        let pool = self.pools[place.pool].configuration.name
        let failure =
            exit.reason == DepartureReason.startTimeout.rawValue
            ? "was not ready within its start_timeout" : exit.sentence
        let kind = Self.name(of: rollout.kind)
        let sentence =
            "the \(kind) was aborted: the new process for slot \(place.slot) of pool \(pool) \(failure); "
            + "\(rollout.steps.count) workers were replaced before, the others serve on"
        self.lastAbort = sentence
        effects.log(
            .error, "rollout.aborted",
            [
                "kind": .string(kind), "by": .string(rollout.origin), "pool": .string(pool),
                "slot": .integer(place.slot), "how": .string(failure),
                "stderr_tail": .tail(exit.stderrTail),
            ])
        let error = RPCError(
            .workerUnavailable, reason: "replacement_failed",
            sentence.prefix(1).uppercased() + sentence.dropFirst(),
            details: [
                .init("pool", .string(pool)), .init("slot", .integer(place.slot)),
                .init("replaced", .integer(rollout.steps.count)),
                .init("stderr_tail", .string(exit.stderrTail)),
            ])
        for waiter in rollout.waiters { self.answer(waiter, .failure(error), &effects) }
    }

    /// A process is gone. If it is the one that the rollout has just put in, and it has not answered a call, then
    /// the program is no good although it got ready, and the others are not exchanged for it as well.
    mutating func noteReplacementDied(
        _ process: WorkerProcess, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        guard let step = self.rollouts.first?.steps.last, step.new == process.id, !process.hasAnsweredCall,
            process.life.departure == nil
        else { return }
        self.abortRollout(at: step.place, exit, &effects)
        self.continueRollout(&effects)
    }

    /// The supervisor stops: nobody is told that a rollout succeeded which did not.
    mutating func giveUpRollouts(_ effects: inout some SupervisorEffects) {
        let waiters = self.rollouts.flatMap(\.waiters)
        self.rollouts = []
        for pool in self.pools.indices {
            self.pools[pool].exchange = nil
            self.removeTimer(.exchangeRetry, pool)
        }
        for waiter in waiters { self.answer(waiter, .failure(self.shuttingDown), &effects) }
    }

    // MARK: Answers

    private mutating func answerWaiters(untilDone: Bool, _ effects: inout some SupervisorEffects) {
        let result = self.report(self.rollouts[0])
        let waiters = self.rollouts[0].waiters.filter { $0.untilDone == untilDone }
        self.rollouts[0].waiters.removeAll { $0.untilDone == untilDone }
        result.bytes.withUnsafeBytes { bytes in
            for waiter in waiters { self.answer(waiter, .result(bytes), &effects) }
        }
    }

    /// One that was cancelled, or whose time ran out, is not there any more.
    mutating func answer(
        _ waiter: Rollout.Waiter, _ outcome: Outcome, _ effects: inout some SupervisorEffects
    ) {
        guard self.requests.contains(waiter.request) else { return }
        self.end(waiter.request, outcome, &effects)
    }

    /// What the caller is told: the workers that were replaced, or while nothing is done yet those that will be.
    private func report(_ rollout: Rollout) -> JSONValue {
        let planned = rollout.remaining.reversed().compactMap { place -> Rollout.Step? in
            guard self.isReplaceable(place, by: rollout) else { return nil }
            let worker = self.pools[place.pool].slots[place.slot].process
            return Rollout.Step(place: place, old: worker.map { self.workers[$0].id }, new: nil)
        }
        let workers = (rollout.steps + planned).map { step -> JSONValue in
            [
                "pool": .string(self.pools[step.place.pool].configuration.name),
                "slot": .integer(step.place.slot), "worker_id": .string(step.old),
                "replaced_by": .string(step.new),
            ]
        }
        return [
            "workers": .array(workers),
            "restart_required": .array(rollout.restartRequired.map { .string($0) }),
        ]
    }
}
