import Protocol

/// Whose answers may be stored: those of workers that declare the pool's epoch and belong to its last rollout.
extension SupervisorCore {
    /// Whether the answers of a worker may be given to others.
    func isCurrent(_ worker: WorkerToken) -> Bool {
        let pool = self.workers[worker].pool
        return self.workers[worker].epoch == self.pools[pool].epochs.present
            && self.workers[worker].cohort == self.pools[pool].cohort
    }

    /// A worker declares another epoch than before: of what it has been asked nobody knows by which it will answer.
    mutating func epochChanged(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        for call in self.requests.calls(on: worker) {
            if let flight = self.requests[call].flight { self.requests.closeFlight(flight) }
        }
        let pool = self.workers[worker].pool
        if self.pools[pool].epochs.declare(self.workers[worker].epoch) {
            self.forget(pool, because: "another epoch was declared", &effects)
        } else {
            self.reviewEpoch(of: pool, &effects)
        }
    }

    /// Something has changed in which workers are ready: if none of them declares the pool's epoch any more, an
    /// older one is the pool's again.
    mutating func reviewEpoch(of pool: Int, _ effects: inout some SupervisorEffects) {
        var declared: [EpochHistory.Epoch] = []
        for worker in self.workers.tokens
        where self.workers[worker].pool == pool && self.workers[worker].life.isReady {
            // Nothing has changed: the case of all pools whose workers agree.
            guard self.workers[worker].epoch != self.pools[pool].epochs.present else { return }
            declared.append(self.workers[worker].epoch)
        }
        guard self.pools[pool].epochs.review(declared) else { return }
        self.forget(pool, because: "no ready worker declares the epoch any more", &effects)
    }

    private mutating func forget(
        _ pool: Int, because reason: StaticString, _ effects: inout some SupervisorEffects
    ) {
        self.forgetResponses(of: pool)
        self.pools[pool].epochChanged()
        effects.log(
            .info, "cache.cleared",
            [
                "cache": "response", "pool": .string(self.pools[pool].configuration.name),
                "reason": .string("\(reason)"),
            ])
    }

    /// All workers of these pools are about to be exchanged, for others that may answer otherwise: what was answered so far does
    /// not count any more, nor what those that are there still answer.
    mutating func beginCohorts(of pools: [Int]) {
        for pool in pools {
            self.pools[pool].cohort += 1
            self.forgetResponses(of: pool)
        }
    }

    /// A rollout was aborted: those that serve on, old and new, are the pool's workers.
    mutating func mergeCohorts() {
        for worker in self.workers.tokens {
            self.workers[worker].cohort = self.pools[self.workers[worker].pool].cohort
        }
        for pool in self.pools.indices { self.forgetResponses(of: pool) }
    }
}
