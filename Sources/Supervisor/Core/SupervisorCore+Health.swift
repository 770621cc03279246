import Protocol

/// Readiness and health: what the supervisor asks its workers, and what it makes of the answers.
extension SupervisorCore {
    /// How soon a worker that says it is unhealthy while it starts is asked again.
    private static let askAgainAfter = Nanoseconds.seconds(1)

    /// Sends `health.check`; it takes no slot. While the worker starts, the answer may take as long as the
    /// start may.
    mutating func askHealth(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard self.workers[worker].healthCheck == nil else { return }
        let request = self.requests.insert { $0.origin = .healthCheck(worker) }
        if self.workers[worker].life.state != .starting {
            self.requests.setDeadline(request, to: self.now.advanced(by: self.configuration.health.timeout))
        }
        self.workers[worker].healthCheck = request
        let number = RequestTable.number(of: request)
        var question: [UInt8] = []
        MessageWriter.append("{\"jsonrpc\":\"2.0\",\"id\":", to: &question)
        JSONText.append(unsigned: number, to: &question)
        MessageWriter.append(",\"method\":\"health.check\"}", to: &question)
        effects.send(to: worker, question)
    }

    mutating func healthAnswered(
        _ outcome: Outcome, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        self.closeHealthCheck(worker)
        self.noteStatement(outcome, of: worker)
        switch Self.report(outcome) {
        case .able(let capabilities)?:
            self.workers[worker].failedHealthChecks = 0
            self.workers[worker].ejection.checkSucceeded()
            self.adopt(capabilities ?? self.workers[worker].capabilities, worker, &effects)
            let action = self.workers[worker].life.healthAnswered()
            self.perform(action, worker, &effects)
            if action == .none, self.workers[worker].life.isReady {
                self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
            }
        case .unhealthy?, nil:
            self.healthCheckFailed(worker, &effects)
        }
    }

    /// What an answer says; an error reply −32601 counts as alive, without capabilities.
    private static func report(_ outcome: Outcome) -> HealthReport? {
        switch outcome {
        case .result(let bytes):
            return (try? JSONValue(parsing: bytes)).flatMap(HealthReport.init(result:))
        case .workerError(let bytes):
            let code = ParamsReader.value("code", in: bytes)
            return code?.elementsEqual("-32601".utf8) == true ? .able(nil) : nil
        case .failure:
            return nil
        }
    }

    private mutating func closeHealthCheck(_ worker: WorkerToken) {
        if let check = self.workers[worker].healthCheck { self.requests.remove(check) }
        self.workers[worker].healthCheck = nil
    }

    /// A check was not answered, or not well. One that starts is asked again until its start timeout.
    mutating func healthCheckFailed(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.closeHealthCheck(worker)
        guard self.workers[worker].life.state != .starting else {
            return self.setTimer(.health, Int(worker.index), after: Self.askAgainAfter)
        }
        guard self.workers[worker].life.isReady else { return }
        // It was asked for the sake of `health.detailed` only: what is slow or sick may be what it depends on.
        guard !self.workers[worker].isProvenByCalls else {
            return self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
        }
        self.workers[worker].failedHealthChecks += 1
        self.noteFailedCheck(worker, &effects)
        let failures = self.workers[worker].failedHealthChecks
        self.log(.warning, "worker.unhealthy", of: worker, ["failed_checks": .integer(failures)], &effects)
        if failures >= self.configuration.health.unhealthyThreshold {
            self.replace(worker, .unhealthy, &effects)
        } else {
            self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
        }
    }

    mutating func healthTimerFired(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        // Whether one dies again and again is a question of time, too.
        self.healthMayHaveChanged = true
        switch self.workers[worker].life.state {
        case .starting:
            self.askHealth(worker, &effects)
        case .ready:
            let isBusy = self.requests.inFlight(on: worker) >= self.workers[worker].maxConcurrency
            let isProven = self.workers[worker].succeededSinceCheck
            self.workers[worker].isProvenByCalls = isProven
            if isBusy || isProven && !self.wantsDependencies {
                // Real calls prove more than a check; and a worker whose slots are all busy is not sick.
                self.workers[worker].succeededSinceCheck = false
                self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
            } else {
                self.workers[worker].succeededSinceCheck = false
                self.askHealth(worker, &effects)
            }
            self.sample(worker, &effects)
        case .held, .draining, .terminating, .exited:
            break
        }
    }

    mutating func becameReady(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        self.workers[worker].readyAt = self.now
        self.beginSlowStart(worker)
        self.removeTimer(.life, Int(worker.index))
        self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
        let process = self.workers[worker]
        self.log(
            .info, "worker.ready", of: worker,
            [
                "pid": .integer(process.pid ?? 0),
                "after_ms": .number(self.now.duration(since: process.startedAt).inMilliseconds),
                "max_concurrency": .integer(process.maxConcurrency),
            ], &effects)
        self.replayPipelines(to: worker, &effects)
        self.setRecycling(of: worker)
        self.newcomerIsReady(worker, &effects)
        self.dispatch(process.pool, &effects)
    }

    /// Takes what a worker declares; it stays valid for its pool while workers restart.
    mutating func adopt(
        _ capabilities: Capabilities, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        let pool = self.workers[worker].pool
        let isNew = self.workers[worker].readyAt == nil || self.workers[worker].capabilities != capabilities
        guard isNew else { return }
        self.rostersAreStale = true
        let epoch = self.workers[worker].epoch
        self.workers[worker].adopt(capabilities, cap: self.pools[pool].configuration.maxConcurrency)
        self.methods.declareMethods(capabilities.methods ?? [])
        self.methods.declareIdempotent(capabilities.idempotent, in: pool)
        self.methods.declareCacheable(capabilities.cacheable, in: pool)
        if self.workers[worker].epoch != epoch { self.epochChanged(worker, &effects) }
        self.pools[pool].note(model: capabilities.embeddingModel, epoch: self.workers[worker].epoch)
        if self.pools[pool].configuration.techniques == nil {
            self.pools[pool].techniques = capabilities.techniques
            self.noteTechniques()
        }
    }
}
