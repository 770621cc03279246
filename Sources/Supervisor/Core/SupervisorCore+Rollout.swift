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
        if rollout.isShared,
            let same = self.rollouts.firstIndex(where: { !$0.hasBegun && $0.kind == rollout.kind })
        {
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
            guard self.pools[place.pool].exchange == nil, !self.waitsForPreparation(of: place.pool) else {
                return
            }
            self.rollouts[0].remaining.removeLast()
            guard self.isReplaceable(place, by: rollout) else { continue }
            self.rollouts[0].active = place
            if let worker = self.newcomer(at: place, since: rollout) {
                self.watch(worker, at: place)
            } else {
                self.beginExchange(place.pool, place.slot, .restarted, &effects)
            }
        }
    }

    /// Whether the rollout waits until a pool is prepared: it starts its workers then, and with them a new configuration
    /// is tried. A preparation may take any time, and never end: who comes next is not kept waiting for it, least of
    /// all when he brings another `prepare`.
    private func waitsForPreparation(of pool: Int) -> Bool {
        guard self.rollouts[0].previous != nil, self.rollouts.count == 1 else { return false }
        switch self.pools[pool].preparation {
        case .pending, .running: return true
        case .done, .failed: return false
        }
    }

    /// The process of a slot that was started after the rollout had begun, and so by its configuration: there is
    /// nothing to exchange.
    private func newcomer(at place: Rollout.Place, since rollout: Rollout) -> WorkerToken? {
        guard rollout.previous != nil, let worker = self.pools[place.pool].slots[place.slot].process,
            self.workers[worker].cohort == self.pools[place.pool].cohort
        else { return nil }
        switch self.workers[worker].life.state {
        case .starting, .ready: return worker
        case .held, .draining, .terminating, .exited: return nil
        }
    }

    /// Waits until a process that was started anyway is ready, as if it had been started for the rollout.
    private mutating func watch(_ worker: WorkerToken, at place: Rollout.Place) {
        guard self.workers[worker].life.isReady else {
            self.pools[place.pool].exchange = Exchange(
                slot: place.slot, reason: .restarted, stage: .starting(worker, old: nil))
            return
        }
        self.noteStep(in: place.pool, place.slot, old: nil, new: worker)
        self.rollouts[0].active = nil
    }

    /// - Returns: false when it was over before it began.
    private mutating func beginRollout(_ effects: inout some SupervisorEffects) -> Bool {
        self.rollouts[0].hasBegun = true
        guard self.takeConfiguration(&effects) else { return false }
        let rollout = self.rollouts[0]
        guard !rollout.exchangesNothing else { return true }
        self.forgetPoison()
        let pools = rollout.isOfAll ? Array(self.pools.indices) : rollout.poolsToExchange
        self.beginCohorts(of: pools)
        self.rollouts[0].remaining = self.places(of: rollout, in: pools).reversed()
        effects.log(
            .info, "rollout.begun",
            [
                "kind": .string(rollout.name), "by": .string(rollout.origin),
                "workers": .integer(self.rollouts[0].remaining.count),
            ])
        self.answerWaiters([.plan], &effects)
        return true
    }

    private func places(of rollout: Rollout, in pools: [Int]) -> [Rollout.Place] {
        if case .restart(let place?) = rollout.kind { return [place] }
        return pools.flatMap { pool in
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
        let rollout = self.rollouts[0]
        if !rollout.exchangesNothing {
            effects.log(
                .info, "rollout.done",
                [
                    "kind": .string(rollout.name), "by": .string(rollout.origin),
                    "workers": .integer(rollout.steps.count),
                ])
            if !rollout.isTakingBack { self.lastAbort = nil }
        }
        self.logChanges(rollout, &effects)
        if case .update(let change) = rollout.kind {
            self.rollouts.removeFirst()
            return self.tellWorkers(of: change, rollout, &effects)
        }
        self.answerWaiters([.steps, .changes], &effects)
        self.rollouts.removeFirst()
    }

    /// The first new process that does not become ready ends the rollout; what still serves goes on.
    ///
    /// - Parameter exit: of that process.
    mutating func abortRollout(
        at place: Rollout.Place, _ exit: LastExit, _ effects: inout some SupervisorEffects
    ) {
        let rollout = self.rollouts.removeFirst()
        if let previous = rollout.previous { self.goBack(to: previous, &effects) }
        if rollout.isOfAll || rollout.previous != nil { self.mergeCohorts() }
        let pool = self.pools[place.pool].configuration.name
        let failure =
            exit.reason == DepartureReason.startTimeout.rawValue
            ? "was not ready within its start_timeout" : exit.sentence
        let sentence =
            "the \(rollout.name) was aborted: the new process for slot \(place.slot) of pool \(pool) \(failure); "
            + "\(rollout.steps.count) workers were replaced before, the others serve on"
        self.lastAbort = sentence
        effects.log(
            .error, "rollout.aborted",
            [
                "kind": .string(rollout.name), "by": .string(rollout.origin), "pool": .string(pool),
                "slot": .integer(place.slot), "how": .string(failure),
                "stderr_tail": .tail(exit.stderrTail),
            ])
        if rollout.previous != nil { self.logRejection(by: rollout.origin, errors: 1, sentence, &effects) }
        for waiter in rollout.waiters {
            let error = Self.aborted(rollout, sentence, pool: pool, place, exit, waiter.report)
            self.answer(waiter, .failure(error), &effects)
        }
        self.takeBack(rollout, &effects)
    }

    /// What those are told who wait for a rollout that was aborted: a configuration whose workers do not come up is
    /// refused like any other.
    private static func aborted(
        _ rollout: Rollout, _ sentence: String, pool: String, _ place: Rollout.Place, _ exit: LastExit,
        _ report: Rollout.Waiter.Report
    ) -> RPCError {
        let isRefusal = report == .changes
        let message = sentence.prefix(1).uppercased() + sentence.dropFirst()
        var details: [JSONValue.Member] = [
            .init("pool", .string(pool)), .init("slot", .integer(place.slot)),
            .init("replaced", .integer(rollout.steps.count)),
            .init("stderr_tail", .string(exit.stderrTail)),
        ]
        if isRefusal {
            let error = ConfigurationError(path: "pools[\(place.pool)]", message)
            details.append(.init("errors", [error.value]))
        }
        return RPCError(
            isRefusal ? .invalidConfiguration : .workerUnavailable, reason: "replacement_failed", message,
            details: details)
    }

    /// Workers that were exchanged before an abort run by the configuration that was taken back: they are exchanged
    /// again, before anything else that waits.
    private mutating func takeBack(_ aborted: Rollout, _ effects: inout some SupervisorEffects) {
        let steps = aborted.steps.filter { step in
            let process = self.pools[step.place.pool].slots[step.place.slot].process
            return aborted.poolsToExchange.contains(step.place.pool)
                && process.map { self.workers[$0].id } == step.new
        }
        let rollouts = steps.map {
            Rollout(kind: .restart($0.place), origin: "the abort of \(aborted.origin)", isTakingBack: true)
        }
        self.rollouts.insert(contentsOf: rollouts, at: 0)
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

    private mutating func answerWaiters(
        _ reports: [Rollout.Waiter.Report], _ effects: inout some SupervisorEffects
    ) {
        let waiters = self.rollouts[0].waiters.filter { reports.contains($0.report) }
        guard !waiters.isEmpty else { return }
        let workers = self.report(self.rollouts[0])
        let changes = self.rollouts[0].changes
        self.rollouts[0].waiters.removeAll { reports.contains($0.report) }
        for waiter in waiters {
            let result = waiter.report == .changes ? changes : workers
            result.bytes.withUnsafeBytes { self.answer(waiter, .result($0), &effects) }
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
