import Protocol

/// Stopping: drain, then stop; or stop at once.
extension SupervisorCore {
    var isDraining: Bool {
        if case .draining = self.phase { return true }
        return false
    }

    /// SIGTERM, SIGINT or `supervisor.stop`: no new calls from here on; the open ones may finish until
    /// `shutdown_grace`. A second time: everything ends now.
    mutating func stop(reason: String, _ effects: inout some SupervisorEffects) {
        switch self.phase {
        case .running:
            self.phase = .draining(reason: reason)
            effects.log(
                .info, "supervisor.stopping",
                [
                    "reason": .string(reason), "open_calls": .integer(self.requests.count),
                    "grace_ms": .number(self.configuration.timeouts.shutdownGrace.inMilliseconds),
                ])
            self.setTimer(.shutdown, 0, after: self.configuration.timeouts.shutdownGrace)
            self.giveUpRollouts(&effects)
            self.giveUpStarting(&effects)
        case .draining, .stopping:
            self.stopNow(reason: reason, &effects)
        case .finished:
            break
        }
    }

    /// Nothing more is started or prepared.
    private mutating func giveUpStarting(_ effects: inout some SupervisorEffects) {
        for pool in self.pools.indices {
            self.removeTimer(.prepareRetry, pool)
            self.removeTimer(.scaleUp, pool)
            self.removeTimer(.scaleDown, pool)
            for slot in self.pools[pool].slots.indices {
                switch self.pools[pool].slots[slot].state {
                case .backoff, .quarantined:
                    self.removeTimer(.slotRestart, self.slotIndex(pool, slot))
                    self.pools[pool].slots[slot].state = .empty
                case .empty, .running, .unwanted: break
                }
            }
        }
        for worker in self.workers.tokens where self.workers[worker].role == .preparing {
            self.perform(self.workers[worker].life.terminate(.shutdown), worker, &effects)
        }
    }

    private mutating func stopNow(reason: String, _ effects: inout some SupervisorEffects) {
        effects.log(.warning, "supervisor.stopping_now", ["reason": .string(reason)])
        self.phase = .stopping
        self.embeddingFile.isGivenUp = true
        self.answerAll(&effects)
        for worker in self.workers.tokens {
            self.perform(self.workers[worker].life.kill(.shutdown), worker, &effects)
        }
    }

    mutating func shutdownGraceIsOver(_ effects: inout some SupervisorEffects) {
        guard self.isDraining, self.holds(.shutdownGrace) else { return }
        self.answerAll(&effects)
        self.dismissWorkers(&effects)
    }

    /// Every caller that still waits is told that it will not be served.
    private mutating func answerAll(_ effects: inout some SupervisorEffects) {
        // With the last of those who wait for a flight its call goes, too.
        for request in self.requests.all where self.requests.contains(request) {
            if let flight = self.requests[request].flight { self.dropRefresh(flight, &effects) }
        }
        for request in self.requests.all where self.requests.contains(request) {
            switch self.requests[request].state {
            case _ where self.requests[request].flight != nil: break
            case .queued, .waiting: self.end(request, .failure(self.shuttingDown), &effects)
            case .inFlight: self.abandon(request, answering: self.shuttingDown, &effects)
            case .abandoned, .none: break
            }
        }
    }

    private mutating func dismissWorkers(_ effects: inout some SupervisorEffects) {
        self.phase = .stopping
        self.removeTimer(.shutdown, 0)
        for worker in self.workers.tokens {
            self.perform(self.workers[worker].life.retire(.shutdown, isIdle: true), worker, &effects)
        }
    }

    /// At the end of each tick of a shutdown: goes on when nothing is left to wait for.
    mutating func continueShutdown(_ effects: inout some SupervisorEffects) {
        if self.isDraining, !self.hasOpenCalls { self.dismissWorkers(&effects) }
        guard self.phase == .stopping, self.workers.count == 0 else { return }
        self.saveEmbeddingsAtTheEnd(&effects)
        self.phase = .finished
        effects.finish()
    }

    private var hasOpenCalls: Bool {
        self.requests.all.contains {
            switch self.requests[$0].state {
            // That of a flight is open as long as somebody waits for it.
            case .queued, .inFlight: self.requests[$0].flight == nil
            case .waiting: true
            case .abandoned, .none: false
            }
        }
    }
}
